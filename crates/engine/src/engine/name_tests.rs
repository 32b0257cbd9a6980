//! The cases of names: what a name server answers, and how the row ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::Engine;
use super::stage::{Row, Stage, fetch};
use crate::connect::DnsConfig;
use crate::connect::fake_server::A;
use crate::error::Code;
use crate::options::Options;

fn stage() -> Stage {
    Stage::new(Duration::ZERO)
}

fn options() -> Options {
    let mut options = Options { threads: 1, ..Options::default() };
    options.retries.backoff = Duration::from_millis(5);
    options
}

fn fetch_one(engine: &Engine, url: String) -> Row {
    fetch(engine, &[url]).remove(0)
}

#[test]
fn test_d1_a_name_that_does_not_exist_is_asked_for_once_and_not_tried_again() {
    let stage = stage();
    let rows = fetch(&stage.engine(options()), &vec![stage.url("missing.example", "/"); 20]);
    for row in rows {
        assert_eq!((row.code, row.attempts), (Some(Code::DnsNotFound), 1));
    }
    assert_eq!(stage.names.count("missing.example.", A), 1, "the answer holds for the run");
}

#[test]
fn test_d2_a_name_server_that_fails_is_asked_again() {
    let stage = stage();
    let row = fetch_one(&stage.engine(options()), stage.url("broken.example", "/"));
    assert_eq!((row.code, row.attempts), (Some(Code::DnsTemporary), 3));
    assert!(stage.names.count("broken.example.", A) >= 3, "the failure was remembered");
}

#[test]
fn test_d3_names_without_an_answer_hold_up_no_other() {
    let stage = stage();
    let silent = (0..40).map(|n| stage.url(&format!("silent.n{n}.example"), "/"));
    let mut urls: Vec<String> = silent.collect();
    urls.extend((0..10).map(|n| stage.url(&format!("at.127-0-0-2.n{n}.example"), "/bytes/1")));
    let mut options = options();
    options.retries.total = 1;
    // Fewer names at a time than there are silent ones: each gives its place back.
    let dns = DnsConfig { concurrency: 16, timeout: Duration::from_millis(100), ..stage.dns() };
    let rows = fetch(&Engine::start_with(options, dns).unwrap(), &urls);
    for row in &rows[..40] {
        assert_eq!((row.code, row.attempts), (Some(Code::TimeoutDns), 2));
    }
    assert!(rows[40..].iter().all(|row| row.status == Some(200)), "{rows:?}");
}

#[test]
fn test_d4_a_name_without_an_address_is_not_tried_again() {
    let stage = stage();
    let row = fetch_one(&stage.engine(options()), stage.url("empty.example", "/"));
    assert_eq!((row.code, row.attempts), (Some(Code::DnsNoAddress), 1));
}

/// TCP cannot connect to a multicast address: the system says that the network is unreachable, and sends nothing.
#[cfg(target_os = "linux")]
#[test]
fn test_d5_all_addresses_are_tried_before_a_host_is_unreachable() {
    let stage = stage();
    let engine = stage.engine(options());
    let row = fetch_one(&engine, stage.url("at.v6-ff02--1.127-0-0-2.example", "/bytes/1"));
    assert_eq!((row.status, row.attempts, row.remote.as_deref()), (Some(200), 1, Some("127.0.0.2")));
    let row = fetch_one(&engine, stage.url("at.v6-ff02--1.v6-ff02--2.example", "/bytes/1"));
    assert_eq!((row.code, row.attempts), (Some(Code::ConnectUnreachable), 3));
}

#[cfg(target_os = "linux")]
#[test]
fn test_d9_a_thousand_addresses_and_aliases_in_a_circle_end() {
    let stage = stage();
    let mut options = options();
    options.retries.total = 1;
    let engine = stage.engine(options);
    // The port of a socket that does not listen: each address refuses.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let row = fetch_one(&engine, format!("http://thousand.example:{port}/"));
    assert_eq!((row.code, row.attempts), (Some(Code::ConnectRefused), 2));
    let row = fetch_one(&engine, stage.url("left.example", "/"));
    assert_eq!((row.code, row.attempts), (Some(Code::DnsTemporary), 2));
    assert!(stage.names.queries() <= 100, "{} queries", stage.names.queries());
}
