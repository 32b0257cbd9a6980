//! Origins that are down: which have failed all the probes that they get, and what becomes of what waits for them.

use std::time::Instant;

use super::{HostId, Scheduler, Slot};

impl<T> Scheduler<T> {
    /// Origins that are down and have failed as many probes as `rounds` and the `retries` of a request grant them, each
    /// with whether that is settled: a last probe would tell nothing new. `gained`: when any origin was last of use.
    pub(crate) fn given_up(
        &mut self,
        rounds: u32,
        retries: u32,
        gained: Instant,
        now: Instant,
    ) -> Vec<(HostId, u32, bool)> {
        let down = std::mem::take(&mut self.down);
        let beyond = |&(host, origin): &(HostId, u32)| {
            let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
            let outage = throttle.and_then(|throttle| throttle.outage(origin))?;
            outage.is_beyond(rounds, retries, gained).then(|| (host, origin, outage.is_settled(now)))
        };
        let found = down.iter().filter_map(beyond).collect();
        self.down = down;
        found
    }

    /// From now on an origin is down.
    pub(super) fn opened(&mut self, host: HostId, origin: u32) {
        let streak = self.streaks.get(origin as usize).copied().unwrap_or_default();
        let since = self.started + streak.mute_since();
        let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
        if let Some(outage) = throttle.and_then(|throttle| throttle.outage(origin)) {
            outage.set_mute_since(since);
        }
        self.down.push((host, origin));
    }

    /// How many origins are down.
    pub(crate) fn origins_down(&self) -> usize {
        self.down.len()
    }

    /// The origin's next probe may start at once.
    pub(crate) fn probe_now(&mut self, host: HostId, origin: u32, now: Instant) {
        let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
        if let Some(outage) = throttle.and_then(|throttle| throttle.outage(origin)) {
            outage.probe_now(now);
        }
        self.schedule_probes(host, Some(now));
        self.refresh(host);
    }

    /// Starts the probes that are due at `now`, and schedules the next.
    pub(super) fn schedule_probes(&mut self, host: HostId, now: Option<Instant>) {
        let now = now.unwrap_or(self.started);
        if let Some(at) = self.slot_mut(host).and_then(|slot| slot.release_probes(now)) {
            self.schedule_chore(host, at);
        }
    }

    /// Takes out the requests that wait for an origin that is down. True: it does not respond at all; otherwise it
    /// responds with errors only, and from now on counts as up.
    pub(crate) fn give_up(
        &mut self,
        host: HostId,
        origin: u32,
        which: impl FnMut(&T) -> bool,
    ) -> (Vec<T>, bool) {
        let Some(slot) = self.slot_mut(host) else { return (Vec::new(), true) };
        let outage = slot.throttle_mut().and_then(|throttle| throttle.outage(origin));
        if outage.is_none_or(|outage| outage.is_silent) {
            return (slot.take_suspended(origin, which), true);
        }
        let taken = slot.take_suspended(origin, |_| true);
        slot.resign(origin);
        self.down.retain(|&other| other != (host, origin));
        (taken, false)
    }
}
