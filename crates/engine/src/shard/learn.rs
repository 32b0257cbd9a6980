//! What the end of an attempt tells about its host, and what happens to the request.

use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use super::flight::Flight;
use super::{Message, Shard};
use crate::outcome::Outcome;
use crate::politeness::{self, Change, HostId, Note, Quota, Signal};
use crate::pool::OriginId;

impl Shard {
    /// Learns from the end of an attempt. Returns the wait that the host asks for, if any; from now on nothing is
    /// sent to it for so long.
    pub(super) fn learn(&self, flight: &Flight, outcome: &mut Outcome) -> Option<Duration> {
        let status = outcome.status();
        let signal = Signal::of(status, outcome.failure.as_ref().map(|failure| failure.code));
        let (started, ended) = (outcome.started, outcome.ended());
        let retry_after = match signal {
            Signal::Throttled | Signal::Unavailable => self.retry_after(outcome),
            _ => None,
        };
        let quota = self.quota(flight.host, outcome);
        let is_retry = flight.attempt() > 1;
        let has_served = self.origins.borrow_mut().note(flight.origin, signal == Signal::Served);
        let quota = quota.as_ref();
        let note = Note { signal, has_served, is_retry, started, ended, retry_after, quota };
        let change = self.scheduler.borrow_mut().note(flight.host, flight.origin.number(), &note);
        if let Some(wait) = retry_after {
            self.park_elsewhere(flight, ended + wait);
        }
        self.set_down(flight.host, flight.origin, change, outcome);
        self.learn_of_all(&note);
        retry_after
    }

    /// The wait that the response asks for, up to the cap; a longer one is kept in the row.
    fn retry_after(&self, outcome: &mut Outcome) -> Option<Duration> {
        let policy = &self.core.options.retries;
        let received = outcome.received.as_ref().filter(|_| policy.respect_retry_after)?;
        let asked = politeness::retry_after(&received.headers, SystemTime::now())?;
        let wait = asked.wait.min(policy.max_retry_after);
        if wait < asked.wait {
            outcome.remark = Some(asked.line.to_string().into());
        }
        Some(wait)
    }

    fn quota(&self, host: HostId, outcome: &Outcome) -> Option<Quota> {
        let learns = self.scheduler.borrow().learns(host) || self.pace.is_auto();
        let received = outcome.received.as_ref().filter(|_| learns)?;
        politeness::quotas(&received.headers, SystemTime::now()).tightest()
    }

    /// A host that several shards serve is parked by all of them.
    fn park_elsewhere(&self, flight: &Flight, until: Instant) {
        let host = flight.request.target.host();
        if self.core.router.share_of(host, self.at).is_some() {
            for shard in (0..self.core.mailboxes.len()).filter(|&shard| shard != self.at) {
                self.core.tell(shard, Message::Park(host.into(), until));
            }
        }
    }

    pub(super) fn park(&self, host: &str, until: Instant) {
        let host = self.host(host);
        self.scheduler.borrow_mut().park(host, until);
    }

    /// Sets apart and counts the requests that wait for an origin that is down, so that a job knows when nothing else
    /// is left.
    fn set_down(&self, host: HostId, origin: OriginId, change: Change, outcome: &Outcome) {
        if change == Change::Nothing {
            return;
        }
        if change == Change::Closed {
            self.outages.borrow_mut().end(origin.number());
        } else {
            self.outages.borrow_mut().note(origin.number(), outcome.in_words());
        }
        if change == Change::ProbeFailed {
            return;
        }
        let mut scheduler = self.scheduler.borrow_mut();
        if change == Change::Opened {
            let is_of_origin = |flight: &Flight| (flight.origin == origin).then(|| flight.asked().priority());
            scheduler.suspend(host, origin.number(), is_of_origin);
        }
        for flight in scheduler.waiting_for(host).filter(|flight| flight.origin == origin) {
            flight.set_suspended(change == Change::Opened);
        }
    }

    /// What one response says about all hosts.
    fn learn_of_all(&self, note: &Note<'_>) {
        self.pace.learn(note);
        let Some(capacity) = &self.core.capacity else { return };
        let in_use = self.core.permits.are_exhausted();
        let mut capacity = capacity.lock().unwrap_or_else(PoisonError::into_inner);
        let before = capacity.limit();
        capacity.ended(note.signal.is_trouble(), in_use, note.started, note.ended);
        let after = capacity.limit();
        drop(capacity);
        self.move_limit(before, after);
    }

    /// This machine lacked a descriptor or a port: an adaptive limit over all hosts learns from that.
    pub(super) fn learn_of_lack(&self, started: Instant) {
        let Some(capacity) = &self.core.capacity else { return };
        let mut capacity = capacity.lock().unwrap_or_else(PoisonError::into_inner);
        let before = capacity.limit();
        capacity.lacked(started, Instant::now());
        let after = capacity.limit();
        drop(capacity);
        self.move_limit(before, after);
    }

    fn move_limit(&self, before: u32, after: u32) {
        self.core.permits.shrink(before.saturating_sub(after));
        for _ in before..after {
            if let Some(other) = self.core.permits.grow(self.at) {
                self.core.tell(other, Message::Permit);
            }
        }
    }

    /// Lets a request wait for another attempt: for `wait`, or for as long as its host is parked.
    pub(super) fn retry(
        self: &Rc<Self>,
        mut flight: Flight,
        outcome: Outcome,
        wait: Duration,
        is_parked: bool,
    ) {
        if self.scheduler.borrow().is_resigned(flight.host) || !flight.begin_retry_wait() {
            return self.land(flight, outcome);
        }
        flight.take_attempt(outcome, wait, &self.core.wall);
        if is_parked {
            self.forward(flight);
        } else {
            self.time.retry_at(Instant::now() + wait, flight);
        }
    }
}
