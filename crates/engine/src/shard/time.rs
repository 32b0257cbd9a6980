//! What happens at an instant: hosts wake, retries come up, deadlines strike, jobs expire.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::flight::Flight;
use crate::error::{Code, Failure};
use crate::outcome::Outcome;

impl Shard {
    /// Something is to happen at `instant`: the shard wakes by then.
    pub(super) fn wake_by(&self, instant: Instant) {
        if self.sleeps_until.get().is_none_or(|until| instant < until) {
            self.sleeps_until.set(Some(instant));
            self.time_changed.notify_one();
        }
    }

    /// The same for the instants that hosts wait for.
    pub(super) fn wake_for_hosts(&self) {
        let next = self.scheduler.borrow().next_wake();
        if let Some(next) = next {
            self.wake_by(next);
        }
    }

    /// Queues a request again after `wait`.
    pub(super) fn queue_later(&self, flight: Flight, wait: Duration) {
        let due = Instant::now() + wait;
        self.later.borrow_mut().add(due, flight);
        self.wake_by(due);
    }

    fn next_instant(&self) -> Option<Instant> {
        let deadline = self.deadlines.borrow().front().copied();
        let all = [
            self.later.borrow().next_due(),
            self.scheduler.borrow().next_wake(),
            self.expiries.borrow().next_due(),
            self.blocked_until.get(),
            deadline,
        ];
        all.into_iter().flatten().min()
    }

    pub(super) async fn keep_time(self: Rc<Self>) {
        loop {
            let due = self.next_instant();
            self.sleeps_until.set(due);
            let changed = self.time_changed.notified();
            match due {
                None => changed.await,
                Some(due) => tokio::time::timeout_at(due.into(), changed).await.unwrap_or_default(),
            }
            let now = Instant::now();
            if self.blocked_until.get().is_some_and(|until| until <= now) {
                self.blocked_until.set(None);
            }
            self.scheduler.borrow_mut().wake_due(now);
            self.retry_due(now);
            self.strike_deadlines(now);
            self.expire_jobs(now);
            self.pump();
        }
    }

    fn retry_due(&self, now: Instant) {
        loop {
            let Some(flight) = self.later.borrow_mut().pop_due(now) else { return };
            self.forward(flight);
        }
    }

    /// A request came at `now`: the shard wakes when its deadline passes, wherever it waits then.
    pub(super) fn wake_for_deadline(&self, now: Instant) {
        let Some(deadline) = self.core.options.deadline else { return };
        // Few instants, however many requests: one sweep takes all that came at about the same time.
        let grain = (deadline / 1000).max(Duration::from_millis(20));
        let mut deadlines = self.deadlines.borrow_mut();
        if deadlines.back().is_none_or(|&last| now + deadline > last) {
            let strikes = now + deadline + grain;
            deadlines.push_back(strikes);
            drop(deadlines);
            self.wake_by(strikes);
        }
    }

    /// Requests whose deadline passes while they wait end then, not when their turn comes.
    fn strike_deadlines(&self, now: Instant) {
        let mut strikes = false;
        while self.deadlines.borrow().front().is_some_and(|&at| at <= now) {
            self.deadlines.borrow_mut().pop_front();
            strikes = true;
        }
        if !strikes {
            return;
        }
        let is_late = |flight: &Flight| self.deadline(flight).is_some_and(|deadline| deadline <= now);
        for flight in self.take_waiting(is_late) {
            self.end_unsent(flight, Code::TimeoutDeadline, "the deadline passed before the request was sent");
        }
    }

    /// What waits of a job whose `max_duration` has ended was not sent, and will not be.
    fn expire_jobs(&self, now: Instant) {
        loop {
            let Some(job) = self.expiries.borrow_mut().pop_due(now) else { return };
            for flight in self.take_waiting(|flight| flight.job.state.id == job) {
                self.end_unsent(flight, Code::TimeoutJob, "max_duration ended before the request was sent");
            }
        }
    }

    /// Takes out what `which` picks, wherever it waits: for a turn, a retry, a robots.txt, the consumer. O(all).
    fn take_waiting(&self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let mut taken = self.scheduler.borrow_mut().take_everywhere(&which);
        taken.extend(self.later.borrow_mut().take_where(&which));
        taken.extend(self.robots_waiting(&which));
        for local in self.jobs.borrow().values() {
            let parked = std::mem::take(&mut *local.parked.borrow_mut());
            for flight in parked {
                if which(&flight) {
                    taken.push(flight);
                } else {
                    local.parked.borrow_mut().push_back(flight);
                }
            }
        }
        taken
    }

    /// A request ends that waits for an attempt: as its last one did, or else with `code`.
    pub(super) fn end_unsent(&self, mut flight: Flight, code: Code, why: &'static str) {
        let last = flight.take_last();
        self.land(flight, last.unwrap_or_else(|| Outcome::unsent(Failure::new(code, why))));
    }
}
