//! Which shard a host belongs to.
//!
//! A host belongs to one shard, so that its limits are exact without any agreement between threads. But one big
//! API would then keep one core busy and leave the others idle: so the first hosts an engine meets, as many as it
//! has shards, are split, their requests dealt out in turn and their limit divided.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

#[derive(Debug)]
pub(crate) struct Router {
    shards: usize,
    limit_per_host: u32,
    hasher: RandomState,
    split: RwLock<Vec<Split>>,
    /// No further host will be split; to be read without the lock.
    settled: AtomicBool,
}

/// A host whose requests go to several shards.
#[derive(Debug)]
struct Split {
    host: Box<str>,
    /// Requests dealt out so far. Their places in the input would not do: where two hosts take turns in the input,
    /// each would meet every other shard only.
    dealt: AtomicUsize,
}

impl Router {
    pub(crate) fn new(shards: usize, limit_per_host: u32) -> Self {
        Self {
            shards,
            limit_per_host,
            hasher: RandomState::new(),
            split: RwLock::default(),
            settled: AtomicBool::new(false),
        }
    }

    /// The shard that sends the next request to `host`.
    pub(crate) fn deal(&self, host: &str) -> usize {
        if self.shards == 1 {
            return 0;
        }
        self.may_split(host);
        let home = self.home(host);
        let split = self.split.read().unwrap_or_else(PoisonError::into_inner);
        let Some(split) = find(&split, host) else { return home };
        let place = split.dealt.fetch_add(1, Ordering::Relaxed) % self.ways();
        (home + place) % self.shards
    }

    /// The shard that goes on with a request to `host` that is on its way at `shard`: the same if it may.
    pub(crate) fn next_to(&self, shard: usize, host: &str) -> usize {
        if self.shards == 1 {
            return 0;
        }
        self.may_split(host);
        if self.limit_at(host, shard) > 0 { shard } else { self.home(host) }
    }

    /// How many requests `shard` may have in flight to `host`. Summed over the shards: the limit, exactly.
    pub(crate) fn limit_at(&self, host: &str, shard: usize) -> u32 {
        if self.shards == 1 {
            return self.limit_per_host;
        }
        let split = self.split.read().unwrap_or_else(PoisonError::into_inner);
        let ways = if find(&split, host).is_some() { self.ways() } else { 1 };
        let place = (shard + self.shards - self.home(host)) % self.shards;
        if place >= ways {
            return 0;
        }
        let rest = self.limit_per_host as usize % ways;
        self.limit_per_host / ways as u32 + u32::from(place < rest)
    }

    fn home(&self, host: &str) -> usize {
        (self.hasher.hash_one(host) % self.shards as u64) as usize
    }

    /// Over how many shards a limit can be divided: each needs at least one.
    fn ways(&self) -> usize {
        self.shards.min(self.limit_per_host as usize).max(1)
    }

    /// Splits a host that is new, while there is room. Once a host has been met this never changes for it.
    fn may_split(&self, host: &str) {
        let known = || find(&self.split.read().unwrap_or_else(PoisonError::into_inner), host).is_some();
        if self.settled.load(Ordering::Acquire) || known() {
            return;
        }
        let mut split = self.split.write().unwrap_or_else(PoisonError::into_inner);
        if split.len() < self.shards && find(&split, host).is_none() {
            split.push(Split { host: host.into(), dealt: AtomicUsize::new(0) });
            self.settled.store(split.len() == self.shards, Ordering::Release);
        }
    }
}

fn find<'a>(split: &'a [Split], host: &str) -> Option<&'a Split> {
    split.iter().find(|split| *split.host == *host)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hosts_are_split_and_the_others_have_one_home() {
        let router = Router::new(2, 10);
        for host in ["a", "b"] {
            assert_ne!(router.deal(host), router.deal(host));
        }
        for host in ["c", "d", "e"] {
            let home = router.deal(host);
            assert!((0..10).all(|_| router.deal(host) == home));
            assert_eq!((router.limit_at(host, home), router.limit_at(host, 1 - home)), (10, 0));
        }
    }

    #[test]
    fn each_split_host_is_dealt_out_evenly_however_the_hosts_alternate() {
        let router = Router::new(2, 10);
        let mut dealt = [[0; 2]; 2];
        for _ in 0..100 {
            for (host, name) in ["a", "b"].into_iter().enumerate() {
                dealt[host][router.deal(name)] += 1;
            }
        }
        assert_eq!(dealt, [[50, 50], [50, 50]]);
    }

    #[test]
    fn a_divided_limit_sums_up_to_the_limit() {
        for limit in 1..20 {
            let router = Router::new(4, limit);
            router.deal("a");
            let shares: Vec<_> = (0..4).map(|shard| router.limit_at("a", shard)).collect();
            assert_eq!(shares.iter().sum::<u32>(), limit);
            for _ in 0..100 {
                assert!(shares[router.deal("a")] > 0);
            }
        }
    }

    #[test]
    fn a_request_on_its_way_stays_where_it_may() {
        let router = Router::new(2, 10);
        for host in ["a", "b"] {
            assert!((0..2).all(|shard| router.next_to(shard, host) == shard));
        }
        let home = router.deal("c");
        assert!((0..2).all(|shard| router.next_to(shard, "c") == home));
    }

    #[test]
    fn a_single_shard_has_everything() {
        let router = Router::new(1, 3);
        assert_eq!((router.deal("a"), router.next_to(0, "a"), router.limit_at("a", 0)), (0, 0, 3));
    }
}
