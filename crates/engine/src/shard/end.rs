//! The end of requests: their rows, and giving up those that cannot succeed any more.

use std::time::{Duration, Instant};

use http::Method;

use super::Shard;
use super::flight::Flight;
use super::local_job::LocalJob;
use super::robots::rules_of;
use crate::error::{Code, Failure};
use crate::job::Row;
use crate::outcome::Outcome;
use std::rc::Rc;

/// How long rows wait for others to share a batch: if the consumer waits, and if it is busy.
const FLUSH_STARVED: Duration = Duration::from_millis(1);
const FLUSH_BUSY: Duration = Duration::from_millis(4);

impl Shard {
    /// A request has ended: its row.
    pub(super) fn land(&self, mut flight: Flight, outcome: Outcome) {
        flight.leave();
        if let Some(errand) = flight.errand() {
            return self.report(&flight, errand, rules_of(&outcome));
        }
        let job = Rc::clone(&flight.job);
        let first = !job.has_rows();
        job.land(flight, outcome, &self.core.wall);
        self.landed(&job, first);
    }

    /// Gives up a request that waits for a host that does not work: it ends as its last attempt did, or, if it was
    /// never sent, with the reason.
    pub(super) fn give_up(&self, mut flight: Flight) {
        flight.leave();
        let outcome = flight.take_last().unwrap_or_else(|| {
            let outages = self.outages.borrow();
            let trouble = outages.trouble(flight.origin.number());
            let detail = format!("not sent: the host is down; its last attempt ended with {trouble}");
            Outcome::unsent(Failure::new(Code::HostCircuitOpen, detail))
        });
        self.land(flight, outcome);
    }

    pub(super) fn refuse(&self, job: &LocalJob, index: u64, method: Method, url: &str, failure: &Failure) {
        let first = !job.has_rows();
        let mut row = Row::new(index, method);
        row.fetched_at_us = self.core.wall.micros_at(Instant::now());
        job.refuse(row, url, failure);
        self.landed(job, first);
    }

    fn landed(&self, job: &LocalJob, first: bool) {
        if first && job.has_rows() {
            self.rows_wait.notify_one();
        }
    }

    /// With nothing in flight no other rows will join those that wait.
    pub(super) fn flush_if_at_rest(&self) {
        if self.scheduler.borrow().in_flight() == 0 {
            for job in self.jobs.borrow().values() {
                job.flush();
            }
        }
    }

    pub(super) async fn keep_flushing(self: Rc<Self>) {
        loop {
            self.rows_wait.notified().await;
            tokio::time::sleep(FLUSH_STARVED).await;
            if self.jobs.borrow().values().any(|job| job.has_rows() && !job.state.is_starved()) {
                tokio::time::sleep(FLUSH_BUSY).await;
            }
            for job in self.jobs.borrow().values() {
                job.flush();
            }
        }
    }
}
