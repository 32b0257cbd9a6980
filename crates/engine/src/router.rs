//! Which shard a host belongs to.
//!
//! A host belongs to one shard, so that its limits are exact without any agreement between threads. But one big
//! API would then keep one core busy and leave the others idle: so the first hosts an engine meets, as many as it
//! has shards, are split, their requests dealt out in turn and their limit divided.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

#[derive(Debug)]
pub(crate) struct Router {
    shards: usize,
    limit_per_host: u32,
    hasher: RandomState,
    split: RwLock<Vec<Box<str>>>,
    /// Length of `split`, to be read without the lock.
    split_count: AtomicUsize,
}

impl Router {
    pub(crate) fn new(shards: usize, limit_per_host: u32) -> Self {
        Self {
            shards,
            limit_per_host,
            hasher: RandomState::new(),
            split: RwLock::default(),
            split_count: AtomicUsize::new(0),
        }
    }

    /// The shard that sends the request number `turn` to `host`.
    pub(crate) fn shard_of(&self, host: &str, turn: u64) -> usize {
        if self.shards == 1 {
            return 0;
        }
        let home = self.home(host);
        if !self.is_split(host, true) {
            return home;
        }
        let ways = self.ways() as u64;
        (home + (turn % ways) as usize) % self.shards
    }

    /// How many requests `shard` may have in flight to `host`. Summed over the shards: the limit, exactly.
    pub(crate) fn limit_at(&self, host: &str, shard: usize) -> u32 {
        if self.shards == 1 || !self.is_split(host, false) {
            return self.limit_per_host;
        }
        let place = (shard + self.shards - self.home(host)) % self.shards;
        let ways = self.ways();
        if place >= ways {
            return 0;
        }
        let (share, rest) = (self.limit_per_host / ways as u32, self.limit_per_host as usize % ways);
        share + u32::from(place < rest)
    }

    fn home(&self, host: &str) -> usize {
        (self.hasher.hash_one(host) % self.shards as u64) as usize
    }

    /// Over how many shards a limit can be divided: each needs at least one.
    fn ways(&self) -> usize {
        self.shards.min(self.limit_per_host as usize).max(1)
    }

    fn is_split(&self, host: &str, may_add: bool) -> bool {
        let known = self.split.read().unwrap_or_else(PoisonError::into_inner).iter().any(|name| **name == *host);
        if known || !may_add || self.split_count.load(Ordering::Relaxed) >= self.shards {
            return known;
        }
        let mut split = self.split.write().unwrap_or_else(PoisonError::into_inner);
        if split.len() < self.shards && !split.iter().any(|name| **name == *host) {
            split.push(host.into());
            self.split_count.store(split.len(), Ordering::Relaxed);
        }
        split.iter().any(|name| **name == *host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hosts_are_split_and_the_others_have_one_home() {
        let router = Router::new(2, 10);
        for host in ["a", "b"] {
            assert_ne!(router.shard_of(host, 0), router.shard_of(host, 1));
        }
        for host in ["c", "d", "e"] {
            let home = router.shard_of(host, 0);
            assert!((0..10).all(|turn| router.shard_of(host, turn) == home));
            assert_eq!(router.limit_at(host, home), 10);
        }
    }

    #[test]
    fn a_divided_limit_sums_up_to_the_limit() {
        for limit in 1..20 {
            let router = Router::new(4, limit);
            router.shard_of("a", 0);
            let shares: Vec<_> = (0..4).map(|shard| router.limit_at("a", shard)).collect();
            assert_eq!(shares.iter().sum::<u32>(), limit);
            for turn in 0..100 {
                let shard = router.shard_of("a", turn);
                assert!(shares.get(shard).is_some_and(|&share| share > 0));
            }
        }
    }

    #[test]
    fn a_single_shard_has_everything() {
        let router = Router::new(1, 3);
        assert_eq!((router.shard_of("a", 5), router.limit_at("a", 0)), (0, 3));
    }
}
