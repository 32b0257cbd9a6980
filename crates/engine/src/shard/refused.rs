//! Requests that their host refuses: they wait for it with their place in front, and end when patience does.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::flight::Flight;
use crate::error::{Code, Failure};
use crate::outcome::{AttemptEnd, Outcome};
use crate::politeness::{HostId, Refused};

/// A host that wants to be left alone for longer than all patience has to say so again before it is believed, unless
/// nothing else is left to wait for.
const CONFIRMED: u32 = 1;
/// Rows of hosts that only refuse are worth waiting for as long as an attempt and its retries may take. Of a time
/// without a limit, or a long one, this much counts, ...
const MOST_FLOOR: Duration = Duration::from_secs(30);
/// ... and so many attempts.
const MOST_ATTEMPTS: u32 = 5;

impl Shard {
    /// Whether an attempt that ended so costs its request nothing but patience.
    pub(super) fn has_patience_for(&self, outcome: &Outcome) -> bool {
        outcome.end == AttemptEnd::Refused && self.core.options.retries.patience.is_some()
    }

    /// Puts a refused request back, before most that were not sent yet: its host says when it is asked again.
    pub(super) fn requeue_refused(self: &Rc<Self>, mut flight: Flight, outcome: Outcome) {
        if self.scheduler.borrow().is_resigned(flight.host, flight.origin.number()) {
            return self.land(flight, outcome);
        }
        let times = flight.take_refusal(outcome, &self.core.wall);
        flight.queued = Instant::now();
        self.scheduler.borrow_mut().push_refused(flight.host, flight, times);
    }

    /// Whether nothing good can be expected of a host that refused: it has refused everything for as long as patience
    /// lasts, or wants to be left alone for longer; without patience, as often as a host that is down is probed, if it never
    /// served anything. `wish`: the wait that it names.
    pub(super) fn is_out_of_patience(
        &self,
        host: HostId,
        refused: &Refused,
        wish: Option<Duration>,
        has_served: bool,
    ) -> bool {
        let policy = &self.core.options.retries;
        let Some(patience) = policy.patience else {
            // A refusal is a failure like any other: the host ends as one that is down does.
            return !has_served && refused.in_vain >= policy.rounds.max(1);
        };
        let wants_more = wish.is_some_and(|wish| wish > patience);
        if wants_more {
            self.scheduler.borrow_mut().set_wants_more(host);
        }
        (wants_more && refused.is_repeated && refused.in_vain >= CONFIRMED) || refused.refuses_for >= patience
    }

    /// What a request ends with whose wait before its next hop would be in vain: it, or its job, ends before.
    pub(super) fn ends_before(&self, flight: &Flight, wait: Duration) -> Option<Failure> {
        let then = Instant::now() + wait;
        let (job, own) = (flight.job.state.expires, self.deadline(flight));
        let (code, end) = match () {
            () if job.is_some_and(|end| end <= then) => (Code::TimeoutJob, "max_duration"),
            () if own.is_some_and(|end| end <= then) => (Code::TimeoutDeadline, "the deadline"),
            () => return None,
        };
        let wait_s = wait.as_secs_f64();
        Some(Failure::new(code, format!("{end} would end while the redirect has to wait for {wait_s:.1} s")))
    }

    /// Counts the rows of each job that wait for hosts that have only ever refused, while nothing else of it is in
    /// flight. O(hosts that refuse, and what waits for them).
    pub(super) fn count_refused(&self) {
        let jobs = self.jobs.borrow();
        let none_refuses = self.scheduler.borrow().refusing_hosts() == 0;
        if none_refuses && jobs.values().all(|job| job.refused.get() == 0) {
            return;
        }
        let mut scheduler = self.scheduler.borrow_mut();
        let hosts = scheduler.refusing_beyond(Instant::now());
        for job in jobs.values() {
            let of_job = |flight: &Flight| flight.job.state.id == job.state.id && !flight.is_suspended();
            let count = |&host| {
                scheduler
                    .waiting_for(host)
                    .filter(|flight| of_job(flight))
                    .map(|flight| flight.rows())
                    .sum::<u64>()
            };
            let rows = if job.state.only_probes() { hosts.iter().map(count).sum() } else { 0 };
            job.state.refused(job.refused.replace(rows), rows);
        }
    }

    /// If nothing else is left of a job than a few rows of hosts that have only ever refused, they end when there is no
    /// more to be gained than what was: as their last attempts did, or with the reason.
    pub(super) fn give_up_the_hopeless(&self) {
        let policy = &self.core.options.retries;
        let attempt = self.core.options.timeout.total.unwrap_or(MOST_FLOOR).min(MOST_FLOOR);
        let floor = attempt * policy.total.saturating_add(1).min(MOST_ATTEMPTS);
        let with_refused = self
            .jobs
            .borrow()
            .values()
            .filter(|job| job.refused.get() > 0)
            .map(Rc::clone)
            .collect::<Vec<_>>();
        for job in with_refused.into_iter().filter(|job| job.state.is_stuck()) {
            let Some(end) = job.state.gain_ends(floor) else { continue };
            let hosts = self.scheduler.borrow_mut().refusing_beyond(end.max(Instant::now()));
            for host in hosts {
                let of_job = |flight: &Flight| flight.job.state.id == job.state.id;
                let waiting = self.scheduler.borrow_mut().take_from(host, of_job);
                self.end_refused(waiting);
            }
        }
    }

    /// Ends all that waits for a host of which nothing good can be expected.
    pub(super) fn give_up_refusing(&self, host: HostId) {
        let waiting = self.scheduler.borrow_mut().take_from(host, |_| true);
        self.end_refused(waiting);
    }

    fn end_refused(&self, waiting: Vec<Flight>) {
        for mut flight in waiting {
            flight.leave();
            let name = self.group_of(&flight).into_owned();
            let outcome = flight.take_last().unwrap_or_else(|| {
                let detail = format!("{name} refuses all requests, and was not asked for this one");
                Outcome::unsent(Failure::new(Code::HostThrottled, detail))
            });
            self.land(flight, outcome);
        }
    }
}
