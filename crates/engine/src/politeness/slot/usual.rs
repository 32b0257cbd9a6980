//! A host that answers well, and that nothing holds back: nearly all are that, nearly all the time.

use super::{CREDIT, Slot, Streak};

impl<T> Slot<T> {
    /// What `note` does for a good answer to a first attempt if there is no throttle.
    pub(in crate::politeness) fn note_usual(&mut self, streak: &mut Streak) {
        self.served = self.served.saturating_add(1);
        self.unavailable <<= 1;
        self.credit = CREDIT;
        *streak = Streak::default();
    }

    /// Drops what holds nothing back any more: a host that told of its quota while it was new is one like any other.
    pub(in crate::politeness) fn drop_spent_throttle(&mut self) {
        if self.throttle.as_ref().is_some_and(|throttle| throttle.is_spent()) && !self.is_stranger() {
            self.throttle = None;
        }
    }
}
