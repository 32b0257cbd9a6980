//! Which shard a group of hosts belongs to. Most groups are one host.
//!
//! A group belongs to one shard, so that its limits are exact without coordination between threads. But then one big
//! API would keep one core busy and leave the others idle. So the first groups of an engine, as many as it has shards,
//! are split: their requests are dealt out in turn and their limit is divided. Only a fixed number of requests in
//! flight can be divided: a group with a rate, or with an adaptive limit, has one shard.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use super::addresses::Addresses;
use crate::limits::{Group, LimitTable};
use crate::request::Target;

#[derive(Debug)]
pub(crate) struct Router {
    shards: usize,
    limits: LimitTable,
    hasher: RandomState,
    split: RwLock<Vec<Split>>,
    /// No further group will be split; can be read without the lock.
    settled: AtomicBool,
    /// Where limits are by address.
    addresses: Addresses,
}

/// A group whose requests go to several shards.
#[derive(Debug)]
struct Split {
    group: Box<str>,
    /// How many of its requests may be in flight, all shards together.
    limit: u32,
    /// Requests dealt out so far. Their positions in the input would not do: if two groups alternate in the input,
    /// each would use every other shard only.
    dealt: AtomicUsize,
}

impl Router {
    pub(crate) fn new(shards: usize, limits: LimitTable) -> Self {
        Self {
            shards,
            limits,
            hasher: RandomState::new(),
            split: RwLock::default(),
            settled: AtomicBool::new(false),
            addresses: Addresses::default(),
        }
    }

    /// The shard that gets the next request to `target`. It also sends it, unless that depends on an unknown address.
    pub(crate) fn deal(&self, target: &Target) -> usize {
        if self.shards == 1 {
            return 0;
        }
        let group = match self.limits.group(target.host()) {
            Group::Named(group) => group,
            Group::Address => {
                let address = self.addresses.last_of(target);
                return address.map_or_else(|| self.home(target.host()), |address| self.home_of(address));
            }
        };
        self.may_split(group);
        let home = self.home(group);
        let split = self.split.read().unwrap_or_else(PoisonError::into_inner);
        let Some(split) = find(&split, group) else { return home };
        let place = split.dealt.fetch_add(1, Ordering::Relaxed) % self.ways(split.limit);
        (home + place) % self.shards
    }

    /// The shard that continues with a request of `group` that is now at `shard`: the same if possible.
    pub(crate) fn next_to(&self, shard: usize, group: &str) -> usize {
        if self.shards == 1 {
            return 0;
        }
        self.may_split(group);
        match self.share_of(group, shard) {
            Some(limit) if limit > 0 => shard,
            _ => self.home(group),
        }
    }

    /// The limits of every host.
    pub(crate) fn limits(&self) -> &LimitTable {
        &self.limits
    }

    /// The addresses of hosts, where limits are by address.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The shard of an address.
    pub(super) fn home_of(&self, address: IpAddr) -> usize {
        if self.shards == 1 { 0 } else { self.home(&self.limits.group_of_address(address)) }
    }

    /// How many requests `shard` may have in flight to a group, if the group is split. The sum over all shards is
    /// exactly the limit.
    pub(crate) fn share_of(&self, group: &str, shard: usize) -> Option<u32> {
        let split = self.split.read().unwrap_or_else(PoisonError::into_inner);
        let limit = find(&split, group)?.limit;
        let ways = self.ways(limit);
        let place = (shard + self.shards - self.home(group)) % self.shards;
        if place >= ways {
            return Some(0);
        }
        Some(limit / ways as u32 + u32::from(place < limit as usize % ways))
    }

    fn home(&self, group: &str) -> usize {
        (self.hasher.hash_one(group) % self.shards as u64) as usize
    }

    /// Over how many shards a limit can be divided: each needs at least one.
    fn ways(&self, limit: u32) -> usize {
        self.shards.min(limit as usize).max(1)
    }

    /// Splits a new group, while there is room. For a known group this never changes.
    fn may_split(&self, group: &str) {
        let known = || find(&self.split.read().unwrap_or_else(PoisonError::into_inner), group).is_some();
        if self.settled.load(Ordering::Acquire) || known() {
            return;
        }
        let Some(limit) = self.limits.divisible(group) else { return };
        let mut split = self.split.write().unwrap_or_else(PoisonError::into_inner);
        if split.len() < self.shards && find(&split, group).is_none() {
            split.push(Split { group: group.into(), limit, dealt: AtomicUsize::new(0) });
            self.settled.store(split.len() == self.shards, Ordering::Release);
        }
    }
}

fn find<'a>(split: &'a [Split], group: &str) -> Option<&'a Split> {
    split.iter().find(|split| *split.group == *group)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::options::{Concurrency, Limits, Options, RateLimit};

    fn deal(router: &Router, host: &str) -> usize {
        router.deal(&Target::parse(&format!("http://{host}/")).unwrap().target)
    }

    fn router(shards: usize, limit: u32) -> Router {
        let concurrency_per_host = Concurrency::Fixed(limit);
        Router::new(shards, LimitTable::new(&Options { concurrency_per_host, ..Options::default() }))
    }

    #[test]
    fn the_first_hosts_are_split_and_the_others_have_one_home() {
        let router = router(2, 64);
        for host in ["a", "b"] {
            assert_ne!(deal(&router, host), deal(&router, host));
        }
        for host in ["c", "d", "e"] {
            let home = deal(&router, host);
            assert!((0..10).all(|_| deal(&router, host) == home));
            assert_eq!(router.share_of(host, home), None);
        }
    }

    #[test]
    fn each_split_host_is_dealt_out_evenly_however_the_hosts_alternate() {
        let router = router(2, 64);
        let mut dealt = [[0; 2]; 2];
        for _ in 0..100 {
            for (host, name) in ["a", "b"].into_iter().enumerate() {
                dealt[host][deal(&router, name)] += 1;
            }
        }
        assert_eq!(dealt, [[50, 50], [50, 50]]);
    }

    #[test]
    fn a_divided_limit_sums_up_to_the_limit() {
        for limit in 32..52 {
            let router = router(4, limit);
            deal(&router, "a");
            let shares: Vec<_> = (0..4).map(|shard| router.share_of("a", shard).unwrap()).collect();
            assert_eq!(shares.iter().sum::<u32>(), limit);
            for _ in 0..100 {
                assert!(shares[deal(&router, "a")] > 0);
            }
        }
    }

    #[test]
    fn a_request_on_its_way_stays_where_it_may() {
        let router = router(2, 64);
        for host in ["a", "b"] {
            assert!((0..2).all(|shard| router.next_to(shard, host) == shard));
        }
        let home = deal(&router, "c");
        assert!((0..2).all(|shard| router.next_to(shard, "c") == home));
    }

    #[test]
    fn a_host_with_a_rate_or_a_limit_to_be_found_is_never_split() {
        let rate_limit = Some(RateLimit::Auto);
        let limits = Limits { rate_limit, ..Limits::default() };
        let found = Limits { concurrency: Some(Concurrency::Auto), ..Limits::default() };
        let hosts = vec![("paced".into(), limits), ("found".into(), found)];
        let concurrency_per_host = Concurrency::Fixed(64);
        let router =
            Router::new(4, LimitTable::new(&Options { concurrency_per_host, hosts, ..Options::default() }));
        for host in ["paced", "found"] {
            let home = deal(&router, host);
            assert!((0..100).all(|_| deal(&router, host) == home), "{host}");
            assert!((0..4).all(|shard| router.next_to(shard, host) == home), "{host}");
        }
        assert_ne!(deal(&router, "a"), deal(&router, "a"));
    }

    #[test]
    fn a_single_shard_has_everything() {
        let router = router(1, 3);
        assert_eq!((deal(&router, "a"), router.next_to(0, "a"), router.share_of("a", 0)), (0, 0, None));
    }
}
