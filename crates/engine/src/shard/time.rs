//! What happens at an instant: hosts wake, retries come up, deadlines strike, jobs expire.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use crate::error::{Code, Failure};
use crate::flight::Flight;
use crate::outcome::Outcome;

impl Shard {
    /// Something is to happen at `instant`: the keeper of time must not sleep longer.
    pub(super) fn mind(&self, instant: Instant) {
        if self.sleeps_until.get().is_none_or(|until| instant < until) {
            self.sleeps_until.set(Some(instant));
            self.time_changed.notify_one();
        }
    }

    /// The same for the instants that hosts wait for.
    pub(super) fn mind_hosts(&self) {
        let next = self.scheduler.borrow().next_wake();
        if let Some(next) = next {
            self.mind(next);
        }
    }

    /// Queues a request again after `wait`.
    pub(super) fn queue_later(&self, flight: Flight, wait: Duration) {
        let due = Instant::now() + wait;
        self.later.borrow_mut().add(due, flight);
        self.mind(due);
    }

    fn next_instant(&self) -> Option<Instant> {
        let deadline = self.deadlines.borrow().front().map(|&(deadline, _)| deadline);
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

    /// Requests whose deadline passes while they wait end then, not when their turn comes.
    fn strike_deadlines(&self, now: Instant) {
        loop {
            let due = self.deadlines.borrow().front().copied().filter(|&(deadline, _)| deadline <= now);
            let Some((_, host)) = due else { return };
            self.deadlines.borrow_mut().pop_front();
            let is_late = |flight: &Flight| self.deadline(flight).is_some_and(|deadline| deadline <= now);
            let late = self.scheduler.borrow_mut().take_while(host, is_late);
            for flight in late {
                let detail = "the deadline passed before the request was sent";
                self.land(flight, Outcome::unsent(Failure::new(Code::TimeoutDeadline, detail)));
            }
        }
    }

    /// What waits of a job whose `max_duration` has ended was not sent, and will not be.
    fn expire_jobs(&self, now: Instant) {
        loop {
            let Some(job) = self.expiries.borrow_mut().pop_due(now) else { return };
            let is_of_job = |flight: &Flight| flight.job.state.id == job;
            let mut expired = self.scheduler.borrow_mut().take_everywhere(is_of_job);
            expired.extend(self.later.borrow_mut().take_where(is_of_job));
            expired.extend(self.robots_waiting_of(job));
            if let Some(local) = self.jobs.borrow().get(&job) {
                expired.extend(local.parked.borrow_mut().drain(..));
            }
            for mut flight in expired {
                let last = flight.course.as_mut().and_then(|course| course.take_last());
                let outcome = last.unwrap_or_else(|| {
                    let detail = "max_duration ended before the request was sent";
                    Outcome::unsent(Failure::new(Code::TimeoutJob, detail))
                });
                self.land(flight, outcome);
            }
        }
    }
}
