//! A machine that runs out of file descriptors. A file of its own: the limit holds for the whole process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{engine, fetch, one_attempt};
use hurtle_engine::Options;
use hurtle_testserver::{Config, Hosts, Server};

#[test]
fn test_c6_idle_connections_make_room_when_descriptors_run_out() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    let port = server.addr().port();
    // Server and client live in one process: each connection takes two.
    rlimit::Resource::NOFILE.set(100, 100).unwrap();
    let urls: Vec<String> = (1..=150).map(|n| format!("http://127.0.0.{n}:{port}/bytes/10")).collect();
    let started = Instant::now();
    let rows = fetch(&engine(Options { concurrency: 10, threads: 1, ..one_attempt() }), &urls);
    rows.assert_complete(150);
    for row in &rows.0 {
        assert_eq!((row.code, row.attempts), (None, 1), "{} {}", row.url, row.detail);
    }
    assert!(server.stats().connections >= 150 && server.stats().max_open_connections < 50);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
