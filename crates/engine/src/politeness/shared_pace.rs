//! The rate over all hosts, shared by several threads, each of which gets its turn.
//!
//! There is one pace for all. A thread that may not send yet takes a ticket: the instant at which its next request
//! may be sent, which counts as used from then on. So the threads take turns, and none has to ask again meanwhile.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::note::Note;
use super::pace::Pace;

/// How late a ticket may be used: timers and a busy thread are late by some milliseconds.
const TICKET_KEEPS: Duration = Duration::from_millis(20);

/// One thread's handle on the rate over all hosts. Without a rate, requests may be sent at any time.
#[derive(Debug)]
pub(crate) struct SharedPace {
    pace: Option<Arc<Mutex<Pace>>>,
    ticket: Cell<Option<Instant>>,
    /// Nothing may be sent before this, according to the last claim.
    blocked_until: Cell<Option<Instant>>,
}

impl SharedPace {
    pub(crate) fn new(pace: Option<Arc<Mutex<Pace>>>) -> Self {
        Self { pace, ticket: Cell::new(None), blocked_until: Cell::new(None) }
    }

    /// Takes a turn, if a request may be sent at `now`. The turn counts as used unless it is given back.
    ///
    /// # Errors
    /// The instant before which no request may be sent.
    pub(crate) fn claim(&self, now: impl FnOnce() -> Instant) -> Result<(), Instant> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let now = now();
        let until = match self.ticket.get() {
            Some(ticket) if now < ticket => ticket,
            // A ticket that was not used in time is void: its request would coincide with one of another thread.
            Some(ticket) if now < ticket + TICKET_KEEPS => {
                self.ticket.set(None);
                return Ok(());
            }
            _ => {
                let mut pace = locked(pace);
                let until = pace.next(now);
                pace.take(until.unwrap_or(now));
                self.ticket.set(until);
                match until {
                    None => return Ok(()),
                    Some(until) => until,
                }
            }
        };
        self.blocked_until.set(Some(until));
        Err(until)
    }

    /// The turn that was claimed last was not used after all.
    pub(crate) fn give_back(&self) {
        if let Some(pace) = &self.pace {
            locked(pace).give_back();
        }
    }

    /// When something may be sent again; None: nothing is known to block it.
    pub(crate) fn blocked_until(&self) -> Option<Instant> {
        self.blocked_until.get()
    }

    /// Forgets a block that has ended at `now`.
    pub(crate) fn unblock_due(&self, now: Instant) {
        if self.blocked_until.get().is_some_and(|until| until <= now) {
            self.blocked_until.set(None);
        }
    }

    /// Whether there is no rate.
    pub(crate) fn is_free(&self) -> bool {
        self.pace.is_none()
    }

    /// Whether the limits in responses are used.
    pub(crate) fn is_auto(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| locked(pace).is_auto())
    }

    /// Learns from the end of an attempt, if it does.
    pub(crate) fn learn(&self, note: &Note<'_>) {
        if let Some(pace) = &self.pace {
            locked(pace).learn(note);
        }
    }
}

fn locked(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant as Paused, sleep_until, timeout_at};

    /// Handles on one pace of ten in a second.
    fn shared<const PARTS: usize>() -> [SharedPace; PARTS] {
        let pace = Arc::new(Mutex::new(Pace::every(Duration::from_millis(100))));
        std::array::from_fn(|_| SharedPace::new(Some(Arc::clone(&pace))))
    }

    /// Sends whenever it may until the end; returns how often.
    async fn send_until(end: Paused, part: &SharedPace) -> u32 {
        let mut sent = 0;
        while Paused::now() < end {
            match part.claim(|| Paused::now().into_std()) {
                Ok(()) => sent += 1,
                Err(until) => sleep_until(until.into()).await,
            }
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn two_threads_keep_one_rate_and_take_turns() {
        let [one, other] = shared();
        let end = Paused::now() + Duration::from_secs(10);
        let (first, second) = tokio::join!(send_until(end, &one), send_until(end, &other));
        assert_eq!(first + second, 100);
        assert!(first.abs_diff(second) <= 2, "{first} {second}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_has_nothing_to_send_takes_no_turns() {
        let [busy, idle] = shared();
        let end = Paused::now() + Duration::from_secs(10);
        assert_eq!(send_until(end, &busy).await, 100);
        assert_eq!((idle.blocked_until(), busy.blocked_until()), (None, Some(end.into_std())));
        busy.unblock_due(end.into_std());
        assert_eq!(busy.blocked_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_for_a_moment_only() {
        let now = || Paused::now().into_std();
        for (late, is_good) in [(Duration::from_millis(15), true), (Duration::from_millis(25), false)] {
            let [first, second] = shared();
            assert_eq!(first.claim(now), Ok(()));
            let ticket = second.claim(now).err();
            assert_eq!(ticket, Some(now() + Duration::from_millis(100)));
            assert_eq!(second.claim(now).err(), ticket, "asking again takes no other turn");
            sleep_until((now() + Duration::from_millis(100) + late).into()).await;
            assert_eq!(second.claim(now).is_ok(), is_good, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_was_given_back_is_there_for_the_other_thread() {
        let [one, other] = shared();
        let now = || Paused::now().into_std();
        assert_eq!(one.claim(now), Ok(()));
        one.give_back();
        assert_eq!(other.claim(now), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let free = SharedPace::new(None);
        let ends = timeout_at(Paused::now() + Duration::from_secs(1), async {
            (0..1000).all(|_| free.claim(|| Paused::now().into_std()).is_ok())
        });
        assert_eq!(ends.await, Ok(true));
        assert_eq!((free.blocked_until(), free.is_auto()), (None, false));
    }
}
