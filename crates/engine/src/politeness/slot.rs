//! One host: the requests that wait for it, its permits, and what else holds it back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::aimd::Aimd;
use super::circuit::{Change, Circuit, ProbeWaits, Streak, Turn};
use super::note::Note;
use super::queue::Queue;
use super::signal::Signal;
use super::throttle::Throttle;
use crate::budget::Budget;

/// Permits that a host may take before one of its requests ends; each end earns as many again.
const CREDIT: u8 = 2;

/// Where a host waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    None,
    /// With those whose turn comes first.
    First,
    /// With those that have requests in flight of which none has ended lately: a host that hangs would collect
    /// permits up to its limit that others could use.
    Second,
}

/// A retry that comes to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retried {
    Queued,
    /// It waits for the budget, which has something again then.
    Held(Duration),
}

/// 72 bytes while nothing is queued and nothing is wrong: there may be millions.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) queue: Queue<T>,
    in_flight: u32,
    limit: u32,
    /// Requests it has served.
    served: u32,
    budget: Budget,
    streak: Streak,
    /// Where it waits for its turn, if it does.
    pub(super) place: Place,
    /// Its name stands in the second ring, whether that is its place or not.
    pub(super) is_named_second: bool,
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
            streak: Streak::default(),
            place: Place::None,
            is_named_second: false,
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

    /// Its reins, made if it had none.
    pub(super) fn rein(&mut self) -> &mut Throttle<T> {
        self.throttle.get_or_insert_default()
    }

    /// Whether the host is down, as far as is known.
    pub(super) fn is_down(&self) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| throttle.circuit.is_some())
    }

    /// The instant it waits for, if it has its place among those that wait.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.throttle.as_ref().and_then(|throttle| throttle.wakes_at)
    }

    /// Whether it has a request that a permit is free for.
    pub(super) fn wants(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < self.limit
    }

    /// The ring that it belongs to while it wants a turn.
    pub(super) fn due_place(&self) -> Place {
        if self.in_flight == 0 || self.credit > 0 { Place::First } else { Place::Second }
    }

    /// Whether the permits are all that keeps requests back.
    pub(super) fn is_saturated(&self) -> bool {
        !self.queue.is_empty() && self.in_flight >= self.limit
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    pub(super) fn turn(&self, now: Instant) -> Turn {
        self.throttle.as_ref().map_or(Turn::Now, |throttle| throttle.turn(now))
    }

    /// Takes the next request and a permit.
    pub(super) fn start(&mut self, now: Instant) -> Option<T> {
        let item = self.queue.pop()?;
        self.in_flight += 1;
        self.credit = self.credit.saturating_sub(1);
        if let Some(throttle) = &mut self.throttle {
            throttle.take(now);
        }
        Some(item)
    }

    /// The next request for a permit that is taken already.
    pub(super) fn go_on(&mut self, now: impl FnOnce() -> Instant) -> Option<T> {
        if let Some(throttle) = &mut self.throttle {
            let now = now();
            if self.in_flight > self.limit || self.queue.is_empty() || throttle.turn(now) != Turn::Now {
                return None;
            }
            throttle.take(now);
        }
        self.queue.pop()
    }

    /// Gives a permit back.
    pub(super) fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.credit = CREDIT;
        if self.in_flight > 0 {
            return;
        }
        if self.queue.is_empty() {
            // A million hosts that were asked once must not keep a million empty buffers.
            self.queue = Queue::new();
        }
        if let Some(circuit) = self.throttle.as_mut().and_then(|throttle| throttle.circuit.as_mut()) {
            circuit.abandon_probe();
        }
        if self.throttle.as_ref().is_some_and(|throttle| throttle.is_spent()) {
            self.throttle = None;
        }
    }

    pub(super) fn note(&mut self, note: &Note<'_>, waits: ProbeWaits) -> Change {
        let signal = note.signal;
        if signal == Signal::Served {
            self.served = self.served.saturating_add(1);
        }
        self.streak.note(signal);
        self.credit = CREDIT;
        let in_use = self.is_saturated();
        if note.retry_after.is_some() {
            self.rein();
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.learn(note, in_use);
            self.limit = throttle.aimd.as_ref().map_or(self.limit, Aimd::limit);
        }
        match signal {
            Signal::Served | Signal::Answered | Signal::Slow => self.close_circuit(),
            Signal::Throttled | Signal::Unavailable | Signal::Down => self.fail_circuit(note, waits),
            Signal::Silent => Change::Nothing,
        }
    }

    fn close_circuit(&mut self) -> Change {
        match self.throttle.as_mut().and_then(|throttle| throttle.circuit.take()) {
            Some(_) => Change::Closed,
            None => Change::Nothing,
        }
    }

    fn fail_circuit(&mut self, note: &Note<'_>, waits: ProbeWaits) -> Change {
        let has_served = self.served > 0;
        if let Some(circuit) = self.throttle.as_mut().and_then(|throttle| throttle.circuit.as_mut()) {
            let was_probe = circuit.failed(note.started, note.ended, waits);
            return if was_probe { Change::ProbeFailed } else { Change::Nothing };
        }
        if !self.streak.is_down(has_served) {
            return Change::Nothing;
        }
        self.rein().circuit = Some(Circuit::open(has_served, note.ended, waits));
        Change::Opened
    }

    /// A request that was tried before: before all others if the budget allows, and if the host is not down; there
    /// each probe is another request. `now` is since the start.
    pub(super) fn retry(&mut self, item: T, priority: i32, now: Duration) -> Retried {
        if let Err(until) = self.budget.take(self.served, now) {
            self.rein().held.push_back((item, priority));
            return Retried::Held(until);
        }
        self.readmit(item, priority);
        Retried::Queued
    }

    fn readmit(&mut self, item: T, priority: i32) {
        if self.is_down() {
            self.queue.push(item, priority);
        } else {
            self.queue.push_front(item);
        }
    }

    /// Lets go of the retries that the budget now has something for. Some: when it will have something for the next.
    pub(super) fn release_held(&mut self, now: Duration) -> Option<Duration> {
        loop {
            let held = &mut self.throttle.as_mut()?.held;
            held.front()?;
            if let Err(until) = self.budget.take(self.served, now) {
                return Some(until);
            }
            let (item, priority) = held.pop_front()?;
            self.readmit(item, priority);
        }
    }

    /// The held retries of a host from which nothing good can be expected: nothing else is left to ask it, and its
    /// last answers were all bad.
    pub(super) fn take_hopeless(&mut self) -> Vec<T> {
        let hopeless = self.is_idle() && self.streak.is_hopeless();
        match &mut self.throttle {
            Some(throttle) if hopeless => throttle.held.drain(..).map(|(item, _)| item).collect(),
            _ => Vec::new(),
        }
    }

    /// All that waits, held retries included.
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let held =
            self.throttle.iter_mut().flat_map(|throttle| throttle.held.iter_mut().map(|(item, _)| item));
        self.queue.iter_mut().chain(held)
    }

    /// Takes out what `which` picks of all that waits.
    pub(super) fn take_where(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = self.queue.take_where(&mut which);
        if let Some(throttle) = &mut self.throttle {
            let (out, kept) = throttle.held.drain(..).partition::<VecDeque<_>, _>(|(item, _)| which(item));
            throttle.held = kept;
            taken.extend(out.into_iter().map(|(item, _)| item));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_which_nothing_is_wanted_is_small() {
        assert!(size_of::<Slot<[u8; 300]>>() <= 80, "{}", size_of::<Slot<[u8; 300]>>());
    }
}
