//! `TestServer`: the scripted server, on its own threads.

use std::collections::{BTreeMap, HashMap};
use std::mem::ManuallyDrop;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hurtle_testserver::{Config, Hosts, Outage, Profile, Robots, Server, StartError, TlsFault};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// The scripted server, on its own threads, on loopback.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct TestServer {
    server: Mutex<ManuallyDrop<Server>>,
    pid: u32,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestServer {
    fn server(&self) -> MutexGuard<'_, ManuallyDrop<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a forked child the threads do not exist: waiting for them would never end.
    fn stop(&self) {
        if self.pid == std::process::id() {
            self.server().stop();
        }
    }
}

#[pymethods]
impl TestServer {
    #[new]
    #[pyo3(signature = (*, host="127.0.0.1", port=0, tls_port=Some(0), tls_fault=None, all_loopback=false,
                        latency=0.0, jitter=0.0, error_rate=0.0, error_status=503, reset_rate=0.0, robots=None,
                        robots_by_host=HashMap::new(), threads=1))]
    #[expect(clippy::too_many_arguments, reason = "keywords of the Python class")]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        tls_port: Option<u16>,
        tls_fault: Option<&str>,
        all_loopback: bool,
        latency: f64,
        jitter: f64,
        error_rate: f64,
        error_status: u16,
        reset_rate: f64,
        robots: Option<WordsOrStatus>,
        robots_by_host: HashMap<String, WordsOrStatus>,
        threads: usize,
    ) -> PyResult<Self> {
        let seconds = |name: &str, value: f64| {
            Duration::try_from_secs_f64(value).map_err(|_| {
                PyValueError::new_err(format!("{name}: {value} is not a number of seconds, 0 or more"))
            })
        };
        let profile = Profile {
            latency: seconds("latency", latency)?,
            jitter: seconds("jitter", jitter)?,
            error_rate,
            error_status,
            reset_rate,
        };
        let host: IpAddr = host
            .parse()
            .map_err(|_| PyValueError::new_err(format!("host: {host:?} is not an IP address")))?;
        let hosts = if all_loopback { Hosts::AllLoopback } else { Hosts::One };
        let tls_fault = tls_fault.map(fault).transpose()?;
        let robots = robots.map(Robots::from);
        let robots_by_host = robots_by_host.into_iter().map(|(host, robots)| (host, robots.into())).collect();
        let config =
            Config { host, hosts, port, tls_port, tls_fault, profile, robots, robots_by_host, threads };
        let server = py.detach(|| Server::start(config)).map_err(|error| raised(&error))?;
        Ok(Self { server: Mutex::new(ManuallyDrop::new(server)), pid: std::process::id() })
    }

    /// The port for HTTP/1.1 and h2c.
    #[getter]
    fn port(&self) -> u16 {
        self.server().addr().port()
    }

    /// The port for TLS, if there is one.
    #[getter]
    fn tls_port(&self) -> Option<u16> {
        self.server().tls_addr().map(|address| address.port())
    }

    /// The throw-away CA, PEM; empty without TLS.
    #[getter]
    fn ca_pem(&self) -> String {
        self.server().ca_pem().to_owned()
    }

    /// Counters since the start.
    fn stats(&self) -> BTreeMap<&'static str, u64> {
        let stats = self.server().stats();
        BTreeMap::from([
            ("requests", stats.requests),
            ("http2_requests", stats.http2_requests),
            ("connections", stats.connections),
            ("open_connections", stats.open_connections),
            ("max_open_connections", stats.max_open_connections),
            ("tls_handshakes", stats.tls_handshakes),
            ("resumed_tls", stats.resumed_tls),
            ("failed_tls", stats.failed_tls),
            ("in_flight", stats.in_flight),
            ("max_in_flight", stats.max_in_flight),
            ("max_in_flight_per_host", stats.max_in_flight_per_host),
            ("hosts", stats.hosts),
            ("outage_requests", stats.outage_requests),
        ])
    }

    /// One row for each host, sorted by name, in the order of the fields of `hurtle.testing.HostStats`.
    fn host_stats(&self) -> Vec<HostRow> {
        let hosts = self.server().host_stats().into_iter();
        hosts
            .map(|host| {
                let (first_us, last_us) = (host.first_request_us, host.last_request_us);
                (host.host, host.requests, host.max_in_flight, first_us, last_us, host.outage_requests)
            })
            .collect()
    }

    /// One row for each host and key, sorted by both, in the order of the fields of `hurtle.testing.LimitedStats`.
    fn limited_stats(&self) -> Vec<LimitedRow> {
        let limits = self.server().limited_stats().into_iter();
        limits
            .map(|limit| {
                let (accepted, refused) = (limit.accepted_by_second, limit.refused_by_second);
                (limit.host, limit.key, limit.accepted, limit.refused, accepted, refused)
            })
            .collect()
    }

    /// Go down: "refuse", "reset", "stall", or an answer with this status.
    fn go_down(&self, py: Python<'_>, how: WordsOrStatus) -> PyResult<()> {
        let outage = outage(how)?;
        py.detach(|| self.server().set_outage(Some(outage))).map_err(|error| raised(&error))
    }

    /// Come up again, on the same ports. No-op for a server that is up.
    fn come_back(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.server().set_outage(None)).map_err(|error| raised(&error))
    }

    /// Stop, and wait until every thread has ended. Idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.stop());
    }
}

/// Host, requests, most in flight, first and last request in microseconds since the start, requests during outages.
type HostRow = (String, u64, u64, u64, u64, u64);

/// Host, key, accepted, refused, and both by second.
type LimitedRow = (String, String, u64, u64, Vec<u32>, Vec<u32>);

/// A word, or an HTTP status.
#[derive(FromPyObject)]
enum WordsOrStatus {
    Status(u16),
    Words(String),
}

impl From<WordsOrStatus> for Robots {
    fn from(given: WordsOrStatus) -> Self {
        match given {
            WordsOrStatus::Status(status) => Self::Status(status),
            WordsOrStatus::Words(text) => Self::Text(text),
        }
    }
}

fn outage(how: WordsOrStatus) -> PyResult<Outage> {
    let name = match how {
        WordsOrStatus::Status(status) => return Ok(Outage::Status(status)),
        WordsOrStatus::Words(name) => name,
    };
    match name.as_str() {
        "refuse" => Ok(Outage::Refuse),
        "reset" => Ok(Outage::Reset),
        "stall" => Ok(Outage::Stall),
        _ => Err(PyValueError::new_err(format!(
            "how: {name:?} is not one of refuse, reset, stall, or a status"
        ))),
    }
}

fn raised(error: &StartError) -> PyErr {
    match error {
        StartError::Invalid { .. } => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

fn fault(name: &str) -> PyResult<TlsFault> {
    Ok(match name {
        "expired" => TlsFault::Expired,
        "wrong_name" => TlsFault::WrongName,
        "self_signed" => TlsFault::SelfSigned,
        "unknown_ca" => TlsFault::UnknownCa,
        "eof" => TlsFault::Eof,
        "stall" => TlsFault::Stall,
        _ => {
            let allowed = "expired, wrong_name, self_signed, unknown_ca, eof, stall";
            return Err(PyValueError::new_err(format!("tls_fault: {name:?} is not one of {allowed}")));
        }
    })
}
