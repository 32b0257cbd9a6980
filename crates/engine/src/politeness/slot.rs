//! One host: the requests that wait for it, its permits, and what else holds it back.

use std::time::Instant;

use super::circuit::{Change, ProbeWaits, Turn};
use super::note::Note;
use super::queue::Queue;
use super::signal::Signal;
use super::throttle::Throttle;

/// A retry that comes to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retried {
    Queued,
    /// It waits for the budget; at that instant the floor has something.
    Held(Instant),
}

/// About 100 bytes, while nothing is queued and nothing is wrong.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) queue: Queue<T>,
    in_flight: u32,
    limit: u32,
    /// It has its place in the ring.
    pub(super) in_ring: bool,
    /// It waits for this instant, and has its place among those that wait.
    pub(super) wakes_at: Option<Instant>,
    /// Requests it has served.
    served: u32,
    throttle: Option<Box<Throttle<T>>>,
}

impl<T> Slot<T> {
    pub(super) fn new(limit: u32) -> Self {
        let queue = Queue::new();
        Self {
            queue,
            in_flight: 0,
            limit: limit.max(1),
            in_ring: false,
            wakes_at: None,
            served: 0,
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
        let has_served = self.served > 0;
        self.throttle.get_or_insert_with(|| Box::new(Throttle::new(has_served)))
    }

    /// Whether it has a request that a permit is free for.
    pub(super) fn wants(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < self.limit
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
        if self.in_flight > 0 {
            return;
        }
        if self.queue.is_empty() {
            // A million hosts that were asked once must not keep a million empty buffers.
            self.queue = Queue::new();
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.circuit.abandon_probe();
        }
    }

    pub(super) fn note(&mut self, note: &Note<'_>, waits: ProbeWaits) -> Change {
        if note.signal == Signal::Served {
            self.served = self.served.saturating_add(1);
        }
        if self.throttle.is_none() && !note.signal.is_trouble() {
            return Change::Nothing;
        }
        let in_use = self.is_saturated();
        let throttle = self.rein();
        let change = throttle.note(note, in_use, waits);
        let limit = throttle.aimd.as_ref().map(super::aimd::Aimd::limit);
        self.limit = limit.unwrap_or(self.limit);
        change
    }

    /// A request that was tried before: before all others if the budget allows, and if the host is not down; there
    /// each probe is another request.
    pub(super) fn retry(&mut self, item: T, priority: i32, now: Instant) -> Retried {
        let served = u64::from(self.served);
        let throttle = self.rein();
        if let Err(until) = throttle.budget.take(served, now) {
            throttle.held.push_back((item, priority));
            return Retried::Held(until);
        }
        self.readmit(item, priority);
        Retried::Queued
    }

    fn readmit(&mut self, item: T, priority: i32) {
        if self.rein().circuit.is_open() {
            self.queue.push(item, priority);
        } else {
            self.queue.push_front(item);
        }
    }

    /// Lets go of the retries that the budget now has something for. Some: when it will have something for the next.
    pub(super) fn release_held(&mut self, now: Instant) -> Option<Instant> {
        let served = u64::from(self.served);
        loop {
            let throttle = self.throttle.as_mut()?;
            throttle.held.front()?;
            if let Err(until) = throttle.budget.take(served, now) {
                return Some(until);
            }
            let (item, priority) = throttle.held.pop_front()?;
            self.readmit(item, priority);
        }
    }

    /// The held retries of a host from which nothing good can be expected: nothing else is left to ask it, and its
    /// last answers were all bad.
    pub(super) fn take_hopeless(&mut self) -> Vec<T> {
        let idle = self.is_idle();
        match &mut self.throttle {
            Some(throttle) if idle && !throttle.held.is_empty() && throttle.circuit.is_hopeless() => {
                throttle.held.drain(..).map(|(item, _)| item).collect()
            }
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
            let (out, kept) = throttle
                .held
                .drain(..)
                .partition::<std::collections::VecDeque<_>, _>(|(item, _)| which(item));
            throttle.held = kept;
            taken.extend(out.into_iter().map(|(item, _)| item));
        }
        taken
    }
}
