//! Attempts: which are repeated, after how long, and what the row says about them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{Script, engine, fetch, fetch_one, quick_retries, send, server};
use http::Method;
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Options, Spec};
use hurtle_testserver::{Config, Profile, Server};

#[test]
fn test_attempts_are_counted_and_logged() {
    let server = server();
    let mut options = quick_retries(3);
    options.retries.backoff = Duration::from_millis(40);
    options.retries.jitter = 0.0;
    let row = fetch_one(&engine(options), &server.url("/flaky?times=2&key=a&status=502"));
    assert_eq!((row.status, row.ok, row.attempts, row.text().as_str()), (Some(200), true, 3, "recovered\n"));
    let log = &row.earlier;
    assert_eq!(log.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [Some(502), Some(502)]);
    assert!(log.iter().all(|attempt| attempt.code.is_none() && attempt.duration_us > 0));
    assert_eq!(log.iter().map(|attempt| attempt.wait_us).collect::<Vec<_>>(), [0, 40_000]);
    // The second began at least one wait after the first ended.
    let between = log.last().unwrap().started_us - log.first().unwrap().started_us;
    assert!((40_000..200_000).contains(&between), "{between} µs");
}

#[test]
fn test_q6_the_last_answer_stays_when_attempts_run_out() {
    let server = server();
    let row = fetch_one(&engine(quick_retries(2)), &server.url("/status/503?body=still+down"));
    assert_eq!((row.status, row.code, row.attempts), (Some(503), None, 3));
    assert_eq!((row.text().as_str(), row.ok, row.earlier.len()), ("still down", false, 2));
    assert_eq!(server.stats().requests, 3);
}

#[test]
fn test_faults_are_tried_again() {
    let server = server();
    for (fault, code) in [("reset", Code::ConnectReset), ("close", Code::ProtocolEmpty)] {
        let engine = engine(quick_retries(2));
        let row = fetch_one(&engine, &server.url(&format!("/flaky?fault={fault}&key={fault}")));
        assert_eq!((row.status, row.attempts), (Some(200), 2), "{fault}: {row:?}");
        assert_eq!(row.earlier.first().and_then(|attempt| attempt.code), Some(code));
    }
}

#[test]
fn test_a_post_is_sent_once_unless_asked() {
    let server = server();
    let post = || Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
    let engine_once = engine(quick_retries(3));
    for (path, status) in [("/flaky?key=p", Some(503)), ("/flaky?key=q&fault=reset", None)] {
        let row = send(&engine_once, &server.url(path), post());
        assert_eq!((row.status, row.attempts, row.ok), (status, 1, false), "{path}");
    }
    let mut options = quick_retries(3);
    options.retries.methods.push(Method::POST);
    let row = send(&engine(options), &server.url("/flaky?key=r"), post());
    assert_eq!((row.status, row.attempts), (Some(200), 2));
}

#[test]
fn test_q7_client_errors_are_not_tried_again() {
    let server = server();
    let engine = engine(quick_retries(3));
    for status in [400, 401, 403, 404, 410, 501] {
        let row = fetch_one(&engine, &server.url(&format!("/status/{status}")));
        assert_eq!((row.status, row.attempts, row.code), (Some(status), 1, None));
    }
}

#[test]
fn test_a_waiting_request_holds_nobody_up() {
    let server = server();
    let mut options = Options { concurrency: Fixed(1), ..quick_retries(1) };
    options.retries.backoff = Duration::from_millis(200);
    options.retries.jitter = 0.0;
    let mut urls = vec![server.url("/flaky?key=slow")];
    urls.extend((0..50).map(|n| server.url(&format!("/bytes/{n}"))));
    let started = Instant::now();
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(51);
    assert_eq!(rows.0.last().map(|row| (row.index, row.attempts)), Some((0, 2)));
    assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
}

#[test]
fn test_a_retry_begins_where_the_caller_asked_not_where_a_redirect_led() {
    let server = server();
    let row = fetch_one(&engine(quick_retries(2)), &server.url("/redirect-to?url=/flaky%3Fkey=x"));
    assert_eq!((row.status, row.attempts, row.hops.len()), (Some(200), 2, 1));
    assert_eq!(server.stats().requests, 4);
    assert_eq!(row.final_url, server.url("/flaky?key=x"));
}

#[test]
fn test_every_row_comes_once_when_the_server_fails_at_random() {
    let profile = Profile { error_rate: 0.1, reset_rate: 0.02, ..Profile::default() };
    let server = Server::start(Config { profile, ..Config::default() }).unwrap();
    for threads in [1, 2] {
        let urls: Vec<String> = (0..2000).map(|n| server.url(&format!("/bytes/{n}"))).collect();
        let rows = fetch(&engine(Options { threads, ..quick_retries(20) }), &urls);
        rows.assert_complete(2000);
        for row in &rows.0 {
            assert_eq!((row.status, row.body.len() as u64, row.code), (Some(200), row.index, None));
            assert_eq!(row.attempts as usize, row.earlier.len() + 1);
        }
        assert!(rows.0.iter().any(|row| row.attempts > 2));
    }
}

#[test]
fn test_c8_a_connection_closed_while_idle_costs_no_attempt() {
    for closes_after in [1, 3] {
        let script = Script::start(move |_, peer| {
            for _ in 0..closes_after {
                if peer.request().is_none() {
                    return;
                }
                // Closes without announcing it.
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let engine = engine(Options { concurrency: Fixed(4), ..quick_retries(0) });
        for round in 0..10 {
            let rows = fetch(&engine, &vec![script.url("/"); 20]);
            rows.assert_complete(20);
            for row in &rows.0 {
                assert_eq!((row.code, row.attempts, row.ok), (None, 1, true), "{round}: {}", row.detail);
            }
        }
    }
}

#[test]
fn test_c8_a_connection_closed_on_the_next_request_costs_no_attempt() {
    let script = Script::start(|_, peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        // The worst moment: the request has arrived, and there is no response.
        peer.request();
    });
    let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..quick_retries(0) });
    let rows = fetch(&engine, &vec![script.url("/"); 10]);
    for row in &rows.0 {
        assert_eq!((row.code, row.attempts, row.ok), (None, 1, true), "{}", row.detail);
    }
    assert_eq!(script.requests(), 19, "all but the first were sent twice");
    // A request that must not be sent twice is not sent twice.
    let spec = Spec { method: Method::POST, ..Spec::default() };
    let row = send(&engine, &script.url("/"), spec);
    assert_eq!((row.code, row.attempts), (Some(Code::ProtocolEmpty), 1));
}

#[test]
fn test_c8_a_fresh_connection_that_closes_is_a_failure() {
    let script = Script::start(|_, peer| drop(peer.request()));
    let row = fetch_one(&engine(quick_retries(0)), &script.url("/"));
    assert_eq!((row.code, row.attempts), (Some(Code::ProtocolEmpty), 1));
    assert_eq!(script.requests(), 1);
}
