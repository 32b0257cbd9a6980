//! How many requests may wait in the engine before `submit` blocks.
//!
//! The limit grows while none of the waiting requests may start, in search of others that may: a host that is slow,
//! limited or down must not hold up those behind it in the input.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};

const LOOK_AHEAD: i64 = 8192;
const LOOK_FAR_AHEAD: i64 = 65_536;

/// The submitter waits on the lock of its job, so that the end of the job wakes it as well.
#[derive(Debug)]
pub(super) struct LookAhead {
    /// Requests submitted and not yet started.
    waiting: AtomicI64,
    /// The most that may wait.
    limit: AtomicI64,
    /// The submitter waits for room.
    blocked: AtomicBool,
    room: Condvar,
}

impl LookAhead {
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicI64::new(0),
            limit: AtomicI64::new(LOOK_AHEAD),
            blocked: AtomicBool::new(false),
            room: Condvar::new(),
        }
    }

    /// Requests submitted and not yet started.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed).max(0) as u64
    }

    /// Waits until there is room, or until `is_over`.
    pub(super) fn wait_for_room<'a, T>(
        &self,
        mut job: MutexGuard<'a, T>,
        is_over: impl Fn(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        while self.is_full() && !is_over(&job) {
            self.blocked.store(true, Ordering::SeqCst);
            // Room that appeared between the two lines woke nobody.
            if !self.is_full() {
                break;
            }
            job = self.room.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
        self.blocked.store(false, Ordering::SeqCst);
        job
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) >= self.limit.load(Ordering::SeqCst)
    }

    /// Counts requests in.
    pub(super) fn enter(&self, requests: usize) {
        self.waiting.fetch_add(i64::try_from(requests).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Counts one request out. True: the submitter must be woken.
    pub(super) fn leave(&self) -> bool {
        let waiting = self.waiting.fetch_sub(1, Ordering::SeqCst);
        // Half of the look-ahead at a time: waking for each request would cost more than it gains.
        waiting <= self.limit.load(Ordering::Relaxed) - LOOK_AHEAD / 2 && self.blocked.load(Ordering::SeqCst)
    }

    /// None of the waiting requests may start: more may wait. True: the submitter must be woken.
    pub(super) fn widen(&self) -> bool {
        if !self.blocked.load(Ordering::SeqCst) {
            return false;
        }
        let limit = self.limit.load(Ordering::Relaxed);
        if self.is_full() && limit < LOOK_FAR_AHEAD {
            self.limit.store(LOOK_FAR_AHEAD.min(limit * 2), Ordering::SeqCst);
        }
        !self.is_full()
    }

    /// Wakes the submitter.
    pub(super) fn wake<T>(&self, _job: &MutexGuard<'_, T>) {
        self.blocked.store(false, Ordering::SeqCst);
        self.room.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    const MANY: usize = LOOK_AHEAD as usize;

    /// Lets a submitter wait for room, and runs `act`, which returns whether to wake it. Returns the same, after
    /// checking that the submitter has continued, or has not.
    fn while_blocked(look_ahead: &LookAhead, act: impl FnOnce() -> bool) -> bool {
        let is_over = Mutex::new(false);
        let patience = Instant::now() + Duration::from_secs(10);
        let comes = |reached: &dyn Fn() -> bool| {
            while !reached() && Instant::now() < patience {
                std::thread::yield_now();
            }
            reached()
        };
        std::thread::scope(|scope| {
            let wait = || drop(look_ahead.wait_for_room(is_over.lock().unwrap(), |is_over| *is_over));
            let submitter = scope.spawn(wait);
            let waited = comes(&|| look_ahead.blocked.load(Ordering::SeqCst));
            let wakes = act();
            if wakes {
                look_ahead.wake(&is_over.lock().unwrap());
            }
            let went_on = if wakes { comes(&|| submitter.is_finished()) } else { submitter.is_finished() };
            let mut is_over = is_over.lock().unwrap();
            *is_over = true;
            look_ahead.wake(&is_over);
            assert!(waited && went_on == wakes, "waited: {waited}, went on: {went_on}, woken: {wakes}");
            wakes
        })
    }

    #[test]
    fn the_submitter_is_woken_when_half_of_the_look_ahead_has_left() {
        let look_ahead = LookAhead::new();
        look_ahead.enter(MANY);
        assert!(!while_blocked(&look_ahead, || (1..MANY / 2).any(|_| look_ahead.leave())));
        look_ahead.enter(MANY / 2 - 1);
        assert!(while_blocked(&look_ahead, || (0..=MANY / 2).map(|_| look_ahead.leave()).last().unwrap()));
        assert_eq!(look_ahead.waiting(), MANY as u64 / 2 - 1);
        assert!(!look_ahead.leave(), "nobody waits any more");
    }

    #[test]
    fn it_widens_up_to_a_limit_for_a_submitter_that_waits() {
        let look_ahead = LookAhead::new();
        look_ahead.enter(MANY);
        assert!(!look_ahead.widen(), "nobody waits");
        for _ in 0..3 {
            assert!(while_blocked(&look_ahead, || look_ahead.widen()));
            look_ahead.enter(look_ahead.waiting() as usize);
        }
        assert_eq!(look_ahead.waiting(), LOOK_FAR_AHEAD as u64);
        assert!(!while_blocked(&look_ahead, || look_ahead.widen()));
    }
}
