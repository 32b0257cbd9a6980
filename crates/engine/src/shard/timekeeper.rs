//! What a shard has to do at which instant, and until when it may sleep.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::timers::Timers;

/// Deadlines that pass at about the same time are handled together: this share of a deadline may be between them, ...
const GRAIN_SHARE: u32 = 1000;
/// ... and at least this.
const MIN_GRAIN: Duration = Duration::from_millis(20);

/// `T` waits for its next attempt. Belongs to one thread; all but `sleep` return at once.
pub(super) struct Timekeeper<T> {
    retries: RefCell<Timers<T>>,
    /// Jobs by their end.
    expiries: RefCell<Timers<u64>>,
    /// When the deadlines of known requests pass, in order.
    deadlines: RefCell<VecDeque<Instant>>,
    /// Until when the shard sleeps; None: until it is woken.
    sleeps_until: Cell<Option<Instant>>,
    changed: Notify,
}

impl<T> Timekeeper<T> {
    pub(super) fn new() -> Self {
        Self {
            retries: RefCell::new(Timers::new()),
            expiries: RefCell::new(Timers::new()),
            deadlines: RefCell::default(),
            sleeps_until: Cell::new(None),
            changed: Notify::new(),
        }
    }

    /// Something is to happen at `instant`: the shard wakes by then.
    pub(super) fn wake_by(&self, instant: Instant) {
        if self.sleeps_until.get().is_none_or(|until| instant < until) {
            self.sleeps_until.set(Some(instant));
            self.changed.notify_one();
        }
    }

    /// Sleeps until something of its own is due, or `other`; less if `wake_by` names an earlier instant.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(super) async fn sleep(&self, other: Option<Instant>) {
        let due = self.next_due().into_iter().chain(other).min();
        self.sleeps_until.set(due);
        let changed = self.changed.notified();
        match due {
            None => changed.await,
            Some(due) => tokio::time::timeout_at(due.into(), changed).await.unwrap_or_default(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let deadline = self.deadlines.borrow().front().copied();
        let all = [self.retries.borrow().next_due(), self.expiries.borrow().next_due(), deadline];
        all.into_iter().flatten().min()
    }

    /// Keeps what waits for its next attempt until `due`.
    pub(super) fn retry_at(&self, due: Instant, item: T) {
        self.retries.borrow_mut().add(due, item);
        self.wake_by(due);
    }

    /// Takes the next of those whose wait is over.
    pub(super) fn pop_retry(&self, now: Instant) -> Option<T> {
        self.retries.borrow_mut().pop_due(now)
    }

    /// Takes out what `which` picks of what waits for its next attempt. O(all).
    pub(super) fn take_retries(&self, which: impl FnMut(&T) -> bool) -> Vec<T> {
        self.retries.borrow_mut().take_where(which)
    }

    /// Calls back with each of those that wait for their next attempt. O(all).
    pub(super) fn each_retry(&self, which: impl FnMut(&T)) {
        self.retries.borrow().iter().for_each(which);
    }

    /// A job ends at `due`.
    pub(super) fn expire_at(&self, due: Instant, job: u64) {
        self.expiries.borrow_mut().add(due, job);
        self.wake_by(due);
    }

    /// Takes the next job that has ended.
    pub(super) fn pop_expired(&self, now: Instant) -> Option<u64> {
        self.expiries.borrow_mut().pop_due(now)
    }

    /// A request came at `now` that must end within `deadline`, wherever it waits then. Few instants are kept,
    /// however many requests there are: one sweep handles all that came at about the same time.
    pub(super) fn note_deadline(&self, now: Instant, deadline: Duration) {
        let mut deadlines = self.deadlines.borrow_mut();
        if deadlines.back().is_none_or(|&last| now + deadline > last) {
            let strikes = now + deadline + (deadline / GRAIN_SHARE).max(MIN_GRAIN);
            deadlines.push_back(strikes);
            drop(deadlines);
            self.wake_by(strikes);
        }
    }

    /// Removes the instants that have passed. False: there was none, so no deadline can have passed.
    pub(super) fn take_deadlines(&self, now: Instant) -> bool {
        let mut deadlines = self.deadlines.borrow_mut();
        let mut strikes = false;
        while deadlines.front().is_some_and(|&at| at <= now) {
            deadlines.pop_front();
            strikes = true;
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant as Paused;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_until_the_first_thing_is_due() {
        let (time, start) = (Timekeeper::new(), Paused::now());
        let at = |count| start.into_std() + ms(count);
        time.retry_at(at(300), 'r');
        time.expire_at(at(200), 7);
        // These were added while it did not sleep, so that it wakes once too often.
        time.sleep(None).await;
        assert_eq!(start.elapsed(), ms(0));
        time.sleep(Some(at(250))).await;
        assert_eq!(
            (start.elapsed(), time.pop_expired(at(200)), time.pop_retry(at(200))),
            (ms(200), Some(7), None)
        );
        time.sleep(Some(at(250))).await;
        assert_eq!(start.elapsed(), ms(250));
        time.sleep(None).await;
        assert_eq!((start.elapsed(), time.pop_retry(at(300))), (ms(300), Some('r')));
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_for_what_is_due_earlier_and_not_for_what_is_due_later() {
        let (time, start) = (Timekeeper::<()>::new(), Paused::now());
        let at = |count| start.into_std() + ms(count);
        let tell = async {
            tokio::time::sleep(ms(10)).await;
            time.wake_by(at(500));
            tokio::time::sleep(ms(10)).await;
            time.wake_by(at(30));
        };
        let slept = async {
            time.sleep(Some(at(400))).await;
            start.elapsed()
        };
        assert_eq!(tokio::join!(slept, tell).0, ms(20));
    }

    #[test]
    fn deadlines_of_about_the_same_time_strike_together() {
        let (time, start) = (Timekeeper::<()>::new(), Instant::now());
        let at = |count| start + ms(count);
        for came in [0, 5, 19, 40] {
            time.note_deadline(at(came), ms(1000));
        }
        assert_eq!(time.deadlines.borrow().len(), 2);
        assert!(!time.take_deadlines(at(1000)));
        assert!(time.take_deadlines(at(1020)));
        assert!(!time.take_deadlines(at(1059)));
        assert!(time.take_deadlines(at(1060)));
    }
}
