//! One host: the requests that wait for it, its permits, and what else holds it back.

mod refused;
mod stranger;
mod usual;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::advice::Quotas;
use super::aimd::Aimd;
use super::budget::Budget;
use super::circuit::{Change, Outage, ProbeWaits, Streak};
use super::note::{Note, Noted, Refused};
use super::pace::Pace;
use super::queue::Queue;
use super::refusals::Refusals;
use super::signal::Signal;
use super::throttle::Throttle;

/// After this many failed retries, and none that succeeded, retries of this host are pointless.
const HOPELESS: u8 = 100;
/// Permits that a host may take before one of its requests ends; each end earns as many again.
const CREDIT: u8 = 2;

/// A host that was asked this often is no stranger: what it took so far says nothing about a quota.
const STRANGER: u32 = 100;
/// So many answers in a row that are a bare 503 are the work of a limiter: of a host that has served a little, and of
/// one that has served a lot, where errors at random come in a row sooner or later. With a rate that is to be found, and
/// so rises slowly, one is.
const BARE_REFUSALS: u32 = 4;
const BARE_REFUSALS_OF_KNOWN: u32 = 8;
/// So many waits in vain show that a host whose 503 names no wait is down.
const BARE_WAITS: u32 = 3;

/// Where a host waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    None,
    /// With those whose turn comes first.
    First,
    /// With those that have requests in flight of which none has ended lately: a host that hangs would otherwise
    /// collect permits, up to its limit, that others could use.
    Second,
    /// With those that have requests in flight and have never answered any: most of them never will. They get more
    /// where permits are plenty.
    Third,
}

/// What happens to a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retried {
    Queued,
    /// It waits for the budget, which allows the next at this time.
    Held(Duration),
}

/// 72 bytes while nothing is queued and nothing is wrong: there may be millions.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states of one thing
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) queue: Queue<T>,
    in_flight: u32,
    limit: u32,
    /// Requests it has served.
    served: u32,
    budget: Budget,
    /// Requests that went, as far as they matter: until it is no stranger any more.
    sent: u16,
    /// Which of its last answers were a bare 503: a bit each, the newest lowest.
    unavailable: u16,
    /// Retries in a row that failed.
    retries_failed: u8,
    /// Where it waits for its turn, if it does.
    pub(super) place: Place,
    /// Its name stands in the second ring, whether that is its place or not.
    pub(super) is_named_second: bool,
    /// The same for the third ring.
    pub(super) is_named_third: bool,
    /// It has answered a request, whatever it said.
    pub(super) has_answered: bool,
    /// A request to it does nothing but wait.
    pub(super) is_slow: bool,
    credit: u8,
    throttle: Option<Box<Throttle<T>>>,
}

impl<T> Slot<T> {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            queue: Queue::new(),
            in_flight: 0,
            limit: limit.max(1),
            served: 0,
            budget: Budget::default(),
            sent: 0,
            unavailable: 0,
            retries_failed: 0,
            place: Place::None,
            is_named_second: false,
            is_named_third: false,
            has_answered: false,
            is_slow: false,
            credit: 0,
            throttle: None,
        }
    }

    pub(super) fn throttle(&self) -> Option<&Throttle<T>> {
        self.throttle.as_deref()
    }

    pub(super) fn throttle_mut(&mut self) -> Option<&mut Throttle<T>> {
        self.throttle.as_deref_mut()
    }

    /// What holds the host back, created on first use.
    pub(super) fn throttle_or_default(&mut self) -> &mut Throttle<T> {
        self.throttle.get_or_insert_default()
    }

    /// Whether an origin of the host is down, as far as is known.
    pub(super) fn is_down(&self, origin: u32) -> bool {
        self.throttle
            .as_ref()
            .is_some_and(|throttle| throttle.outages.iter().any(|outage| outage.origin == origin))
    }

    /// The instant it waits for, if it is among the hosts that wait.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.throttle.as_ref().and_then(|throttle| throttle.wakes_at)
    }

    /// Whether it waits though an answer has granted more since.
    pub(super) fn may_wake(&self, now: Instant) -> bool {
        let is_granted = self.throttle.as_ref().is_some_and(|throttle| throttle.grants_more());
        is_granted && self.wakes_at().is_some() && self.next(now).is_none()
    }

    /// Whether it has a queued request and a free permit.
    pub(super) fn wants(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < self.allowed()
    }

    /// How many requests may be in flight now.
    fn allowed(&self) -> u32 {
        let allowed = self.throttled_limit();
        if self.must_wait_for_answers(0) { self.in_flight.min(allowed) } else { allowed }
    }

    /// Its limit, and what its throttle leaves of that.
    fn throttled_limit(&self) -> u32 {
        self.throttle.as_ref().map_or(self.limit, |throttle| self.limit.min(throttle.limit()))
    }

    /// Whether only the lack of permits keeps requests back.
    pub(super) fn is_saturated(&self) -> bool {
        !self.queue.is_empty() && self.in_flight >= self.allowed()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    /// When its next request may be sent; None: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.throttle.as_ref().and_then(|throttle| throttle.next(now))
    }

    /// Takes the next request and a permit.
    pub(super) fn start(&mut self, now: Instant) -> Option<T> {
        let item = self.queue.pop()?;
        self.in_flight += 1;
        self.sent = self.sent.saturating_add(1);
        self.credit = self.credit.saturating_sub(1);
        if let Some(throttle) = &mut self.throttle {
            throttle.take(now);
        }
        Some(item)
    }

    /// The next request for a permit that is taken already.
    pub(super) fn go_on(&mut self, now: impl FnOnce() -> Instant) -> Option<T> {
        if self.must_wait_for_answers(1) {
            return None;
        }
        let allowed = self.throttled_limit();
        if let Some(throttle) = &mut self.throttle {
            let now = now();
            if self.in_flight > allowed || self.queue.is_empty() || throttle.next(now).is_some() {
                return None;
            }
            throttle.take(now);
        }
        let item = self.queue.pop()?;
        self.sent = self.sent.saturating_add(1);
        Some(item)
    }

    /// Gives a permit back. True: a probe has ended without a result, and its origin may get another.
    pub(super) fn finish(&mut self) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.credit = CREDIT;
        if self.in_flight > 0 {
            return false;
        }
        if self.queue.is_empty() {
            // A million hosts with one request each must not keep a million empty buffers.
            self.queue = Queue::new();
        }
        let Some(throttle) = &mut self.throttle else { return false };
        // With nothing in flight, what counts as a probe was cancelled: other jobs may wait for its result.
        let outages = throttle.outages.iter_mut();
        let abandoned = outages.map(Outage::abandon_probe).filter(|&was_out| was_out).count();
        if throttle.is_spent() {
            self.throttle = None;
        }
        abandoned > 0
    }

    /// Learns from the end of an attempt at one of the host's origins, whose failures in a row are `streak`.
    pub(super) fn note(
        &mut self,
        origin: u32,
        note: &Note<'_>,
        waits: ProbeWaits,
        streak: &mut Streak,
    ) -> Noted {
        let note = &Note { signal: self.read(note), ..*note };
        let signal = note.signal;
        let served = (self.served <= STRANGER).then_some(self.served);
        if signal == Signal::Served {
            self.served = self.served.saturating_add(1);
        }
        streak.note(signal, note.ended.saturating_duration_since(note.started));
        self.has_answered |= !matches!(signal, Signal::Silent | Signal::Slow | Signal::Down);
        self.credit = CREDIT;
        let in_use = self.is_saturated();
        if signal == Signal::Throttled || note.quotas.is_some_and(Quotas::tell) {
            self.throttle_or_default();
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.learn(note, in_use, served, self.in_flight.saturating_sub(1));
            self.limit = throttle.aimd.as_ref().map_or(self.limit, Aimd::limit);
        }
        if note.is_retry && signal == Signal::Served {
            self.retries_failed = 0;
        } else if note.is_retry {
            self.retries_failed = self.retries_failed.saturating_add(1);
        }
        let change = match signal {
            Signal::Silent => Change::Nothing,
            _ if self.stumbles(origin, note, *streak) => self.stumbled(origin, note, waits, *streak),
            _ => self.recovered(origin, signal),
        };
        let refusals = self.throttle.as_ref().and_then(|throttle| throttle.refusals());
        let refused = refusals.filter(|_| signal == Signal::Throttled).map(|refusals| Refused {
            refuses_for: refusals.refuses_for(note.ended).unwrap_or_default(),
            in_vain: refusals.in_vain(),
            is_repeated: refusals.are_repeated(),
            until: self.next(note.ended),
        });
        Noted { change, refused, rate_per_s: refusals.and_then(Refusals::rate_per_s) }
    }

    /// What a signal means after those before it: a 503 that names no wait, in a run of good answers, is how a limiter
    /// refuses (nginx `limit_req` as it comes).
    fn read(&mut self, note: &Note<'_>) -> Signal {
        let signal = note.signal;
        if matches!(signal, Signal::Silent | Signal::Down) {
            return signal;
        }
        let is_bare = signal == Signal::Unavailable;
        self.unavailable = self.unavailable << 1 | u16::from(is_bare);
        if !is_bare {
            return signal;
        }
        let throttle = self.throttle.as_ref();
        if let Some(refusals) = throttle.and_then(|throttle| throttle.refusals()) {
            let is_limited = refusals.in_vain() > 0 || refusals.has_quota();
            let goes_on = is_limited && refusals.in_vain() <= BARE_WAITS;
            if goes_on || refusals.are_known_since(note.started) {
                return Signal::Throttled;
            }
        }
        let is_auto = throttle.and_then(|throttle| throttle.pace.as_ref()).is_some_and(Pace::is_auto);
        let in_a_row = self.unavailable.trailing_ones();
        let many = match () {
            () if is_auto => 1,
            () if self.served <= STRANGER => BARE_REFUSALS,
            () => BARE_REFUSALS_OF_KNOWN,
        };
        // Only as it becomes so many: those that follow belong to the same refusal, or the host is down.
        if in_a_row == many && self.served > 0 { Signal::Throttled } else { signal }
    }

    /// An origin has answered: what waited for it is queued again.
    fn recovered(&mut self, origin: u32, signal: Signal) -> Change {
        let Some(throttle) = &mut self.throttle else { return Change::Nothing };
        if signal == Signal::Served {
            throttle.resigned.retain(|&other| other != origin);
        }
        let Some(place) = throttle.outages.iter().position(|outage| outage.origin == origin) else {
            return Change::Nothing;
        };
        for (item, priority) in throttle.outages.swap_remove(place).waiting {
            self.queue.push(item, priority);
        }
        Change::Closed
    }

    /// An origin has failed: it counts as down after too many failures in a row.
    fn stumbled(&mut self, origin: u32, note: &Note<'_>, waits: ProbeWaits, streak: Streak) -> Change {
        let is_silent = streak.is_silence();
        if let Some(outage) = self.throttle.as_mut().and_then(|throttle| throttle.outage(origin)) {
            let was_probe = outage.failed(note.signal == Signal::Down, note.started, note.ended, waits);
            return if was_probe { Change::ProbeFailed } else { Change::Nothing };
        }
        let is_resigned = self.throttle.as_ref().is_some_and(|throttle| throttle.is_resigned(origin));
        if !streak.is_down(note.has_served) || (is_resigned && !is_silent) {
            return Change::Nothing;
        }
        let outage = Outage::new(origin, note.has_served, streak, (note.started, note.ended), waits);
        self.throttle_or_default().outages.push(outage);
        Change::Opened
    }

    /// Sets apart what `which` picks, for an origin that is down.
    pub(super) fn suspend(&mut self, origin: u32, mut which: impl FnMut(&T) -> Option<i32>) {
        let mut picked = Vec::new();
        let taken = self.queue.take_where(|item| {
            let priority = which(item);
            picked.extend(priority);
            priority.is_some()
        });
        if let Some(outage) = self.throttle.as_mut().and_then(|throttle| throttle.outage(origin)) {
            outage.waiting.extend(taken.into_iter().zip(picked));
        }
    }

    /// A request for an origin that is down.
    pub(super) fn push_suspended(&mut self, origin: u32, item: T, priority: i32) {
        match self.throttle.as_mut().and_then(|throttle| throttle.outage(origin)) {
            Some(outage) => outage.waiting.push_back((item, priority)),
            None => self.queue.push(item, priority),
        }
    }

    /// Starts the probes that are due. Some: when the next may start.
    pub(super) fn release_probes(&mut self, now: Instant) -> Option<Instant> {
        let throttle = self.throttle.as_mut()?;
        for outage in &mut throttle.outages {
            if let Some(item) = outage.take_probe(now) {
                self.queue.push_front(item);
            }
        }
        let waiting = throttle.outages.iter().filter(|outage| !outage.waiting.is_empty());
        waiting.filter_map(Outage::next_probe).min()
    }

    /// Gives up an origin that responds with errors only: each waiting request will be sent once.
    pub(super) fn resign(&mut self, origin: u32) {
        if let Some(throttle) = &mut self.throttle {
            throttle.resigned.push(origin);
            throttle.outages.retain(|outage| outage.origin != origin || !outage.waiting.is_empty());
        }
    }

    /// Queues a retry before all other requests, if the budget allows; `now` is since the start. A request that was
    /// tried more than once is the next to be retried: it soon shows whether retries help.
    pub(super) fn retry(&mut self, item: T, priority: i32, attempt: u32, now: Duration) -> Retried {
        if let Err(until) = self.budget.take(self.served, now) {
            let held = &mut self.throttle_or_default().held;
            if attempt > 2 {
                held.push_front((item, priority));
            } else {
                held.push_back((item, priority));
            }
            return Retried::Held(until);
        }
        self.queue.push_front(item);
        Retried::Queued
    }

    /// Queues the retries that the budget now allows. Some: when it will allow the next.
    pub(super) fn release_held(&mut self, now: Duration) -> Option<Duration> {
        loop {
            let held = &mut self.throttle.as_mut()?.held;
            held.front()?;
            if let Err(until) = self.budget.take(self.served, now) {
                return Some(until);
            }
            let (item, _) = held.pop_front()?;
            self.queue.push_front(item);
        }
    }

    /// Takes the waiting retries of a host if they are pointless: the host has nothing else queued, and no retry has
    /// succeeded lately.
    pub(super) fn take_hopeless(&mut self) -> Vec<T> {
        let hopeless = self.is_idle() && self.retries_failed >= HOPELESS;
        match &mut self.throttle {
            Some(throttle) if hopeless => throttle.held.drain(..).map(|(item, _)| item).collect(),
            _ => Vec::new(),
        }
    }

    /// All waiting requests, including those that wait for the budget or for an origin that is down.
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (mut held, mut suspended) = (None, None);
        if let Some(throttle) = self.throttle.as_deref_mut() {
            held = Some(throttle.held.iter_mut());
            suspended = Some(throttle.outages.iter_mut().flat_map(|outage| outage.waiting.iter_mut()));
        }
        let apart = held.into_iter().flatten().chain(suspended.into_iter().flatten());
        self.queue.iter_mut().chain(apart.map(|(item, _)| item))
    }

    /// Takes out what `which` picks of all waiting requests.
    pub(super) fn take_where(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = self.queue.take_where(&mut which);
        if let Some(throttle) = &mut self.throttle {
            taken.extend(pick(&mut throttle.held, &mut which));
            for outage in &mut throttle.outages {
                taken.extend(pick(&mut outage.waiting, &mut which));
            }
        }
        taken
    }

    /// Takes out what `which` picks of what waits for an origin that is down.
    pub(super) fn take_suspended(&mut self, origin: u32, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let outage = self.throttle.as_mut().and_then(|throttle| throttle.outage(origin));
        outage.map(|outage| pick(&mut outage.waiting, &mut which)).unwrap_or_default()
    }
}

fn pick<T>(waiting: &mut VecDeque<(T, i32)>, which: &mut impl FnMut(&T) -> bool) -> Vec<T> {
    let mut taken = Vec::new();
    for (item, priority) in std::mem::take(waiting) {
        if which(&item) {
            taken.push(item);
        } else {
            waiting.push_back((item, priority));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_which_nothing_is_wanted_is_small() {
        assert!(size_of::<Slot<[u8; 300]>>() <= 80, "{}", size_of::<Slot<[u8; 300]>>());
    }
}
