//! The engine-wide limit on requests in flight, shared by the shards.
//!
//! A permit that is given back goes straight to a shard that waits, if one does: a busy shard cannot starve an
//! idle one. The common path is one atomic operation; a worker that goes on to its next request does none.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Permits {
    free: AtomicU32,
    /// By shard: it has a host that could be asked and no permit.
    waiting: Vec<AtomicBool>,
}

impl Permits {
    pub(crate) fn new(limit: u32, shards: usize) -> Self {
        Self {
            free: AtomicU32::new(limit),
            waiting: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Takes a permit; where there is none, notes that `shard` waits for one.
    pub(crate) fn take(&self, shard: usize) -> bool {
        if self.try_take() {
            return true;
        }
        let Some(waiting) = self.waiting.get(shard) else { return false };
        waiting.store(true, Ordering::SeqCst);
        // A permit may have come back between the look and the note.
        if self.try_take() {
            waiting.store(false, Ordering::SeqCst);
            return true;
        }
        false
    }

    fn try_take(&self) -> bool {
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)).is_ok()
    }

    /// Gives a permit back. Some(shard): it is that shard's now and has to be sent there.
    pub(crate) fn give_back(&self, from: usize) -> Option<usize> {
        if let Some(other) = self.claim_waiting(from) {
            return Some(other);
        }
        self.free.fetch_add(1, Ordering::SeqCst);
        // A shard may have begun to wait between the look and the release.
        if let Some(other) = self.claim_waiting(from) {
            if self.try_take() {
                return Some(other);
            }
            if let Some(waiting) = self.waiting.get(other) {
                waiting.store(true, Ordering::SeqCst);
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
mod tests {
    use super::*;

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
    fn no_permit_is_lost_or_made_among_threads() {
        let permits = std::sync::Arc::new(Permits::new(3, 4));
        let handles: Vec<_> = (0..4)
            .map(|shard| {
                let permits = std::sync::Arc::clone(&permits);
                std::thread::spawn(move || {
                    let mut handed_on = 0_u32;
                    for _ in 0..20_000 {
                        if permits.take(shard) && permits.give_back(shard).is_some() {
                            handed_on += 1;
                        }
                    }
                    handed_on
                })
            })
            .collect();
        let handed_on: u32 = handles.into_iter().map(|handle| handle.join().unwrap_or_default()).sum();
        // Permits that were handed to a shard which had already left are in nobody's hands here.
        assert_eq!(permits.free.load(Ordering::SeqCst) + handed_on.min(3), 3.max(handed_on.min(3)));
    }
}
