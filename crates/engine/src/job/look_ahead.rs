//! How many requests may wait in the engine before `submit` blocks.
//!
//! The limit grows while none of the waiting requests may start, in search of others that may: a host that is slow,
//! limited or down must not hold up those behind it in the input. That costs memory, so it ends at a number of bytes.

use std::iter::Sum;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};

/// So many requests may wait, however large they are.
const LOOK_AHEAD: u64 = 8192;
/// More may wait while they take less than this, about. The limit doubles from the first to the last.
const FAR_BYTES: (u64, u64) = (2 << 20, 4 << 20);
/// The submitter that waits is woken when this much is free.
const FREE_BYTES: u64 = 512 << 10;

/// Waiting requests: their number, and about how many bytes they take. In one number, to count them at once: the bytes
/// are in the lower bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load(u64);

impl Load {
    const NUMBER_AT: u32 = 40;
    /// A request counts no more than this.
    const MOST_BYTES: u32 = 1 << 20;

    /// One request.
    pub(crate) fn of_one(bytes: u32) -> Self {
        Self(1 << Self::NUMBER_AT | u64::from(bytes.min(Self::MOST_BYTES)))
    }

    fn number(self) -> u64 {
        self.0 >> Self::NUMBER_AT
    }

    fn bytes(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_AT) - 1)
    }
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        Self(all.map(|load| load.0).sum())
    }
}

/// The submitter waits on the lock of its job, so that the end of the job wakes it as well.
#[derive(Debug)]
pub(super) struct LookAhead {
    /// Requests submitted and not yet started: a `Load`.
    waiting: AtomicU64,
    /// More than `LOOK_AHEAD` may wait while they take fewer bytes than this.
    far_bytes: AtomicU64,
    /// The submitter waits for room.
    blocked: AtomicBool,
    room: Condvar,
}

impl LookAhead {
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicU64::new(0),
            far_bytes: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            room: Condvar::new(),
        }
    }

    /// Requests submitted and not yet started.
    pub(super) fn waiting(&self) -> u64 {
        self.load().number()
    }

    fn load(&self) -> Load {
        Load(self.waiting.load(Ordering::SeqCst))
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
        let load = self.load();
        load.number() >= LOOK_AHEAD && load.bytes() >= self.far_bytes.load(Ordering::SeqCst)
    }

    /// Counts requests in.
    pub(super) fn enter(&self, load: Load) {
        self.waiting.fetch_add(load.0, Ordering::SeqCst);
    }

    /// Counts requests out. True: the submitter must be woken.
    pub(super) fn leave(&self, load: Load) -> bool {
        let left = Load(self.waiting.fetch_sub(load.0, Ordering::SeqCst) - load.0);
        // A good part of the look-ahead at a time: waking for each request would cost more than it gains.
        let has_room = left.number() < LOOK_AHEAD / 2
            || left.bytes() + FREE_BYTES <= self.far_bytes.load(Ordering::Relaxed);
        has_room && self.blocked.load(Ordering::SeqCst)
    }

    /// None of the waiting requests may start: more may wait. True: the submitter must be woken.
    pub(super) fn widen(&self) -> bool {
        if !self.blocked.load(Ordering::SeqCst) {
            return false;
        }
        let limit = self.far_bytes.load(Ordering::Relaxed);
        if self.is_full() && limit < FAR_BYTES.1 {
            self.far_bytes.store((limit * 2).clamp(FAR_BYTES.0, FAR_BYTES.1), Ordering::SeqCst);
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

    const SMALL: u32 = 200;

    fn many(number: u64, bytes: u32) -> Load {
        (0..number).map(|_| Load::of_one(bytes)).sum()
    }

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
        let leave = || look_ahead.leave(Load::of_one(SMALL));
        look_ahead.enter(many(LOOK_AHEAD, SMALL));
        assert!(!while_blocked(&look_ahead, || (0..LOOK_AHEAD / 2).any(|_| leave())));
        look_ahead.enter(many(LOOK_AHEAD / 2, SMALL));
        assert!(while_blocked(&look_ahead, || (0..=LOOK_AHEAD / 2).fold(false, |_, _| leave())));
        assert_eq!(look_ahead.waiting(), LOOK_AHEAD / 2 - 1);
        assert!(!leave(), "nobody waits any more");
    }

    #[test]
    fn it_widens_up_to_a_limit_for_a_submitter_that_waits() {
        let look_ahead = LookAhead::new();
        look_ahead.enter(many(LOOK_AHEAD, SMALL));
        assert!(!look_ahead.widen(), "nobody waits");
        for _ in 0..2 {
            assert!(while_blocked(&look_ahead, || look_ahead.widen()));
            while !look_ahead.is_full() {
                look_ahead.enter(Load::of_one(SMALL));
            }
        }
        assert_eq!(look_ahead.waiting(), FAR_BYTES.1.div_ceil(u64::from(SMALL)));
        assert!(!while_blocked(&look_ahead, || look_ahead.widen()));
        let before_half_a_megabyte = FREE_BYTES / u64::from(SMALL) - 1;
        let leave = || look_ahead.leave(Load::of_one(SMALL));
        assert!(!while_blocked(&look_ahead, || (0..before_half_a_megabyte).any(|_| leave())));
        assert!(!look_ahead.is_full());
    }

    #[test]
    fn large_requests_do_not_make_it_look_further() {
        let look_ahead = LookAhead::new();
        look_ahead.enter(many(LOOK_AHEAD, 2_000));
        for _ in 0..3 {
            assert!(!while_blocked(&look_ahead, || look_ahead.widen()));
        }
        assert_eq!(look_ahead.waiting(), LOOK_AHEAD);
        // However large one is, the number is right.
        look_ahead.enter(many(100_000, u32::MAX));
        assert_eq!(look_ahead.waiting(), LOOK_AHEAD + 100_000);
        look_ahead.leave(many(100_000, u32::MAX));
        look_ahead.leave(many(LOOK_AHEAD, 2_000));
        assert_eq!(look_ahead.load(), Load::default());
    }
}
