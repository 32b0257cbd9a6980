//! Starting requests: permits, turns, and the checks before a request is sent.

use std::rc::Rc;
use std::time::Instant;

use super::Shard;
use super::flight::Flight;
use super::loans::Post;
use super::seat::Seat;
use super::worker;
use crate::error::Code;
use crate::politeness::HostId;

/// The result of trying to start a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    Yes,
    /// Nothing may start now, or the request that had its turn was handled otherwise.
    No,
    /// The rate over all hosts allows no request now.
    Blocked,
}

impl Shard {
    /// Starts all requests that may start.
    pub(super) fn pump(self: &Rc<Self>) {
        while self.has_ready() && self.core.permits.take(self.at) {
            let started = self.start_one();
            if started != Started::Yes {
                self.give_permit_back();
            }
            if started == Started::Blocked {
                break;
            }
        }
        self.look_further();
        self.wake_for_hosts();
        self.flush_if_at_rest();
    }

    /// Whether a request could start at once: a host's limit has grown.
    pub(super) fn has_room(&self) -> bool {
        self.has_ready() && !self.core.permits.are_exhausted()
    }

    /// Whether a host is ready for a request, now that so many permits are left.
    fn has_ready(&self) -> bool {
        let mut scheduler = self.scheduler.borrow_mut();
        scheduler.set_sparing(!self.core.permits.are_plenty());
        scheduler.has_ready()
    }

    pub(super) fn use_permit(self: &Rc<Self>) {
        if self.start_one() != Started::Yes {
            self.give_permit_back();
        }
        self.pump();
    }

    /// Starts the next request with a permit that the caller holds; unless it returns `Yes`, the caller still holds
    /// it.
    fn start_one(self: &Rc<Self>) -> Started {
        let now = Instant::now();
        if !self.claim_pace(|| now) {
            return Started::Blocked;
        }
        let started = self.scheduler.borrow_mut().start(now);
        let Some((host, flight)) = started else {
            self.pace.give_back();
            return Started::No;
        };
        let probed = flight.is_suspended().then(|| flight.origin.number());
        let Some(flight) = self.admit(flight) else {
            self.pace.give_back();
            self.scheduler.borrow_mut().give_back(host, probed, now);
            self.finish(host);
            return Started::No;
        };
        let mut seat = Seat::new(self, flight);
        if self.begins_on_loan(host) {
            seat.lend();
            self.dispatch(seat);
            // The caller's permit is left for another.
            self.give_permit_back();
            return Started::Yes;
        }
        self.dispatch(seat);
        Started::Yes
    }

    /// Whether the rate over all hosts allows a request now; if so, that counts as used.
    fn claim_pace(&self, now: impl FnOnce() -> Instant) -> bool {
        let claimed = self.pace.claim(now);
        if let Err(until) = claimed {
            self.time.wake_by(until);
        }
        claimed.is_ok()
    }

    /// If permits are left and no host here can use them, there may be others further back in the input.
    pub(super) fn look_further(&self) {
        if !self.has_ready() && !self.core.permits.are_exhausted() {
            self.jobs.borrow().values().for_each(|job| job.state.look_further());
        }
    }

    /// Checks whether a request that has its turn may be sent. None: no, and it was handled otherwise.
    fn admit(&self, mut flight: Flight) -> Option<Flight> {
        if flight.job.state.starts_nothing() {
            flight.leave();
            if let Some(errand) = flight.errand() {
                self.report(&flight, errand, None);
            }
            return None;
        }
        if let Some((code, why)) = self.too_late(&flight) {
            self.end_unsent(flight, code, why);
            return None;
        }
        // An errand adds no row, and other jobs may wait for it.
        if flight.errand().is_none() && flight.must_wait() {
            flight.set_suspended(false);
            let local = Rc::clone(&flight.job);
            local.parked.borrow_mut().push_back(flight);
            return None;
        }
        let mut flight = self.ask_robots(flight)?;
        if flight.is_suspended() {
            if flight.job.state.is_stuck() {
                self.outages.borrow_mut().ask_last(flight.origin.number());
            }
            flight.set_probe();
        }
        flight.leave();
        self.set_route(&mut flight);
        Some(flight)
    }

    fn too_late(&self, flight: &Flight) -> Option<(Code, &'static str)> {
        let has_passed = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        if has_passed(flight.job.state.expires) {
            return Some((Code::TimeoutJob, "max_duration ended before the request was sent"));
        }
        let late = (Code::TimeoutDeadline, "the deadline passed before the request was sent");
        has_passed(self.deadline(flight)).then_some(late)
    }

    /// Gives a request that holds its permits to an idle connection, or to a new worker.
    pub(super) fn dispatch(self: &Rc<Self>, seat: Seat) {
        let Some(flight) = seat.flight() else { return };
        let (route, job) = (flight.route, flight.job.state.id);
        let Some(seat) = self.origins.borrow_mut().assign(route, seat) else { return };
        let id = self.workers.number();
        let post = Post::new();
        post.job.set(Some(job));
        let task = worker::run(Rc::clone(self), id, Rc::clone(&post), seat);
        let abort = tokio::task::spawn_local(task).abort_handle();
        self.workers.add(id, post, abort);
    }

    /// The holder of a permit of `host` asks for its next request. None: the permit has to be given back.
    pub(super) fn next_of(&self, host: HostId, streak: u32) -> Option<Flight> {
        let permits = &self.core.permits;
        loop {
            if permits.are_owed() || !self.claim_pace(Instant::now) {
                return None;
            }
            let others_wait = permits.others_wait(self.at);
            let next = self.scheduler.borrow_mut().next_of(host, streak, others_wait, Instant::now);
            let Some(flight) = next else {
                self.pace.give_back();
                return None;
            };
            let probed = flight.is_suspended().then(|| flight.origin.number());
            if let Some(flight) = self.admit(flight) {
                return Some(flight);
            }
            self.pace.give_back();
            self.scheduler.borrow_mut().give_back(host, probed, Instant::now());
        }
    }

    /// Gives back a permit of `host` and the engine's permit, unless that `is_lent`.
    pub(super) fn release(self: &Rc<Self>, host: HostId, is_lent: bool) {
        self.finish(host);
        if is_lent {
            self.core.permits.end_loan();
        } else {
            self.give_permit_back();
        }
        if !self.is_closing() {
            self.pump();
        }
    }

    fn finish(&self, host: HostId) {
        let hopeless = self.scheduler.borrow_mut().finish(host);
        for flight in hopeless {
            self.give_up(flight);
        }
    }
}
