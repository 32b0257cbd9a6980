//! Which request goes next: per-host queues and slots, and a ring of the hosts that may be asked.
//!
//! A host is in exactly one state, which follows from its slot:
//! EMPTY (nothing queued), SATURATED (queued, every permit taken) or READY (queued and a permit free; then, and
//! only then, it has a place in the ring). Every operation is O(1) amortised: nothing ever scans hosts.

use std::collections::VecDeque;

use super::queue::Queue;

/// How many requests a slot's holder may take in a row while other hosts wait. Long enough to make use of a
/// warm connection, short enough that a long queue does not starve the rest.
const QUANTUM: u32 = 16;

/// A host known to a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostId(u32);

struct Slot<T> {
    queue: Queue<T>,
    in_flight: u32,
    limit: u32,
    in_ring: bool,
}

impl<T> Slot<T> {
    fn is_ready(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < self.limit
    }
}

/// The queues and slots of one shard's hosts. Only the shard's own thread touches it.
pub(crate) struct Scheduler<T> {
    slots: Vec<Slot<T>>,
    ring: VecDeque<HostId>,
    in_flight: usize,
}

impl<T> Scheduler<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), ring: VecDeque::new(), in_flight: 0 }
    }

    /// Adds a host that may have `limit` requests in flight.
    pub(crate) fn add_host(&mut self, limit: u32) -> HostId {
        let id = HostId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.slots.push(Slot { queue: Queue::new(), in_flight: 0, limit: limit.max(1), in_ring: false });
        id
    }

    /// Requests waiting, all hosts.
    #[cfg(test)]
    fn queued(&self) -> usize {
        self.slots.iter().map(|slot| slot.queue.len()).sum()
    }

    /// Permits taken, all hosts.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether some host could be asked now.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Queues a request: before those of its host that have a lower priority. O(1) for priority 0.
    pub(crate) fn push(&mut self, host: HostId, item: T, priority: i32) {
        if let Some(slot) = self.slots.get_mut(host.0 as usize) {
            slot.queue.push(item, priority);
        }
        self.refresh(host);
    }

    /// Queues a request that is already on its way (a redirect) before those that are not. O(1).
    pub(crate) fn push_front(&mut self, host: HostId, item: T) {
        if let Some(slot) = self.slots.get_mut(host.0 as usize) {
            slot.queue.push_front(item);
        }
        self.refresh(host);
    }

    /// Takes the next request of the next ready host, and with it one of the host's permits. O(1) amortised.
    pub(crate) fn start(&mut self) -> Option<(HostId, T)> {
        while let Some(host) = self.ring.pop_front() {
            let Some(slot) = self.slots.get_mut(host.0 as usize) else { continue };
            slot.in_ring = false;
            if !slot.is_ready() {
                continue;
            }
            let Some(item) = slot.queue.pop() else { continue };
            slot.in_flight += 1;
            self.in_flight += 1;
            self.refresh(host);
            return Some((host, item));
        }
        None
    }

    /// The holder of a permit asks for its host's next request and keeps the permit. `streak` is how many it took
    /// in a row. None: nothing is queued, or another host's turn has come; then the holder calls `finish`. O(1).
    pub(crate) fn next_of(&mut self, host: HostId, streak: u32, others_wait: bool) -> Option<T> {
        let contended = others_wait || self.ring.iter().take(2).any(|&other| other != host);
        if contended && streak >= QUANTUM {
            return None;
        }
        self.slots.get_mut(host.0 as usize)?.queue.pop()
    }

    /// Gives a permit back. O(1).
    pub(crate) fn finish(&mut self, host: HostId) {
        if let Some(slot) = self.slots.get_mut(host.0 as usize) {
            slot.in_flight = slot.in_flight.saturating_sub(1);
            if slot.in_flight == 0 && slot.queue.is_empty() {
                // A million hosts that were asked once must not keep a million empty buffers.
                slot.queue = Queue::new();
            }
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        self.refresh(host);
    }

    /// Puts a host that became ready at the end of the ring.
    fn refresh(&mut self, host: HostId) {
        if let Some(slot) = self.slots.get_mut(host.0 as usize)
            && !slot.in_ring
            && slot.is_ready()
        {
            slot.in_ring = true;
            self.ring.push_back(host);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn ready_hosts_take_turns() {
        let mut scheduler = Scheduler::new();
        let (a, b) = (scheduler.add_host(10), scheduler.add_host(10));
        for n in 0..3 {
            scheduler.push(a, ('a', n), 0);
        }
        for n in 0..3 {
            scheduler.push(b, ('b', n), 0);
        }
        let order: Vec<_> = std::iter::from_fn(|| scheduler.start()).map(|(_, item)| item).collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('a', 1), ('b', 1), ('a', 2), ('b', 2)]);
    }

    #[test]
    fn a_saturated_host_waits_and_holds_up_nobody() {
        let mut scheduler = Scheduler::new();
        let (a, b) = (scheduler.add_host(1), scheduler.add_host(1));
        scheduler.push(a, 1, 0);
        scheduler.push(a, 2, 0);
        scheduler.push(b, 3, 0);
        assert_eq!(scheduler.start(), Some((a, 1)));
        assert_eq!(scheduler.start(), Some((b, 3)));
        assert_eq!(scheduler.start(), None);
        scheduler.finish(a);
        assert_eq!(scheduler.start(), Some((a, 2)));
    }

    #[test]
    fn a_holder_keeps_its_permit_until_the_queue_is_empty() {
        let mut scheduler = Scheduler::new();
        let a = scheduler.add_host(1);
        for n in 0..100 {
            scheduler.push(a, n, 0);
        }
        assert_eq!(scheduler.start(), Some((a, 0)));
        for n in 1..100 {
            assert_eq!(scheduler.next_of(a, n, false), Some(n));
        }
        assert_eq!(scheduler.next_of(a, 100, false), None);
        scheduler.finish(a);
        assert_eq!((scheduler.queued(), scheduler.in_flight()), (0, 0));
    }

    #[test]
    fn a_holder_yields_after_its_quantum_when_others_wait() {
        let mut scheduler = Scheduler::new();
        let (a, b) = (scheduler.add_host(1), scheduler.add_host(1));
        for n in 0..100 {
            scheduler.push(a, n, 0);
        }
        scheduler.start().unwrap();
        scheduler.push(b, 1000, 0);
        assert!(scheduler.next_of(a, QUANTUM - 1, false).is_some());
        assert_eq!(scheduler.next_of(a, QUANTUM, false), None);
        scheduler.finish(a);
        assert_eq!(scheduler.start(), Some((b, 1000)));
        assert!(scheduler.next_of(a, QUANTUM, true).is_none());
    }

    #[test]
    fn no_host_ever_exceeds_its_limit_in_any_order_of_calls() {
        // A deterministic walk over all operations with a model beside it.
        let mut seed = 42_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut scheduler = Scheduler::new();
        let limits = [1, 2, 3, 10];
        let hosts: Vec<_> = limits.iter().map(|&limit| scheduler.add_host(limit)).collect();
        let mut in_flight = [0_u32; 4];
        let (mut pushed, mut taken) = (0, 0);
        for _ in 0..100_000 {
            let which = random(4);
            match random(4) {
                0 => {
                    scheduler.push(hosts[which], which, 0);
                    pushed += 1;
                }
                1 => {
                    if let Some((_, item)) = scheduler.start() {
                        in_flight[item] += 1;
                        taken += 1;
                    }
                }
                2 if in_flight[which] > 0 => {
                    if let Some(item) = scheduler.next_of(hosts[which], random(32) as u32, false) {
                        assert_eq!(item, which);
                        taken += 1;
                    }
                }
                _ if in_flight[which] > 0 => {
                    scheduler.finish(hosts[which]);
                    in_flight[which] -= 1;
                }
                _ => {}
            }
            for (count, limit) in in_flight.iter().zip(limits) {
                assert!(*count <= limit);
            }
            assert_eq!(scheduler.queued(), pushed - taken);
        }
        // Drain: nothing is ever stranded outside the ring.
        loop {
            while let Some((_, item)) = scheduler.start() {
                in_flight[item] += 1;
            }
            let Some(busy) = in_flight.iter().position(|&count| count > 0) else { break };
            scheduler.finish(hosts[busy]);
            in_flight[busy] -= 1;
        }
        assert_eq!((scheduler.queued(), scheduler.in_flight()), (0, 0));
    }
}
