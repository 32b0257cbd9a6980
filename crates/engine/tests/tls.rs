//! TLS: trust, failures, and sessions that are resumed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{engine, fetch, fetch_one, one_attempt, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Engine, Http2, Options, StartError, Verify};
use hurtle_testserver::{Config, Server, TlsFault};

/// A file that is removed when dropped.
struct Bundle(PathBuf);

impl Bundle {
    fn new(pem: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("hurtle-ca-{}-{number}.pem", std::process::id()));
        std::fs::write(&path, pem).unwrap();
        Self(path)
    }

    fn options(&self) -> Options {
        Options { verify: Verify::Bundle(self.0.clone()), threads: 1, ..one_attempt() }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

fn faulty(tls_fault: Option<TlsFault>) -> (Server, Bundle, String) {
    let server = Server::start(Config { tls_fault, ..Config::default() }).unwrap();
    let (bundle, url) = (Bundle::new(server.ca_pem()), server.tls_url("/bytes/100").unwrap());
    (server, bundle, url)
}

#[test]
fn test_a_bundle_is_trusted_and_nothing_else() {
    let (server, bundle, url) = faulty(None);
    for http2 in [Http2::Auto, Http2::Never] {
        let row = fetch_one(&engine(Options { http2, ..bundle.options() }), &url);
        assert_eq!((row.code, row.status, row.body.len()), (None, Some(200), 100), "{}", row.detail);
        assert!(row.timings.tls.is_some());
    }
    let (_, other, _) = faulty(None);
    assert_eq!(fetch_one(&engine(other.options()), &url).code, Some(Code::TlsUnknownCa));
    assert_eq!(fetch_one(&engine(one_attempt()), &url).code, Some(Code::TlsUnknownCa), "the system's roots");
    let nobody = Options { verify: Verify::Nobody, ..one_attempt() };
    assert_eq!(fetch_one(&engine(nobody), &url).code, None);
    assert_eq!(server.stats().failed_tls, 2);
}

#[test]
fn test_t1_to_t6_each_fault_has_its_code() {
    for (fault, code) in [
        (TlsFault::Expired, Code::TlsExpired),
        (TlsFault::WrongName, Code::TlsName),
        (TlsFault::SelfSigned, Code::TlsSelfSigned),
        (TlsFault::UnknownCa, Code::TlsUnknownCa),
        (TlsFault::Eof, Code::TlsEof),
    ] {
        let (server, bundle, url) = faulty(Some(fault));
        let row = fetch_one(&engine(bundle.options()), &url);
        assert_eq!((row.code, row.status, row.attempts), (Some(code), None, 1), "{fault:?}: {}", row.detail);
        assert_eq!(server.stats().requests, 0, "{fault:?}: a request went to whom nobody trusts");
        if fault != TlsFault::Eof {
            let nobody = Options { verify: Verify::Nobody, ..one_attempt() };
            assert_eq!(fetch_one(&engine(nobody), &url).code, None, "{fault:?}");
        }
    }
}

#[test]
fn test_t7_a_plain_port_is_no_tls() {
    let (server, bundle, _) = faulty(None);
    let url = server.url("/").replace("http:", "https:");
    assert_eq!(fetch_one(&engine(bundle.options()), &url).code, Some(Code::TlsNotTls));
}

#[test]
fn test_plain_http_to_a_tls_port_is_a_failure() {
    let (_server, bundle, url) = faulty(None);
    let row = fetch_one(&engine(bundle.options()), &url.replace("https:", "http:"));
    assert!(row.code.is_some() && row.status.is_none(), "{row:?}");
}

#[test]
fn test_sessions_are_resumed() {
    let (server, bundle, url) = faulty(None);
    let engine = engine(Options { http2: Http2::Never, concurrency: Fixed(1), ..bundle.options() });
    for round in 0..5 {
        // A request that ends its connection: the next has to shake hands again.
        assert_eq!(fetch_one(&engine, &url).code, None);
        fetch_one(&engine, &server.tls_url("/truncate/1").unwrap());
        wait_until("the connection is closed", || server.stats().open_connections == 0);
        assert_eq!(server.stats().tls_handshakes, round + 1);
    }
    assert_eq!(server.stats().resumed_tls, 4, "{:?}", server.stats());
}

#[test]
fn test_a_kept_connection_shakes_hands_once() {
    let (server, bundle, url) = faulty(None);
    let options = Options { http2: Http2::Never, concurrency_per_host: Fixed(5), ..bundle.options() };
    let rows = fetch(&engine(options), &vec![url; 500]);
    rows.assert_complete(500);
    assert!(rows.0.iter().all(|row| row.ok));
    assert!(server.stats().tls_handshakes <= 5, "{:?}", server.stats());
    assert!(rows.0.iter().filter(|row| row.timings.tls.is_some()).count() <= 5);
}

#[test]
fn test_a_bundle_that_cannot_be_used_stops_the_start() {
    let empty = Bundle::new("no certificate");
    for path in [empty.0.clone(), PathBuf::from("/nonexistent/ca.pem")] {
        let started = Engine::start(Options { verify: Verify::Bundle(path), ..Options::default() });
        assert!(matches!(started, Err(StartError::Config(error)) if error.option == "verify"));
    }
}
