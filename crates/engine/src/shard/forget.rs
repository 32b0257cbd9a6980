//! Forgetting hosts of which nothing is wanted and nothing worth keeping is known: an input may have more of them than
//! fit into memory.

use std::collections::HashSet;
use std::time::Instant;

use super::Shard;

/// So many hosts are never too many.
pub(super) const ENOUGH: usize = 4096;

impl Shard {
    /// Forgets what can be forgotten once there are twice as many hosts as were kept the last time: O(1) for each host.
    ///
    /// A host keeps its place while requests wait for it, wherever they wait, while it has connections, and while its
    /// rate, its refusals or its failures keep requests back.
    pub(super) fn forget_hosts(&self) {
        let mut hosts = self.hosts.borrow_mut();
        let has_rules = self.core.options.robots || self.core.router.limits().are_by_address();
        if hosts.len() < self.forget_at.get() || has_rules {
            return;
        }
        let mut kept = HashSet::new();
        self.time.each_retry(|flight| {
            kept.insert(flight.host);
        });
        for job in self.jobs.borrow().values() {
            kept.extend(job.parked.borrow().iter().map(|flight| flight.host));
        }
        let mut origins = self.origins.borrow_mut();
        kept.extend(origins.connected());
        let (mut scheduler, now) = (self.scheduler.borrow_mut(), Instant::now());
        hosts.retain(|_, host| kept.contains(host) || !scheduler.forget(*host, now));
        origins.retain(|host| scheduler.knows(host));
        hosts.shrink_to_fit();
        self.forget_at.set(ENOUGH.max(2 * hosts.len()));
    }
}
