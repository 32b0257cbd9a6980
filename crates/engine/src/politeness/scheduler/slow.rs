//! Hosts that make others wait: those that have not answered yet, those whose answers take long, and those that only
//! ever refuse.

use std::time::Instant;

use super::{HostId, Scheduler, Slot};

/// So few hosts that have not answered are no danger: they get what they want, though permits are scarce.
const FEW_STRANGERS: usize = 4;

impl<T> Scheduler<T> {
    /// Whether hosts that have requests in flight and have not answered any get more now.
    pub(super) fn gives_to_strangers(&self) -> bool {
        !self.is_sparing || self.third_ring.len() <= FEW_STRANGERS
    }

    /// Whether hosts that have requests in flight and have not answered any want more.
    pub(crate) fn has_strangers(&self) -> bool {
        !self.third_ring.is_empty()
    }

    /// Whether permits are scarce: then a host that has not answered yet gets one until it has, unless such hosts are few.
    pub(crate) fn set_sparing(&mut self, is_sparing: bool) {
        self.is_sparing = is_sparing;
    }

    /// Whether another host than this one is ready, as far as a look at the next in turn shows. O(1).
    pub(crate) fn has_ready_besides(&self, host: HostId) -> bool {
        let rings = [&self.ring, &self.second_ring];
        rings.into_iter().any(|ring| ring.iter().take(2).any(|&other| other != host))
    }

    /// Queues a request that its host has refused so many `times`. O(`2^times`), and at most about a thousand.
    pub(crate) fn push_refused(&mut self, host: HostId, item: T, times: u32) {
        if let Some(slot) = self.slot_mut(host) {
            slot.push_refused(item, times);
        }
        self.refresh(host);
    }

    /// Whether the host's last answer was awaited for so long that a request to it only waits.
    pub(crate) fn is_slow(&self, host: HostId) -> bool {
        self.slot(host).is_some_and(|slot| slot.is_slow)
    }

    /// Notes whether a host makes its requests wait.
    pub(crate) fn set_slow(&mut self, host: HostId, is_slow: bool) {
        if let Some(slot) = self.slot_mut(host) {
            slot.is_slow = is_slow;
        }
    }

    /// Notes that a host that refuses wants to be left alone for longer than all patience.
    pub(crate) fn set_wants_more(&mut self, host: HostId) {
        if let Some(throttle) = self.slot_mut(host).and_then(Slot::throttle_mut) {
            throttle.wants_more = true;
        }
    }

    /// Hosts that have never served, and refuse beyond `until`.
    pub(crate) fn refusing_beyond(&mut self, until: Instant) -> Vec<HostId> {
        self.refusing.sort_unstable_by_key(|host| host.0);
        self.refusing.dedup();
        let mut refusing = std::mem::take(&mut self.refusing);
        refusing.retain(|&host| self.slot(host).is_some_and(|slot| slot.wakes_at().is_some()));
        let beyond = |host: &&HostId| self.slot(**host).is_some_and(|slot| slot.refuses_beyond(until));
        let found = refusing.iter().filter(beyond).copied().collect();
        self.refusing = refusing;
        found
    }
}
