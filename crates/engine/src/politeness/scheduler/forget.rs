//! Hosts of which nothing is wanted any more: an endless input of hosts must not take endless memory.

use std::time::Instant;

use super::{HostId, Scheduler};

impl<T> Scheduler<T> {
    /// Forgets a host, unless something is wanted of it or known that would be missed. True: it is forgotten.
    pub(crate) fn forget(&mut self, host: HostId, now: Instant) -> bool {
        let forgets = self.slot(host).is_none_or(|slot| slot.is_forgettable(now));
        if forgets {
            self.slots.remove(host.0 as usize);
        }
        forgets
    }

    /// Whether the host is known.
    pub(crate) fn knows(&self, host: HostId) -> bool {
        self.slot(host).is_some()
    }
}
