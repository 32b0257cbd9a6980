//! What the end of an attempt tells about its host, and what happens to the request.

use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use super::flight::Flight;
use super::{Message, Shard};
use crate::limits::Group;
use crate::options::is_idempotent;
use crate::outcome::{AttemptEnd, Outcome};
use crate::politeness::{self, Change, HostId, Note, Noted, Quotas, Signal};
use crate::pool::OriginId;

/// 429, which HTTP/2 can say without a response.
const TOO_MANY: u16 = 429;

/// What the end of an attempt told.
pub(super) struct Learned {
    /// The wait that the host names.
    pub(super) wait: Option<Duration>,
    /// Nothing good can be expected of the host any more.
    pub(super) gives_up: bool,
}

impl Shard {
    /// Learns from the end of an attempt. A host that wants to be left alone is, from now on.
    pub(super) fn learn(&self, flight: &Flight, outcome: &mut Outcome) -> Learned {
        self.learn_of_wait(flight.host, outcome);
        if self.note_usual(flight, outcome) {
            flight.job.state.gained(outcome.ended());
            return Learned { wait: None, gives_up: false };
        }
        self.learn_more(flight, outcome)
    }

    /// Notes a good answer to a first attempt where nothing adapts and nothing holds the host back. Nearly all attempts
    /// end so, and nothing else can be learned from them. False: nothing is noted yet.
    fn note_usual(&self, flight: &Flight, outcome: &Outcome) -> bool {
        let is_good = outcome.failure.is_none() && outcome.status().is_some_and(|status| status < 300);
        if !is_good || flight.attempt() > 1 || !self.pace.is_free() || self.core.capacity.is_some() {
            return false;
        }
        let is_noted = self.scheduler.borrow_mut().note_usual(flight.host, flight.origin.number());
        if is_noted {
            self.origins.borrow_mut().note(flight.origin, true);
        }
        is_noted
    }

    // Not inlined: the usual end would have to make room for all that this needs.
    #[inline(never)]
    fn learn_more(&self, flight: &Flight, outcome: &mut Outcome) -> Learned {
        let status = outcome.status();
        let code = outcome.failure.as_ref().map(|failure| failure.code);
        let (started, ended) = (outcome.started, outcome.ended());
        let is_excess = outcome.is_excess;
        let is_refusal = is_excess || (code.is_none() && matches!(status, Some(425 | 429 | 503)));
        let quotas = self.quotas(flight.host, outcome, is_refusal);
        let told = match status {
            Some(300..400) if code.is_none() => self.retry_after(outcome),
            _ if is_refusal => self.retry_after(outcome),
            _ => None,
        };
        // Rounded down to nothing it names no wait, but it says that there is one.
        let is_told = told.is_some();
        let wish = told.filter(|wait| !wait.is_zero());
        let wish = wish.or_else(|| quotas.as_ref().filter(|_| is_refusal).and_then(Quotas::used_up));
        let policy = &self.core.options.retries;
        let retry_after = wish.map(|wish| wish.min(policy.max_retry_after));
        let signal =
            if is_excess { Signal::Throttled } else { Signal::of(status, code, is_told || wish.is_some()) };
        let is_retry = flight.attempt() > 1;
        let has_served = self.origins.borrow_mut().note(flight.origin, signal == Signal::Served);
        let (backoff, quotas) = (policy.backoff, quotas.as_ref());
        let note = Note { signal, has_served, is_retry, started, ended, retry_after, backoff, quotas };
        let Noted { change, refused, rate_per_s } =
            self.scheduler.borrow_mut().note(flight.host, flight.origin.number(), &note);
        let mut gives_up = false;
        let throttled = &flight.job.state.throttled;
        if let Some(refused) = refused {
            throttled.note(&self.group_of(flight), status.unwrap_or(TOO_MANY), wish, ended);
            // A bare 503 may have done what a request that must not be repeated asks for; so may a server that wants calm.
            let says_so = signal == Signal::Throttled && !is_excess;
            let is_plain = says_so || is_idempotent(flight.request.method());
            outcome.end = if is_plain { AttemptEnd::Refused } else { outcome.end };
            gives_up = self.is_out_of_patience(flight.host, &refused, wish, has_served);
            if let Some(until) = refused.until {
                self.park_elsewhere(flight, until);
            }
        }
        if let Some(per_s) = rate_per_s.filter(|_| outcome.end == AttemptEnd::Answered) {
            throttled.note_rate(&self.group_of(flight), per_s, ended);
        }
        if signal == Signal::Served {
            flight.job.state.gained(ended);
        }
        self.set_down(flight.host, flight.origin, change, outcome);
        self.learn_of_all(&note);
        Learned { wait: wish, gives_up }
    }

    /// The wait that the response asks for, up to the cap; a longer one is kept in the row.
    fn retry_after(&self, outcome: &mut Outcome) -> Option<Duration> {
        let policy = &self.core.options.retries;
        let received = outcome.received.as_mut().filter(|_| policy.respect_retry_after)?;
        let Some(asked) = politeness::retry_after(&received.headers, SystemTime::now()) else {
            let unreadable = politeness::unreadable(&received.headers)?;
            let remark = format!("not readable: {unreadable}");
            received.add_remark(Some(remark));
            return None;
        };
        let wait = asked.wait;
        if wait > policy.max_retry_after {
            let remark = asked.line.to_string();
            received.add_remark(Some(remark));
        }
        Some(wait)
    }

    /// Whether the origin of a request has served any.
    pub(super) fn has_served(&self, flight: &Flight) -> bool {
        self.origins.borrow_mut().has_served(flight.origin)
    }

    /// What the response says about quotas, where that is worth reading.
    fn quotas(&self, host: HostId, outcome: &Outcome, is_refusal: bool) -> Option<Quotas> {
        let learns = is_refusal || self.scheduler.borrow().learns(host) || self.pace.is_auto();
        let heeds = learns && self.core.options.retries.respect_retry_after;
        let received = outcome.received.as_ref().filter(|_| heeds)?;
        Some(politeness::quotas(&received.headers, SystemTime::now()))
    }

    /// A host that several shards serve is parked by all of them.
    fn park_elsewhere(&self, flight: &Flight, until: Instant) {
        let router = &self.core.router;
        let Group::Named(group) = router.limits().group(flight.request.target.host()) else { return };
        if router.share_of(group, self.at).is_some() {
            for shard in (0..self.core.mailboxes.len()).filter(|&shard| shard != self.at) {
                self.core.tell(shard, Message::Park(group.into(), until));
            }
        }
    }

    pub(super) fn park(&self, group: &str, until: Instant) {
        let host = self.host(group);
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
        let concerned = |flight: &Flight| flight.origin == origin && flight.may_be_suspended();
        let mut scheduler = self.scheduler.borrow_mut();
        if change == Change::Opened {
            let waits = |flight: &Flight| concerned(flight).then(|| flight.asked().priority());
            scheduler.suspend(host, origin.number(), waits);
        }
        for flight in scheduler.waiting_for(host).filter(|flight| concerned(flight)) {
            flight.set_suspended(change == Change::Opened);
        }
        drop(scheduler);
        if change == Change::Opened {
            // What waits for another attempt there waits for nothing but the probes, too.
            for mut flight in self.time.take_retries(|flight| flight.is_retrying() && concerned(flight)) {
                flight.queued = Instant::now();
                self.enqueue_again(flight);
            }
        }
    }

    /// What one response says about all hosts.
    fn learn_of_all(&self, note: &Note<'_>) {
        self.pace.learn(note);
        let Some(capacity) = &self.core.capacity else { return };
        let in_use = self.core.permits.are_exhausted();
        let mut capacity = capacity.lock().unwrap_or_else(PoisonError::into_inner);
        let before = capacity.limit();
        // Of a host that never served, a failure is no news; one that refuses or is overloaded says so of itself.
        let is_trouble = note.has_served && matches!(note.signal, Signal::Slow | Signal::Down);
        capacity.ended(is_trouble, in_use, note.started, note.ended);
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

    /// Lets a request wait for another attempt. If its origin is down, it waits with the others for what the next probe
    /// shows.
    pub(super) fn retry(self: &Rc<Self>, mut flight: Flight, outcome: Outcome, wait: Duration) {
        let (host, origin) = (flight.host, flight.origin.number());
        if self.scheduler.borrow().is_resigned(host, origin) || !flight.begin_retry_wait() {
            return self.land(flight, outcome);
        }
        if flight.hops() > 0 {
            // It begins again elsewhere.
            flight.origin = OriginId::UNKNOWN;
        }
        flight.take_attempt(outcome, wait, &self.core.wall);
        if flight.may_be_suspended() && self.scheduler.borrow().is_down(host, flight.origin.number()) {
            flight.queued = Instant::now();
            return self.enqueue_again(flight);
        }
        self.time.retry_at(Instant::now() + wait, flight);
    }
}
