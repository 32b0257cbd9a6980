//! Which hosts refused requests of a job, for the sentence that says what held it up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hosts beyond so many are not told apart: one of them stands for all.
const MOST_HOSTS: usize = 1024;

/// An average over less time says nothing.
const LEAST: Duration = Duration::from_secs(2);

/// A host that refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThrottledHost {
    /// Its name.
    pub host: String,
    /// With which status, the last time.
    pub status: u16,
    /// How many requests it refused.
    pub refusals: u64,
    /// The wait that it named last.
    pub wait: Option<Duration>,
    /// Requests per second that it bears, as far as is known.
    pub rate_per_s: Option<f64>,
}

/// A host that refused, and what it has answered since.
#[derive(Debug)]
struct Known {
    host: ThrottledHost,
    since: Instant,
    answered: u64,
}

/// The hosts that refused.
#[derive(Debug, Default)]
pub(crate) struct ThrottledHosts(Mutex<HashMap<Box<str>, Known>>);

impl ThrottledHosts {
    /// A host refused a request.
    pub(crate) fn note(&self, host: &str, status: u16, wait: Option<Duration>, now: Instant) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS && !hosts.contains_key(host) {
            return;
        }
        let known = hosts.entry(host.into()).or_insert_with(|| Known {
            host: ThrottledHost { host: host.into(), ..ThrottledHost::default() },
            since: now,
            answered: 0,
        });
        known.host.status = status;
        known.host.refusals += 1;
        known.host.wait = wait;
    }

    /// A host that refused before has answered a request, and seems to accept so many a second.
    ///
    /// What it has answered since its first refusal counts if it is more: its quota is known less well while this client
    /// is slow.
    pub(crate) fn note_rate(&self, host: &str, per_s: f64, now: Instant) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(host) {
            known.answered += 1;
            let passed = now.saturating_duration_since(known.since);
            let average = if passed >= LEAST { known.answered as f64 / passed.as_secs_f64() } else { 0.0 };
            known.host.rate_per_s = Some(per_s.max(average));
        }
    }

    /// The one that refused the most.
    pub(crate) fn worst(&self) -> Option<ThrottledHost> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.values().map(|known| &known.host).max_by_key(|host| host.refusals).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_what_was_answered_where_that_is_more() {
        let (hosts, start) = (ThrottledHosts::default(), Instant::now());
        hosts.note("a", 429, None, start);
        for request in 1..=100_u32 {
            hosts.note_rate("a", 10.0, start + Duration::from_millis(50) * request);
        }
        hosts.note_rate("b", 10.0, start);
        let worst = hosts.worst().map(|host| (host.host, host.refusals, host.rate_per_s));
        assert_eq!(worst, Some(("a".into(), 1, Some(20.0))));
    }
}
