//! What happens at an instant: hosts wake, retries are due, deadlines pass, jobs expire.

use std::rc::Rc;
use std::time::Instant;

use super::Shard;
use super::flight::Flight;
use crate::error::{Code, Failure};
use crate::outcome::Outcome;

impl Shard {
    /// The shard wakes by the next instant that a host waits for.
    pub(super) fn wake_for_hosts(&self) {
        let next = self.scheduler.borrow().next_wake();
        if let Some(next) = next {
            self.time.wake_by(next);
        }
    }

    pub(super) async fn keep_time(self: Rc<Self>) {
        loop {
            let of_hosts = self.scheduler.borrow().next_wake();
            self.time.sleep(of_hosts.into_iter().chain(self.pace.blocked_until()).min()).await;
            let now = Instant::now();
            self.pace.unblock_due(now);
            self.scheduler.borrow_mut().wake_due(now);
            self.retry_due(now);
            self.strike_deadlines(now);
            self.expire_jobs(now);
            self.pump();
        }
    }

    fn retry_due(self: &Rc<Self>, now: Instant) {
        while let Some(flight) = self.time.pop_retry(now) {
            self.forward(flight);
        }
    }

    /// Requests whose deadline passes while they wait end then, not when their turn comes.
    fn strike_deadlines(&self, now: Instant) {
        if !self.time.take_deadlines(now) {
            return;
        }
        let is_late = |flight: &Flight| self.deadline(flight).is_some_and(|deadline| deadline <= now);
        for flight in self.take_waiting(is_late) {
            self.end_unsent(flight, Code::TimeoutDeadline, "the deadline passed before the request was sent");
        }
    }

    /// Waiting requests of a job whose `max_duration` has ended will not be sent.
    fn expire_jobs(&self, now: Instant) {
        while let Some(job) = self.time.pop_expired(now) {
            for flight in self.take_waiting(|flight| flight.job.state.id == job) {
                self.end_unsent(flight, Code::TimeoutJob, "max_duration ended before the request was sent");
            }
        }
    }

    /// Takes out what `which` picks, wherever it waits: for a turn, a retry, a robots.txt, an address, the consumer. O(all).
    fn take_waiting(&self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let mut taken = self.scheduler.borrow_mut().take_everywhere(&which);
        taken.extend(self.time.take_retries(&which));
        taken.extend(self.robots_waiting(&which));
        taken.extend(self.names_waiting(&which));
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

    /// Ends a request that waits for an attempt: as its last one did, or with `code` if there was none. An errand always
    /// ends with `code`: the requests that wait for it may have more time.
    pub(super) fn end_unsent(&self, mut flight: Flight, code: Code, why: &'static str) {
        let last = flight.take_last().filter(|_| flight.errand().is_none());
        self.land(flight, last.unwrap_or_else(|| Outcome::unsent(Failure::new(code, why))));
    }
}
