//! The server's counters: exact, written by every thread, readable at any time.
//!
//! A request is in flight from the arrival of its head until the last part of its answer is handed to the connection,
//! before that part is written. So the server never counts a request that the client has already seen end, and the
//! highest count is a fair measure of a client's limits: it can only err in the client's favour.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{LimitedStats, Limits};

/// Counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Requests whose head has arrived.
    pub requests: u64,
    /// Those of them that came over HTTP/2.
    pub http2_requests: u64,
    /// Accepted connections.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Most connections open at once.
    pub max_open_connections: u64,
    /// Connections refused because their local address was not loopback.
    pub off_loopback: u64,
    /// Completed TLS handshakes.
    pub tls_handshakes: u64,
    /// Those of them that resumed an earlier session.
    pub resumed_tls: u64,
    /// TLS handshakes that failed.
    pub failed_tls: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Most requests in flight at once.
    pub max_in_flight: u64,
    /// Most requests in flight at once for one host (the Host header without its port, or the `:authority`).
    pub max_in_flight_per_host: u64,
    /// Different hosts requested.
    pub hosts: u64,
    /// Requests that arrived during an outage; [`crate::Outage::Refuse`] lets none arrive.
    pub outage_requests: u64,
}

/// The counters of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStats {
    /// The Host header without its port, lower case.
    pub host: String,
    /// Requests whose head has arrived.
    pub requests: u64,
    /// Most requests in flight at once.
    pub max_in_flight: u64,
    /// When the first request arrived, in microseconds since the server's start, on a clock that never goes back.
    pub first_request_us: u64,
    /// When the latest request arrived, on the same clock.
    pub last_request_us: u64,
    /// Requests that arrived during an outage.
    pub outage_requests: u64,
}

/// The current value of something and its highest value.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicU64,
    max: AtomicU64,
}

impl Gauge {
    /// Adds one; returns the highest value so far. Exact: one of the additions sees the true peak.
    fn rise(&self) -> u64 {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        let max = self.max.load(Relaxed);
        if now > max { self.max.fetch_max(now, Relaxed).max(now) } else { max }
    }

    fn fall(&self) {
        self.now.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug, Default)]
struct Totals {
    requests: AtomicU64,
    http2_requests: AtomicU64,
    connections: AtomicU64,
    off_loopback: AtomicU64,
    tls_handshakes: AtomicU64,
    resumed_tls: AtomicU64,
    failed_tls: AtomicU64,
    open: Gauge,
    in_flight: Gauge,
    max_in_flight_per_host: AtomicU64,
    outage_requests: AtomicU64,
}

/// The counters of one host. Connections keep a reference, so the map is used once per connection and host.
#[derive(Debug)]
pub(crate) struct HostCounters {
    /// The Host header without its port, lower case.
    pub(crate) name: Arc<str>,
    /// The counters of `/limited` for this host.
    pub(crate) limits: Limits,
    /// The server's start.
    pub(crate) started: Instant,
    totals: Arc<Totals>,
    requests: AtomicU64,
    in_flight: Gauge,
    first_request_us: u64,
    last_request_us: AtomicU64,
    outage_requests: AtomicU64,
}

impl HostCounters {
    /// Counts a request in flight until the result is dropped.
    pub(crate) fn enter(self: &Arc<Self>, http2: bool) -> InFlight {
        let totals = &self.totals;
        totals.requests.fetch_add(1, Relaxed);
        if http2 {
            totals.http2_requests.fetch_add(1, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
        self.last_request_us.fetch_max(elapsed_us(self.started), Relaxed);
        totals.in_flight.rise();
        let peak = self.in_flight.rise();
        if peak > totals.max_in_flight_per_host.load(Relaxed) {
            totals.max_in_flight_per_host.fetch_max(peak, Relaxed);
        }
        InFlight(Arc::clone(self))
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<HostCounters>);

impl InFlight {
    pub(crate) fn host(&self) -> &HostCounters {
        &self.0
    }

    /// Counts the request as one that arrived during an outage.
    pub(crate) fn met_outage(&self) {
        self.0.outage_requests.fetch_add(1, Relaxed);
        self.0.totals.outage_requests.fetch_add(1, Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fall();
        self.0.totals.in_flight.fall();
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<Totals>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fall();
    }
}

/// All counters of a server.
#[derive(Debug)]
pub(crate) struct Counters {
    started: Instant,
    totals: Arc<Totals>,
    hosts: Mutex<HashMap<Arc<str>, Arc<HostCounters>>>,
}

impl Counters {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), totals: Arc::default(), hosts: Mutex::default() }
    }

    /// Counts a connection as open until the result is dropped.
    pub(crate) fn connected(&self) -> Open {
        self.totals.connections.fetch_add(1, Relaxed);
        self.totals.open.rise();
        Open(Arc::clone(&self.totals))
    }

    pub(crate) fn refused_off_loopback(&self) {
        self.totals.off_loopback.fetch_add(1, Relaxed);
    }

    pub(crate) fn tls_completed(&self, resumed: bool) {
        self.totals.tls_handshakes.fetch_add(1, Relaxed);
        if resumed {
            self.totals.resumed_tls.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn tls_failed(&self) {
        self.totals.failed_tls.fetch_add(1, Relaxed);
    }

    /// The counters of a host, created with its first request. O(1), under a lock.
    pub(crate) fn host(&self, host: &str) -> Arc<HostCounters> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = hosts.get(host) {
            return Arc::clone(counters);
        }
        let name: Arc<str> = host.into();
        // Created because a request has arrived.
        let now_us = elapsed_us(self.started);
        let counters = Arc::new(HostCounters {
            name: Arc::clone(&name),
            limits: Limits::default(),
            started: self.started,
            totals: Arc::clone(&self.totals),
            requests: AtomicU64::new(0),
            in_flight: Gauge::default(),
            first_request_us: now_us,
            last_request_us: AtomicU64::new(now_us),
            outage_requests: AtomicU64::new(0),
        });
        hosts.insert(name, Arc::clone(&counters));
        counters
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let totals = &self.totals;
        Stats {
            requests: totals.requests.load(Relaxed),
            http2_requests: totals.http2_requests.load(Relaxed),
            connections: totals.connections.load(Relaxed),
            open_connections: totals.open.now.load(Relaxed),
            max_open_connections: totals.open.max.load(Relaxed),
            off_loopback: totals.off_loopback.load(Relaxed),
            tls_handshakes: totals.tls_handshakes.load(Relaxed),
            resumed_tls: totals.resumed_tls.load(Relaxed),
            failed_tls: totals.failed_tls.load(Relaxed),
            in_flight: totals.in_flight.now.load(Relaxed),
            max_in_flight: totals.in_flight.max.load(Relaxed),
            max_in_flight_per_host: totals.max_in_flight_per_host.load(Relaxed),
            hosts: self.hosts.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
            outage_requests: totals.outage_requests.load(Relaxed),
        }
    }

    /// The counters of every host, sorted by name.
    pub(crate) fn hosts(&self) -> Vec<HostStats> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<HostStats> = hosts
            .values()
            .map(|counters| HostStats {
                host: counters.name.to_string(),
                requests: counters.requests.load(Relaxed),
                max_in_flight: counters.in_flight.max.load(Relaxed),
                first_request_us: counters.first_request_us,
                last_request_us: counters.last_request_us.load(Relaxed),
                outage_requests: counters.outage_requests.load(Relaxed),
            })
            .collect();
        all.sort_unstable_by(|a, b| a.host.cmp(&b.host));
        all
    }

    /// The counters of every limit, sorted by host and key.
    pub(crate) fn limits(&self) -> Vec<LimitedStats> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<LimitedStats> =
            hosts.values().flat_map(|counters| counters.limits.stats(&counters.name)).collect();
        all.sort_unstable_by(|a, b| (&a.host, &a.key).cmp(&(&b.host, &b.key)));
        all
    }
}

fn elapsed_us(started: Instant) -> u64 {
    started.elapsed().as_micros() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn test_peaks_are_exact_when_requests_overlap() {
        let counters = Counters::start();
        let (a, b) = (counters.host("a"), counters.host("b"));
        let first = a.enter(false);
        let second = a.enter(false);
        drop(first);
        let third = b.enter(true);
        drop((second, third));
        drop(a.enter(false));
        let stats = counters.snapshot();
        assert_eq!((stats.requests, stats.http2_requests, stats.hosts), (4, 1, 2));
        assert_eq!((stats.in_flight, stats.max_in_flight, stats.max_in_flight_per_host), (0, 2, 2));
        let hosts = counters.hosts();
        assert_eq!(hosts.iter().map(|host| host.max_in_flight).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn test_peak_is_exact_when_threads_compete() {
        let gauge = Gauge::default();
        let held = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        gauge.rise();
                        gauge.fall();
                    }
                    gauge.rise();
                    held.wait();
                    gauge.fall();
                });
            }
        });
        assert_eq!(gauge.now.load(Relaxed), 0);
        assert_eq!(gauge.max.load(Relaxed), 4);
    }
}
