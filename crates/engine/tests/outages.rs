//! Hosts that fail: what is retried, what waits, what is given up, and that nothing else is affected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{Row, drain, engine, fetch, many_hosts, quick_retries, server, start, url, wait_until};
use hurtle_engine::{Code, JobOptions, Next, Options};
use hurtle_testserver::{Config, Outage, Profile, Server};

const LONG: Duration = Duration::from_secs(600);

/// A job of `count` requests during which the server is out for `length`.
fn through_an_outage(outage: Outage, length: Duration, count: usize) -> (Vec<Row>, Server) {
    let profile = Profile { latency: Duration::from_millis(5), ..Profile::default() };
    let server = Server::start(Config { profile, ..Config::default() }).unwrap();
    let engine = engine(Options { threads: 2, ..Options::default() });
    let job = start(&engine, &vec![server.url("/bytes/10"); count]);
    wait_until("a part is done", || server.stats().requests >= count as u64 / 3);
    server.set_outage(Some(outage)).unwrap();
    std::thread::sleep(length);
    server.set_outage(None).unwrap();
    (drain(&job).0, server)
}

#[test]
fn test_a_host_that_goes_down_and_comes_back_costs_no_row() {
    for outage in [Outage::Refuse, Outage::Status(503), Outage::Reset] {
        let (rows, server) = through_an_outage(outage, Duration::from_secs(3), 2000);
        assert_eq!(rows.len(), 2000);
        for row in &rows {
            assert!(row.ok, "{outage:?}: {row:?}");
            assert_eq!(row.attempts as usize, row.earlier.len() + 1);
        }
        let attempts: u64 = rows.iter().map(|row| u64::from(row.attempts)).sum();
        let extra = attempts - 2000;
        assert!((10..=2000 / 10 + 10).contains(&extra), "{outage:?}: {extra} more than needed");
        drop(server);
    }
}

#[test]
fn test_q8_a_host_that_stays_down_is_given_up_when_nothing_else_is_left() {
    for threads in [1, 2] {
        let server = many_hosts(Duration::from_millis(1));
        let closed = std::net::TcpListener::bind("127.9.9.9:0").unwrap();
        let dead = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        let mut urls = vec![dead; 9000];
        urls.extend((0..3000).map(|n| url(&server, n % 50, "/bytes/1")));
        let engine = engine(Options { threads, ..quick_retries(2) });
        let rows = fetch(&engine, &urls);
        rows.assert_complete(12_000);
        let (dead, alive): (Vec<&Row>, Vec<&Row>) = rows.0.iter().partition(|row| row.index < 9000);
        assert!(alive.iter().all(|row| row.ok));
        let refused: Vec<_> = dead.iter().filter(|row| row.code == Some(Code::ConnectRefused)).collect();
        assert!((10..=60).contains(&refused.len()), "{} were asked", refused.len());
        assert!(
            refused.iter().all(|row| row.attempts as usize == row.earlier.len() + 1 && row.attempts <= 3)
        );
        let not_sent = dead.iter().filter(|row| row.code == Some(Code::HostCircuitOpen)).count();
        assert_eq!(not_sent + refused.len(), 9000);
        // The next job tries the host again.
        assert_eq!(fetch(&engine, &urls[..1]).single().code, Some(Code::ConnectRefused));
    }
}

#[test]
fn test_q9_a_host_that_only_answers_503_keeps_its_answers_and_is_not_stormed() {
    let server = server();
    let rows = fetch(&engine(quick_retries(2)), &vec![server.url("/status/503?body=no"); 300]);
    rows.assert_complete(300);
    for row in &rows.0 {
        assert_eq!((row.status, row.code, row.text().as_str()), (Some(503), None, "no"));
    }
    let extra = server.stats().requests - 300;
    assert!(extra < 60, "{extra} retries");
}

/// The origin of a port of `host` where nobody listens.
fn dead_origin(host: &str) -> String {
    let closed = std::net::TcpListener::bind(format!("{host}:0")).unwrap();
    format!("http://{}", closed.local_addr().unwrap())
}

#[test]
fn test_a_dead_port_costs_nothing_to_the_others_of_its_host() {
    for threads in [1, 2] {
        let server = server();
        let mut urls = vec![dead_origin("127.0.0.1"); 60];
        urls.extend(vec![server.url("/bytes/1"); 200]);
        let rows = fetch(&engine(Options { threads, ..quick_retries(2) }), &urls);
        rows.assert_complete(260);
        assert!(rows.0.iter().all(|row| row.ok == (row.index >= 60)));
    }
}

#[test]
fn test_a_port_that_never_served_is_given_up_soon_whatever_the_others_of_its_host_do() {
    let server = server();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let engine = engine(Options { threads: 1, ..quick_retries(0) });
    fetch(&engine, &vec![server.url("/bytes/1"); 20]).assert_complete(20);
    // Six rounds, as for an origin that has served before, would take half a minute, longer than a test waits for
    // rows.
    let rows = fetch(&engine, &vec![dead; 40]);
    rows.assert_complete(40);
    assert!(rows.0.iter().any(|row| row.code == Some(Code::HostCircuitOpen)));
}

#[test]
fn test_a_bad_section_of_a_list_costs_nothing_to_the_rest_of_its_host() {
    let server = server();
    let url = |n: usize| if n % 300 < 40 { server.url("/status/503") } else { server.url("/bytes/1") };
    let mut options = quick_retries(2);
    options.retries.rounds = 2;
    let rows = fetch(&engine(options), &(0..900).map(url).collect::<Vec<_>>());
    rows.assert_complete(900);
    for row in &rows.0 {
        let expected = if row.index % 300 < 40 { 503 } else { 200 };
        assert_eq!(row.status, Some(expected), "{row:?}");
    }
}

#[test]
fn test_requests_that_fail_twice_are_all_served_in_the_end() {
    let server = server();
    let urls: Vec<String> =
        (0..60).map(|n| server.url(&format!("/flaky?times=2&status=500&key={n}"))).collect();
    let rows = fetch(&engine(quick_retries(2)), &urls);
    rows.assert_complete(60);
    assert!(rows.0.iter().all(|row| row.ok && row.attempts == 3));
}

#[test]
fn test_a_server_that_begins_with_errors_serves_everything_in_the_end() {
    let server = server();
    server.set_outage(Some(Outage::Status(503))).unwrap();
    let engine = engine(quick_retries(2));
    let job = start(&engine, &vec![server.url("/bytes/1"); 3000]);
    std::thread::sleep(Duration::from_secs(1));
    server.set_outage(None).unwrap();
    let rows = drain(&job);
    rows.assert_complete(3000);
    assert!(rows.0.iter().all(|row| row.ok));
}

#[test]
fn test_an_input_that_waits_for_the_rows_of_a_dead_host_gets_them() {
    let engine = engine(quick_retries(1));
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(job.submit(common::submissions(&vec![dead_origin("127.0.0.1"); 60], None)));
    let started = Instant::now();
    let mut count = 0;
    while count < 60 && started.elapsed() < Duration::from_secs(15) {
        if let Next::Batch(batch) = job.next_batch(Duration::from_secs(1)) {
            count += batch.len();
        }
    }
    assert_eq!(count, 60, "though the input has not ended");
}

#[test]
fn test_requests_that_wait_for_another_attempt_do_not_hold_up_the_end_when_their_host_is_down() {
    let mut options = quick_retries(1);
    // Longer than any test waits; a host that is down is given up after its last probe.
    (options.retries.backoff, options.retries.max_backoff) = (LONG, LONG);
    (options.retries.jitter, options.retries.rounds) = (0.0, 0);
    let rows = fetch(&engine(options), &vec![dead_origin("127.0.0.1"); 10]);
    rows.assert_complete(10);
    assert!(rows.0.iter().all(|row| row.code == Some(Code::ConnectRefused)), "{rows:?}");
}
