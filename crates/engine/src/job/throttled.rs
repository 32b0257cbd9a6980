//! Which hosts refused requests of a job, for the sentence that says what held it up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Hosts beyond so many are not told apart: one of them stands for all.
const MOST_HOSTS: usize = 1024;

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

/// The hosts that refused.
#[derive(Debug, Default)]
pub(crate) struct ThrottledHosts(Mutex<HashMap<Box<str>, ThrottledHost>>);

impl ThrottledHosts {
    /// A host refused a request.
    pub(crate) fn note(&self, host: &str, status: u16, wait: Option<Duration>) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS && !hosts.contains_key(host) {
            return;
        }
        let known = hosts
            .entry(host.into())
            .or_insert_with(|| ThrottledHost { host: host.into(), ..ThrottledHost::default() });
        known.status = status;
        known.refusals += 1;
        known.wait = wait;
    }

    /// A host that refused before bears so much.
    pub(crate) fn note_rate(&self, host: &str, per_s: f64) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(host) {
            known.rate_per_s = Some(per_s);
        }
    }

    /// The one that refused the most.
    pub(crate) fn worst(&self) -> Option<ThrottledHost> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.values().max_by_key(|host| host.refusals).cloned()
    }
}
