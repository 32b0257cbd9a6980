//! Which proxies work, and whose turn it is. Shared by all shards.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::options::ProxyId;

/// So many failures in a row, and a proxy is left out.
const DEAD: u32 = 3;
/// How long at first; doubles with each failure of the request that tries it again.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The health of all proxies of an engine.
#[derive(Debug)]
pub(crate) struct ProxyHealth {
    began: Instant,
    next: AtomicUsize,
    each: Box<[Health]>,
}

#[derive(Debug, Default)]
struct Health {
    failures: AtomicU32,
    /// It is left out until then, in milliseconds; 0: it works.
    until_ms: AtomicU64,
}

impl ProxyHealth {
    pub(crate) fn new(proxies: usize, now: Instant) -> Self {
        Self {
            began: now,
            next: AtomicUsize::new(0),
            each: (0..proxies).map(|_| Health::default()).collect(),
        }
    }

    /// The next of some proxies, in turn. One that is left out gets a single request when its rest is over; if all are
    /// left out, the one that may be tried first is chosen.
    pub(crate) fn choose(&self, among: &[ProxyId], now: Instant) -> Option<ProxyId> {
        if among.len() < 2 {
            return among.first().copied();
        }
        let now_ms = self.ms(now);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % among.len();
        let (before, after) = among.split_at(turn);
        let in_turn = || after.iter().chain(before).copied();
        in_turn()
            .find(|&proxy| self.takes(proxy, now_ms))
            .or_else(|| in_turn().min_by_key(|&proxy| self.until(proxy)))
    }

    /// Whether one of some proxies, but for `except`, works.
    pub(crate) fn has_other(&self, among: &[ProxyId], except: ProxyId) -> bool {
        among.iter().any(|&proxy| proxy != except && self.until(proxy) == 0)
    }

    /// It has led somewhere.
    pub(crate) fn worked(&self, proxy: ProxyId) {
        if let Some(health) = self.of(proxy)
            && health.failures.load(Ordering::Relaxed) > 0
        {
            health.failures.store(0, Ordering::Relaxed);
            health.until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// It has not.
    pub(crate) fn failed(&self, proxy: ProxyId, now: Instant) {
        let Some(health) = self.of(proxy) else { return };
        let failures = health.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= DEAD {
            let rest = FIRST_REST.saturating_mul(1 << (failures - DEAD).min(10)).min(LONGEST_REST);
            health.until_ms.store(self.ms(now + rest), Ordering::Relaxed);
        }
    }

    fn takes(&self, proxy: ProxyId, now_ms: u64) -> bool {
        let Some(health) = self.of(proxy) else { return false };
        let until = health.until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        // The first to see that its rest is over tries it; the others wait for what that shows.
        let again = now_ms + FIRST_REST.as_millis() as u64;
        let swap =
            |until| health.until_ms.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed);
        until <= now_ms && swap(until).is_ok()
    }

    fn until(&self, proxy: ProxyId) -> u64 {
        self.of(proxy).map_or(u64::MAX, |health| health.until_ms.load(Ordering::Relaxed))
    }

    fn of(&self, proxy: ProxyId) -> Option<&Health> {
        self.each.get(usize::from(proxy.0))
    }

    /// Above 0, which means that a proxy works.
    fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ProxyId; 3] = [ProxyId(0), ProxyId(1), ProxyId(2)];

    fn chosen(health: &ProxyHealth, now: Instant, times: usize) -> Vec<u16> {
        (0..times).filter_map(|_| health.choose(&ALL, now)).map(|proxy| proxy.0).collect()
    }

    #[test]
    fn proxies_are_used_in_turn() {
        let now = Instant::now();
        let health = ProxyHealth::new(3, now);
        assert_eq!(chosen(&health, now, 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(health.choose(&[], now), None);
        assert_eq!(health.choose(&[ProxyId(1)], now), Some(ProxyId(1)));
    }

    #[test]
    fn a_dead_one_is_left_out_and_tried_again_now_and_then() {
        let now = Instant::now();
        let health = ProxyHealth::new(3, now);
        for _ in 0..DEAD {
            assert!(chosen(&health, now, 3).contains(&1));
            health.failed(ProxyId(1), now);
        }
        assert!(!chosen(&health, now, 30).contains(&1));
        let later = now + FIRST_REST;
        assert_eq!(chosen(&health, later, 30).iter().filter(|&&proxy| proxy == 1).count(), 1);
        health.failed(ProxyId(1), later);
        assert!(!chosen(&health, later + FIRST_REST, 30).contains(&1), "its rest has doubled");
        assert_eq!(
            chosen(&health, later + 2 * FIRST_REST, 30).iter().filter(|&&proxy| proxy == 1).count(),
            1
        );
        health.worked(ProxyId(1));
        assert!(chosen(&health, later, 3).contains(&1));
    }

    #[test]
    fn if_all_are_dead_the_one_that_rests_least_is_tried() {
        let now = Instant::now();
        let health = ProxyHealth::new(3, now);
        for (proxy, failures) in [(0, DEAD + 2), (1, DEAD), (2, DEAD + 1)] {
            (0..failures).for_each(|_| health.failed(ProxyId(proxy), now));
        }
        assert_eq!(chosen(&health, now, 3), [1, 1, 1]);
        assert!(!health.has_other(&ALL, ProxyId(1)));
        health.worked(ProxyId(2));
        assert!(health.has_other(&ALL, ProxyId(1)) && !health.has_other(&ALL, ProxyId(2)));
    }
}
