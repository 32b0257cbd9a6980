//! The limits of one host, by key, and their counters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limiter::{Limiter, Rule, Ruling};

/// Seconds since the server's start that are counted one by one: an hour takes up to 28 kB per key.
const COUNTED_SECONDS: usize = 3600;

/// The counters of one limit of `/limited`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedStats {
    /// The Host header without its port, lower case.
    pub host: String,
    /// The request's `key`.
    pub key: String,
    /// Requests answered with 200.
    pub accepted: u64,
    /// Requests answered with 429.
    pub refused: u64,
    /// Requests accepted in each second since the server's start, up to the last one with a request, at most 3600.
    pub accepted_by_second: Vec<u32>,
    /// Requests refused in each of these seconds.
    pub refused_by_second: Vec<u32>,
}

/// The limits of one host.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<String, Limit>>);

#[derive(Debug)]
struct Limit {
    limiter: Limiter,
    accepted: u64,
    refused: u64,
    /// Accepted and refused, by second.
    seconds: Vec<(u32, u32)>,
}

impl Limits {
    /// Decides about a request with this key and counts it. Amortised O(1), under a lock of this host.
    ///
    /// A rule that differs from the key's last one starts from zero; the counters continue.
    pub(crate) fn ask(&self, key: &str, rule: Rule, started: Instant) -> Ruling {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: the limiter's time never goes back.
        let now = started.elapsed();
        if let Some(limit) = limits.get_mut(key) {
            return limit.ask(rule, now);
        }
        limits.entry(key.to_owned()).or_insert_with(|| Limit::new(rule)).ask(rule, now)
    }

    /// The counters of every key's limit, in no particular order.
    pub(crate) fn stats(&self, host: &str) -> Vec<LimitedStats> {
        let limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limits.iter().map(|(key, limit)| limit.stats(host, key)).collect()
    }
}

impl Limit {
    fn new(rule: Rule) -> Self {
        Self { limiter: Limiter::new(rule), accepted: 0, refused: 0, seconds: Vec::new() }
    }

    fn ask(&mut self, rule: Rule, now: Duration) -> Ruling {
        if self.limiter.rule() != rule {
            self.limiter = Limiter::new(rule);
        }
        let ruling = self.limiter.ask(now);
        let mut unseen = (0, 0);
        let (accepted, refused) = self.second(now).unwrap_or(&mut unseen);
        if ruling.accepted {
            *accepted += 1;
            self.accepted += 1;
        } else {
            *refused += 1;
            self.refused += 1;
        }
        ruling
    }

    fn second(&mut self, now: Duration) -> Option<&mut (u32, u32)> {
        let second = usize::try_from(now.as_secs()).ok().filter(|&second| second < COUNTED_SECONDS)?;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, (0, 0));
        }
        self.seconds.get_mut(second)
    }

    fn stats(&self, host: &str, key: &str) -> LimitedStats {
        let (accepted_by_second, refused_by_second) = self.seconds.iter().copied().unzip();
        LimitedStats {
            host: host.to_owned(),
            key: key.to_owned(),
            accepted: self.accepted,
            refused: self.refused,
            accepted_by_second,
            refused_by_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::Window;

    const RULE: Rule = Rule { window: Window::Fixed, rate: 2, per: Duration::from_secs(1) };

    #[test]
    fn test_rulings_are_counted_by_second() {
        let mut limit = Limit::new(RULE);
        for ms in [100, 200, 300, 2000, 2001] {
            limit.ask(RULE, Duration::from_millis(ms));
        }
        let stats = limit.stats("a", "k");
        assert_eq!((stats.accepted, stats.refused), (4, 1));
        assert_eq!(stats.accepted_by_second, [2, 0, 2]);
        assert_eq!(stats.refused_by_second, [1, 0, 0]);
    }

    #[test]
    fn test_series_is_bounded_when_the_server_runs_for_days() {
        let mut limit = Limit::new(RULE);
        for hours in 0..100 {
            assert!(limit.ask(RULE, Duration::from_secs(hours * 3600)).accepted);
        }
        let stats = limit.stats("a", "k");
        assert_eq!((stats.accepted, stats.accepted_by_second), (100, vec![1]));
        limit.ask(RULE, Duration::from_secs(3599));
        assert_eq!(limit.stats("a", "k").accepted_by_second.len(), COUNTED_SECONDS);
    }

    #[test]
    fn test_a_changed_rule_starts_afresh_when_its_key_has_counted() {
        let mut limit = Limit::new(RULE);
        let now = Duration::from_millis(10);
        assert_eq!([(); 3].map(|()| limit.ask(RULE, now).accepted), [true, true, false]);
        let tighter = Rule { rate: 1, ..RULE };
        assert_eq!([(); 2].map(|()| limit.ask(tighter, now).accepted), [true, false]);
        assert_eq!((limit.accepted, limit.refused), (3, 2));
    }
}
