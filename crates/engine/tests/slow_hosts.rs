//! Hosts that make requests wait: they hold up nobody, and nobody waits for them longer than it is worth.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{
    Row, drain, engine, fetch, many_hosts, one_attempt, quick_retries, settled, start, url, wait_until,
};
use hurtle_engine::{Code, Concurrency, Job, Next, Options};

/// Longer than any test waits.
const SILENT: &str = "/delay/60000";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Takes rows until there are `count`.
fn take(job: &Job, count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    while rows.len() < count {
        match job.next_batch(Duration::from_secs(20)) {
            Next::Batch(batch) => rows.extend(batch.iter().map(Row::from)),
            other => panic!("{other:?} after {} rows", rows.len()),
        }
    }
    rows
}

#[test]
fn test_hosts_that_only_wait_hold_up_nobody() {
    for threads in [1, 2] {
        let server = many_hosts(ms(1));
        let mut options = one_attempt();
        (options.concurrency, options.threads) = (Concurrency::Fixed(8), threads);
        options.timeout.total = Some(ms(6000));
        let engine = engine(options);
        let mut urls: Vec<String> = (0..16).map(|host| url(&server, host, SILENT)).collect();
        urls.extend((0..200).map(|n| url(&server, 100 + n % 50, "/bytes/1")));
        let job = start(&engine, &urls);
        let rows = take(&job, 200);
        assert!(
            rows.iter().all(|row| row.ok && row.index >= 16),
            "a silent one ended before the last healthy one"
        );
        job.cancel();
    }
}

#[test]
fn test_no_more_than_so_many_go_on_without_a_permit() {
    let server = many_hosts(ms(1));
    let mut options = one_attempt();
    (options.concurrency, options.threads) = (Concurrency::Fixed(2), 1);
    options.timeout.total = Some(ms(4000));
    let engine = engine(options);
    let urls: Vec<String> = (0..40).map(|host| url(&server, host, SILENT)).collect();
    let job = start(&engine, &urls);
    wait_until("the loans are used up", || server.stats().requests >= 10);
    assert_eq!(settled(ms(900), || server.stats().requests), 10, "2 permits, and 4 loans for each");
    job.cancel();
}

#[test]
fn test_hosts_that_only_wait_are_decided_together_when_nothing_else_is_left() {
    let server = many_hosts(ms(1));
    let mut options = one_attempt();
    (options.concurrency, options.threads) = (Concurrency::Fixed(8), 1);
    options.timeout.total = Some(ms(10_000));
    let engine = engine(options);
    let urls: Vec<String> = (0..8 * 10).map(|n| url(&server, n % 8, SILENT)).collect();
    let job = start(&engine, &urls);
    wait_until("each gets more than one request", || server.stats().max_in_flight >= 24);
    job.cancel();
}

#[test]
fn test_a_host_that_never_answers_is_decided_once_for_all_its_rows() {
    let server = many_hosts(ms(1));
    let mut options = quick_retries(1);
    options.concurrency_per_host = Concurrency::Fixed(3);
    options.timeout.total = Some(ms(1000));
    let mut urls: Vec<String> = (0..4 * 30).map(|n| url(&server, n % 4, SILENT)).collect();
    urls.extend((0..100).map(|n| url(&server, 100 + n % 10, "/bytes/1")));
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(220);
    let mut asked: HashMap<Option<Code>, usize> = HashMap::new();
    for row in &rows.0 {
        *asked.entry(row.code).or_default() += 1;
        assert_eq!(row.ok, row.index >= 120, "{row:?}");
    }
    assert_eq!(asked[&None], 100);
    assert_eq!(asked[&Some(Code::TimeoutFirstByte)] + asked[&Some(Code::HostCircuitOpen)], 120);
    // Three at once, their retries, a probe, and one more where the probe was not the last thing that ended.
    let silent = server.stats().requests - 100;
    assert!(silent <= 4 * 6, "{silent} requests to four hosts that never answer");
}

#[test]
fn test_a_host_whose_bodies_never_end_is_asked_once_for_each_row() {
    let server = many_hosts(ms(1));
    let mut options = quick_retries(2);
    options.concurrency_per_host = Concurrency::Fixed(3);
    options.timeout.total = Some(ms(1000));
    let endless = "/drip?bytes=100000&ms=100";
    let mut urls: Vec<String> = (0..2 * 9).map(|n| url(&server, n % 2, endless)).collect();
    urls.extend((0..100).map(|n| url(&server, 100 + n % 10, "/bytes/1")));
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(118);
    for row in &rows.0 {
        let code = (row.index < 18).then_some(Code::TimeoutBody);
        assert_eq!((row.code, row.ok), (code, code.is_none()), "{row:?}");
    }
    // Once for each row, and a few more: before it was known that nothing ends there, and to see whether that changes.
    let endless = server.stats().requests - 100;
    assert!(endless <= 2 * (9 + 7), "{endless} requests for 18 rows, of which each may have three attempts");
}

#[test]
fn test_a_few_rows_that_are_only_refused_do_not_hold_up_the_end() {
    let server = many_hosts(ms(1));
    let mut options = Options::default();
    options.timeout.total = Some(ms(300));
    let refused = "/retry-after?seconds=3600&status=429&times=1000000";
    let mut urls: Vec<String> =
        (0..6).map(|n| url(&server, n % 2, &format!("{refused}&key={}", n % 2))).collect();
    urls.extend((0..100).map(|n| url(&server, 100 + n % 10, "/bytes/1")));
    // The host wants to be left alone for an hour, of which two minutes are believed: longer than a test waits.
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(106);
    for row in &rows.0 {
        let is_refused = row.status == Some(429) || row.code == Some(Code::HostThrottled);
        assert_eq!((row.ok, is_refused), (row.index >= 6, row.index < 6), "{row:?}");
    }
}

#[test]
fn test_a_limit_that_is_found_stays_where_hosts_fail_that_never_worked() {
    let server = many_hosts(ms(300));
    let closed = std::net::TcpListener::bind("127.9.9.9:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let mut options = quick_retries(0);
    options.concurrency = Concurrency::Auto;
    let mut urls: Vec<String> =
        (0..2000).map(|n| format!("http://127.8.{}.{}:{port}/", n / 250, n % 250 + 1)).collect();
    urls.extend((0..600).map(|n| url(&server, n, "/bytes/1")));
    let engine = engine(options);
    let rows = drain(&start(&engine, &urls));
    rows.assert_complete(2600);
    assert!(server.stats().max_in_flight >= 200, "{} at once", server.stats().max_in_flight);
}
