//! A machine that runs out of file descriptors. A file of its own: the limit holds for the whole process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{engine, fetch, one_attempt};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::Options;
use hurtle_testserver::{Config, Hosts, Server};

/// Tells this program, when it is started again, to act as the server.
const SERVE: &str = "HURTLE_TEST_SERVES";

/// The server, in a process of its own: in this one it would run out of descriptors as well.
fn server_elsewhere(test: &str) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(SERVE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

/// Serves until standard input ends, with the other process at the latest.
fn serve() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    eprintln!("{}", server.addr().port());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn test_c6_idle_connections_make_room_when_descriptors_run_out() {
    if std::env::var_os(SERVE).is_some() {
        return serve();
    }
    let (mut child, port) = server_elsewhere("test_c6_idle_connections_make_room_when_descriptors_run_out");
    rlimit::Resource::NOFILE.set(50, 50).unwrap();
    let urls: Vec<String> = (1..=150).map(|n| format!("http://127.0.0.{n}:{port}/bytes/10")).collect();
    let started = Instant::now();
    let rows = fetch(&engine(Options { concurrency: Fixed(10), threads: 1, ..one_attempt() }), &urls);
    rows.assert_complete(150);
    for row in &rows.0 {
        assert_eq!((row.code, row.attempts), (None, 1), "{} {}", row.url, row.detail);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(child.stdin.take());
    child.wait().unwrap();
}
