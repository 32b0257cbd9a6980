//! A host of which little is known: its second round of requests waits for answers to its first, and while permits are
//! scarce it gets one until it has answered.

use std::ops::RangeInclusive;
use std::time::Instant;

use super::{Note, Place, Signal, Slot, Streak};

/// Limits whose second round is held back: a smaller one does no harm, a larger one was chosen by the caller.
const CAREFUL_LIMITS: RangeInclusive<u32> = 5..=32;

impl<T> Slot<T> {
    /// The ring that it belongs to while it wants a turn.
    pub(in crate::politeness) fn due_place(&self) -> Place {
        match () {
            () if self.in_flight == 0 => Place::First,
            () if !self.has_answered => Place::Third,
            () if self.credit > 0 => Place::First,
            () => Place::Second,
        }
    }

    /// Whether it is as good as one that was never heard of.
    pub(in crate::politeness) fn is_forgettable(&self, now: Instant) -> bool {
        let knows_nothing = self.throttle.as_ref().is_none_or(|throttle| throttle.is_forgettable(now));
        self.is_idle() && self.place == Place::None && knows_nothing
    }

    /// Whether it has never served, and waits beyond `until` because it refuses, or wants to be left alone for longer than
    /// anybody waits.
    pub(in crate::politeness) fn refuses_beyond(&self, until: Instant) -> bool {
        let throttle = self.throttle.as_ref().filter(|_| self.served == 0);
        throttle.is_some_and(|throttle| {
            throttle.waits_as_refusing && (throttle.wakes_at > Some(until) || throttle.wants_more)
        })
    }

    /// Whether an attempt that ended so holds its origin back: there was no response, or none of the origin's own; or it
    /// took long, as those before did, of an origin that has never served.
    pub(super) fn stumbles(&self, origin: u32, note: &Note<'_>, streak: Streak) -> bool {
        match note.signal {
            Signal::Unavailable | Signal::Down => true,
            Signal::Slow => (streak.is_mute() && !note.has_served) || self.is_mute(origin),
            _ => false,
        }
    }

    /// Whether an origin of it is down that made requests wait for nothing.
    fn is_mute(&self, origin: u32) -> bool {
        let mut outages = self.throttle.iter().flat_map(|throttle| throttle.outages.iter());
        outages.any(|outage| outage.origin == origin && outage.is_mute)
    }

    /// Whether so little is known of it that a limiter may refuse all that follows.
    pub(in crate::politeness) fn is_stranger(&self) -> bool {
        // A limit that is to be found begins carefully by itself.
        let is_careful = || self.throttle.as_ref().is_some_and(|throttle| throttle.aimd.is_some());
        CAREFUL_LIMITS.contains(&self.limit) && u32::from(self.sent) < 2 * self.limit && !is_careful()
    }

    /// Whether a stranger's second round has to wait. The first is as large as its limit; the second follows as the
    /// good answers to the second half of the first come in, two for each: a limiter would refuse it as a whole. A host
    /// that tells what is left gets no more than that at once. `held`:
    /// permits in use whose requests have ended.
    pub(super) fn must_wait_for_answers(&self, held: u32) -> bool {
        if !self.is_stranger() {
            return false;
        }
        let sent = u32::from(self.sent);
        let ended = (sent + held).saturating_sub(self.in_flight);
        let well = ended.saturating_sub(self.unavailable.count_ones());
        let may_go = self.limit + 2 * well.saturating_sub(self.limit / 2);
        // Those on their way may have been counted or not.
        let in_flight = self.in_flight.saturating_sub(held);
        let left = self.throttle.as_ref().and_then(|throttle| throttle.left);
        in_flight > 0 && (sent >= may_go || left.is_some_and(|left| in_flight >= left))
    }
}
