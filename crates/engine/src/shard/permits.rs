//! The engine-wide limit on requests in flight, shared by the shards.
//!
//! A request that only waits may lend its permit to another: it goes on without one, as one of a limited number.
//!
//! A permit that is given back goes straight to a shard that waits, if one does: a busy shard cannot starve an idle
//! one. The common path is one atomic operation; a worker that continues with its next request needs none.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Permits {
    free: AtomicU32,
    /// Permits that are taken and will not come back: the limit has shrunk.
    owed: AtomicU32,
    /// How many there are.
    limit: AtomicU32,
    /// Requests that go on without a permit.
    lent: AtomicU32,
    /// By shard: it has a host that is ready, and no permit.
    waiting: Vec<AtomicBool>,
}

impl Permits {
    pub(crate) fn new(limit: u32, shards: usize) -> Self {
        let waiting = (0..shards).map(|_| AtomicBool::new(false)).collect();
        let (free, limit) = (AtomicU32::new(limit), AtomicU32::new(limit));
        Self { free, owed: AtomicU32::new(0), limit, lent: AtomicU32::new(0), waiting }
    }

    /// Takes a permit; if there is none, records that `shard` waits for one.
    pub(crate) fn take(&self, shard: usize) -> bool {
        if self.try_take() {
            return true;
        }
        let Some(waiting) = self.waiting.get(shard) else { return false };
        waiting.store(true, Ordering::SeqCst);
        // A permit may have come back between the two lines above.
        if self.try_take() {
            waiting.store(false, Ordering::SeqCst);
            return true;
        }
        false
    }

    /// Takes a permit if there is one.
    pub(crate) fn try_take(&self) -> bool {
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)).is_ok()
    }

    /// Whether none is left.
    pub(crate) fn are_exhausted(&self) -> bool {
        self.free.load(Ordering::Relaxed) == 0
    }

    /// Whether so few are in use that there is no need to be sparing.
    pub(crate) fn are_plenty(&self) -> bool {
        2 * u64::from(self.free.load(Ordering::Relaxed)) >= u64::from(self.limit.load(Ordering::Relaxed))
    }

    /// The holder of a permit goes on without it: the permit is to be given back. False: as many as `most` do so
    /// already.
    pub(crate) fn lend(&self, most: u32) -> bool {
        let more = |lent: u32| (lent < most).then(|| lent + 1);
        self.lent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// A request that went on without a permit has ended, or has taken one again.
    pub(crate) fn end_loan(&self) {
        self.lent.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether the limit has shrunk below what is in use.
    pub(crate) fn are_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
    }

    /// Raises the limit by one. Some(shard): the permit belongs to that shard and must be sent there.
    pub(crate) fn grow(&self, from: usize) -> Option<usize> {
        self.limit.fetch_add(1, Ordering::Relaxed);
        self.give_back(from)
    }

    /// Lowers the limit; permits that are held stay until they are given back.
    pub(crate) fn shrink(&self, by: u32) {
        self.limit.fetch_sub(by, Ordering::Relaxed);
        self.owed.fetch_add(by, Ordering::SeqCst);
    }

    /// Gives a permit back. Some(shard): it now belongs to that shard and must be sent there.
    pub(crate) fn give_back(&self, from: usize) -> Option<usize> {
        if self.owed.load(Ordering::Relaxed) > 0
            && self.owed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| owed.checked_sub(1)).is_ok()
        {
            return None;
        }
        if let Some(other) = self.claim_waiting(from) {
            return Some(other);
        }
        self.free.fetch_add(1, Ordering::SeqCst);
        // A shard may have begun to wait before the permit was free.
        while let Some(other) = self.claim_waiting(from) {
            if self.try_take() {
                return Some(other);
            }
            if let Some(waiting) = self.waiting.get(other) {
                waiting.store(true, Ordering::SeqCst);
            }
            // The shard that took the permit may have given it back while `waiting` was false, and so told nobody.
            if self.free.load(Ordering::SeqCst) == 0 {
                break;
            }
        }
        None
    }

    /// Whether a shard other than `shard` waits.
    pub(crate) fn others_wait(&self, shard: usize) -> bool {
        self.waiting.iter().enumerate().any(|(at, waiting)| at != shard && waiting.load(Ordering::Relaxed))
    }

    fn claim_waiting(&self, from: usize) -> Option<usize> {
        let (before, after) = self.waiting.split_at_checked(from)?;
        let others = after.iter().zip(from..).skip(1).chain(before.iter().zip(0..));
        let mut waiting = others.filter(|(waiting, _)| waiting.load(Ordering::SeqCst));
        waiting.find(|(waiting, _)| waiting.swap(false, Ordering::SeqCst)).map(|(_, at)| at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    #[test]
    fn there_are_as_many_as_the_limit() {
        let permits = Permits::new(2, 1);
        assert!(permits.take(0));
        assert!(permits.take(0));
        assert!(!permits.take(0));
        assert_eq!(permits.give_back(0), None);
        assert!(permits.take(0));
    }

    #[test]
    fn a_permit_goes_to_the_shard_that_waits() {
        let permits = Permits::new(1, 3);
        assert!(permits.take(0));
        assert!(!permits.take(2));
        assert!(permits.others_wait(0));
        assert!(!permits.others_wait(2));
        assert_eq!(permits.give_back(0), Some(2));
        assert!(!permits.others_wait(0));
        assert!(!permits.take(0));
    }

    #[test]
    fn a_limit_that_shrank_takes_back_what_is_given_back() {
        let permits = Permits::new(2, 1);
        assert!(permits.take(0) && permits.take(0) && permits.are_exhausted());
        permits.shrink(1);
        assert_eq!(permits.give_back(0), None);
        assert!(!permits.take(0));
        assert_eq!(permits.grow(0), None);
        assert!(permits.take(0));
    }

    #[test]
    fn as_many_go_on_without_a_permit_as_may() {
        let permits = Permits::new(2, 1);
        assert!(permits.take(0) && permits.take(0) && !permits.are_plenty());
        assert!(permits.lend(1) && !permits.lend(1));
        assert_eq!(permits.give_back(0), None);
        assert!(permits.are_plenty() && permits.take(0));
        permits.end_loan();
        assert!(permits.lend(1));
    }

    /// Shared by the threads that act as shards.
    struct Stage {
        permits: Permits,
        mailboxes: Vec<Sender<()>>,
        held: AtomicU32,
        playing: AtomicU32,
    }

    impl Stage {
        fn give_back(&self, at: usize) {
            if let Some(other) = self.permits.give_back(at) {
                self.mailboxes[other].send(()).unwrap();
            }
        }

        /// Takes permits, or waits in the mailbox until one is sent.
        fn play(&self, at: usize, inbox: &Receiver<()>) {
            for _ in 0..20_000 {
                let in_hand = self.permits.take(at) || inbox.recv_timeout(Duration::from_secs(10)).is_ok();
                assert!(in_hand, "shard {at} was forgotten: {:?}", self.permits);
                assert!(self.held.fetch_add(1, Ordering::SeqCst) < 2, "more permits than there are");
                // Lets other threads run while this one holds a permit.
                std::thread::yield_now();
                self.held.fetch_sub(1, Ordering::SeqCst);
                self.give_back(at);
            }
            self.playing.fetch_sub(1, Ordering::SeqCst);
            // A shard with nothing to do passes on the permits that it still gets.
            let (mut patience, end) = (50, Instant::now() + Duration::from_secs(20));
            while (self.playing.load(Ordering::SeqCst) > 0 || patience > 0) && Instant::now() < end {
                match inbox.recv_timeout(Duration::from_millis(1)) {
                    Ok(()) => self.give_back(at),
                    Err(_) => patience -= i32::from(self.playing.load(Ordering::SeqCst) == 0),
                }
            }
        }
    }

    #[test]
    fn no_permit_is_lost_or_made_and_no_shard_forgotten() {
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| channel()).unzip();
        let (held, playing) = (AtomicU32::new(0), AtomicU32::new(3));
        let stage = Stage { permits: Permits::new(2, 3), mailboxes, held, playing };
        std::thread::scope(|scope| {
            for (at, inbox) in inboxes.into_iter().enumerate() {
                let stage = &stage;
                scope.spawn(move || stage.play(at, &inbox));
            }
        });
        assert_eq!(stage.permits.free.load(Ordering::SeqCst), 2);
    }
}
