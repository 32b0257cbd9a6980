//! Hosts that may have more at once than before, because an answer said so or because nothing holds them back any more.

use std::time::Instant;

use super::{HostId, Scheduler};

impl<T> Scheduler<T> {
    /// Gives the host what it may have after an answer at `now`. O(1).
    pub(super) fn heed_answer(&mut self, host: HostId, now: Instant) {
        if self.slot(host).is_some_and(|slot| slot.may_wake(now)) {
            self.wake(host);
        } else {
            // Its limit may have grown.
            self.refresh(host);
        }
        if let Some(slot) = self.slot_mut(host) {
            slot.drop_spent_throttle();
        }
    }
}
