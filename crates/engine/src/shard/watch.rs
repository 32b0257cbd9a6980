//! Checks jobs at intervals: what holds them up, and whether only hosts that are down are left.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::busy::BusyMeter;
use super::flight::Flight;
use super::local_job::LocalJob;
use crate::job::Look;

/// The interval. An engine without jobs is not checked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Shard {
    pub(super) async fn keep_watch(self: Rc<Self>) {
        let mut busy = BusyMeter::new();
        loop {
            if self.jobs.borrow().is_empty() {
                self.jobs_wait.notified().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(busy.was_busy());
            self.lend_permits();
            self.forget_hosts();
            // The input may have stopped after the last event on this shard.
            self.look_further();
            self.count_refused();
            let is_any_down = self.scheduler.borrow().origins_down() > 0;
            if is_any_down {
                self.give_up_the_dead();
            }
            self.give_up_the_hopeless();
            if is_any_down || self.has_room() {
                self.pump();
            }
        }
    }

    fn look(&self, is_busy: bool) {
        let scheduler = self.scheduler.borrow();
        let of_shard = Look {
            lacks_descriptors: self.lacking.get() > 0,
            is_busy,
            permits_exhausted: self.core.permits.are_exhausted(),
            rate_of_all_blocks: self.pace.blocked_until().is_some(),
            hosts_ready: scheduler.has_ready(),
            hosts_waiting: scheduler.waiting_hosts(),
            hosts_refusing: scheduler.refusing_hosts(),
            hosts_down: scheduler.origins_down(),
            in_flight_here: scheduler.in_flight() > 0,
            ..Look::default()
        };
        for job in self.jobs.borrow().values() {
            job.state.look(of_shard);
        }
    }

    /// If a job waits only for hosts that are down: each of them that has failed too often gets one last probe, and
    /// then its requests are given up.
    fn give_up_the_dead(&self) {
        let stuck: Vec<Rc<LocalJob>> =
            self.jobs.borrow().values().filter(|job| job.state.is_stuck()).map(Rc::clone).collect();
        let Some(gained) = stuck.iter().map(|job| job.state.gained_at()).max() else { return };
        let (policy, now) = (&self.core.options.retries, Instant::now());
        let beyond = self.scheduler.borrow_mut().given_up(policy.rounds, policy.total, gained, now);
        for (host, origin, is_settled) in beyond {
            if !is_settled && self.outages.borrow_mut().ask_last(origin) {
                self.scheduler.borrow_mut().probe_now(host, origin, Instant::now());
                continue;
            }
            let is_stuck = |flight: &Flight| stuck.iter().any(|job| job.state.id == flight.job.state.id);
            let (given_up, is_silent) = self.scheduler.borrow_mut().give_up(host, origin, is_stuck);
            for flight in given_up {
                if is_silent || flight.was_tried() {
                    self.give_up(flight);
                } else {
                    // It responds, even if only with errors: each request gets its own response. It still counts as one of
                    // a host that is down, and then as a probe: the end of others does not wait for it.
                    self.enqueue(flight);
                }
            }
            // So that a later job finds out at once how the origin is then.
            self.outages.borrow_mut().forgive(origin);
            self.scheduler.borrow_mut().probe_now(host, origin, Instant::now());
        }
    }
}
