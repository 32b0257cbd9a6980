//! Requests that the host has refused: which of all that wait is the next to be tried.

use super::{Refusals, Slot};

/// A request that was refused again and again is behind so many others at most: the next power of two.
const MOST_DOUBLINGS: u32 = 10;

/// After so many waits in vain others are tried.
const VAIN_WAITS: u32 = 2;

impl<T> Slot<T> {
    /// Queues a request that was refused so many `times`. The first time it is the next to go; then others are, twice as
    /// many each time, because it may be refused whatever the others are. While all are refused each wait tries another
    /// part of the queue.
    pub(in crate::politeness) fn push_refused(&mut self, item: T, times: u32) {
        let others = (1 << times.saturating_sub(1).min(MOST_DOUBLINGS)) - 1;
        self.queue.push_behind(item, others);
        let refusals = self.throttle.as_ref().and_then(|throttle| throttle.refusals());
        if refusals.map_or(0, Refusals::in_vain) >= VAIN_WAITS {
            self.queue.bring_last();
        }
    }
}
