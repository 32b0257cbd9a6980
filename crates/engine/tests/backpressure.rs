//! A consumer that falls behind stops the engine, and loses nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{Script, drain, engine, one_attempt, server, settled, start, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Next, Options, Timeouts};

/// Long enough to see that nothing moves any more.
const CALM: Duration = Duration::from_millis(150);

/// Resident memory of this process, in bytes; 0 if the system does not report it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() << 10
}

#[test]
fn test_s8_requests_stop_when_nobody_takes_rows_and_all_come_when_somebody_does() {
    for threads in [1, 2] {
        let server = server();
        let options =
            Options { threads, concurrency_per_host: Fixed(4), max_buffer: 16 << 20, ..Options::default() };
        let engine = engine(options);
        let job = start(&engine, &vec![server.url("/bytes/100000"); 300]);
        let sent = settled(CALM, || server.stats().requests);
        // A sixteenth of it, ten rows, is the limit; requests that were in flight then still end.
        assert!((10..=10 + 8).contains(&sent), "{threads} threads: {sent} were sent");
        let rows = drain(&job);
        rows.assert_complete(300);
        assert!(rows.0.iter().all(|row| row.body.len() == 100_000 && row.ok));
        assert_eq!(server.stats().requests, 300);
    }
}

#[test]
fn test_it_goes_on_and_stops_again_as_rows_are_taken() {
    let server = server();
    let options =
        Options { threads: 1, concurrency_per_host: Fixed(2), max_buffer: 1 << 20, ..Options::default() };
    let engine = engine(options);
    let job = start(&engine, &vec![server.url("/bytes/500000"); 60]);
    let mut taken = 0;
    while taken < 30 {
        settled(Duration::from_millis(30), || server.stats().requests);
        if let Next::Batch(batch) = job.next_batch(Duration::from_secs(5)) {
            taken += batch.len() as u64;
        }
        // Twice the limit in rows, and the requests in flight.
        let sent = settled(Duration::from_millis(30), || server.stats().requests);
        assert!(sent <= taken + 8, "{sent} sent, {taken} taken");
    }
    assert_eq!(taken + drain(&job).0.len() as u64, 60);
}

#[test]
fn test_a_peer_that_leaves_while_its_body_has_no_room_costs_no_attempt() {
    const PIECES: usize = 48;
    let piece = vec![7; 64 << 10];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECES * piece.len());
    let (first_is_read, left) = (AtomicBool::new(false), AtomicU32::new(0));
    let script = Script::start(move |_, peer| {
        while let Some(request) = peer.request() {
            let is_first = request.starts_with("GET /first");
            let leaves = !is_first && left.fetch_add(1, Ordering::SeqCst) == 0;
            if !is_first {
                wait_until("the first is being read", || first_is_read.load(Ordering::SeqCst));
            }
            peer.send(&head);
            if leaves {
                peer.send(&piece);
                return;
            }
            for _ in 0..PIECES {
                peer.send(&piece);
                if is_first {
                    std::thread::sleep(Duration::from_millis(20));
                    first_is_read.store(true, Ordering::SeqCst);
                }
            }
        }
    });
    let engine = engine(Options { max_buffer: 1 << 20, ..one_attempt() });
    let rows = drain(&start(&engine, &[script.url("/first"), script.url("/second")]));
    rows.assert_complete(2);
    assert!(rows.0.iter().all(|row| row.ok && row.attempts == 1 && row.body.len() == PIECES * (64 << 10)));
    assert_eq!(script.requests(), 3, "the second was cut, and sent again");
}

#[test]
fn test_reading_stops_in_the_middle_of_bodies_at_twice_the_mark() {
    let server = server();
    let options = Options {
        threads: 1,
        concurrency: Fixed(30),
        concurrency_per_host: Fixed(30),
        max_buffer: 1 << 20,
        max_body_size: 1 << 30,
        ..Options::default()
    };
    let engine = engine(options);
    let before = resident();
    // The first row alone is over twice the limit. The others are far larger than socket buffers: the server cannot
    // finish them while nobody reads.
    let large: u64 = 50 << 20;
    let mut urls = vec![server.url("/bytes/3000000")];
    urls.extend(vec![server.url(&format!("/bytes/{large}")); 10]);
    let job = start(&engine, &urls);
    wait_until("they are in flight", || server.stats().requests == 11);
    assert_eq!(settled(CALM, || server.stats().in_flight), 10);
    let more = resident().saturating_sub(before);
    assert!(more < 10 * large / 2, "{} MB more", more >> 20);
    let rows = drain(&job);
    rows.assert_complete(11);
    assert!(rows.0.iter().all(|row| row.ok && (row.index == 0 || row.body.len() as u64 == large)));
}

#[test]
fn test_no_timeout_strikes_while_the_engine_itself_has_stopped() {
    let server = server();
    let timeout = Timeouts {
        total: Some(Duration::from_millis(300)),
        read: Some(Duration::from_millis(200)),
        ..Timeouts::default()
    };
    let options = Options {
        threads: 1,
        timeout,
        deadline: Some(Duration::from_millis(400)),
        max_buffer: 200_000,
        concurrency_per_host: Fixed(8),
        ..one_attempt()
    };
    let engine = engine(options);
    let job = start(&engine, &vec![server.url("/bytes/8000000"); 8]);
    wait_until("they are in flight", || server.stats().requests == 8);
    std::thread::sleep(Duration::from_millis(600));
    let rows = drain(&job);
    rows.assert_complete(8);
    for row in &rows.0 {
        assert_eq!((row.code, row.body.len()), (None, 8_000_000), "{} {}", row.index, row.detail);
    }
}

#[test]
fn test_retries_and_redirects_wait_for_the_consumer_as_well() {
    let server = server();
    let mut options = Options { threads: 2, max_buffer: 100_000, ..Options::default() };
    options.retries.backoff = Duration::from_millis(5);
    let engine = engine(options);
    let urls: Vec<String> = (0..90)
        .map(|n| match n % 3 {
            0 => server.url(&format!("/flaky?key={n}")),
            1 => server.url("/redirect-to?url=/bytes/50000"),
            _ => server.url("/bytes/50000"),
        })
        .collect();
    let job = start(&engine, &urls);
    let sent = settled(CALM, || server.stats().requests);
    assert!(sent < 60, "{sent} were sent");
    drain(&job).assert_complete(90);
}

#[test]
fn test_a_row_larger_than_the_whole_buffer_comes_through() {
    let server = server();
    let engine = engine(Options { max_buffer: 1, ..Options::default() });
    let started = Instant::now();
    let rows = drain(&start(&engine, &vec![server.url("/bytes/1000000"); 20]));
    rows.assert_complete(20);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn test_bodies_end_one_after_the_other_when_their_first_pieces_exceed_the_limit() {
    const AT_ONCE: u32 = 24;
    let all_asked = Arc::new(Barrier::new(AT_ONCE as usize));
    let body = "x".repeat(400_000);
    let script = Script::start(move |_, peer| {
        if peer.request().is_none() {
            return;
        }
        all_asked.wait();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        peer.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        peer.wait_for_end();
    });
    for threads in [1, 2] {
        let options =
            Options { max_buffer: 100_000, concurrency_per_host: Fixed(AT_ONCE), threads, ..one_attempt() };
        let engine = engine(options);
        let rows = drain(&start(&engine, &vec![script.url("/"); AT_ONCE as usize]));
        rows.assert_complete(u64::from(AT_ONCE));
        assert!(rows.0.iter().all(|row| row.ok && row.body.len() == 400_000));
    }
}
