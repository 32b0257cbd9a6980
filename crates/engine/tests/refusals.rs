//! Hosts that refuse: nothing is lost, hardly anything is refused twice, and what was not worked on is sent again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{Row, Rows, Script, drain, engine, fetch, fetch_one, quick_retries, server, start, submissions};
use http::Method;
use hurtle_engine::{AttemptEnd, Code, Engine, JobOptions, Options, Refused, RetryPolicy, Spec, Submission};

/// As callers have it who say nothing.
fn defaults() -> Engine {
    engine(Options { threads: 1, ..Options::default() })
}

fn with(change: impl FnOnce(&mut RetryPolicy)) -> Engine {
    let mut options = Options { threads: 1, ..Options::default() };
    change(&mut options.retries);
    engine(options)
}

fn post(engine: &Engine, urls: &[String]) -> Rows {
    let spec = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
    let job = engine.job(JobOptions::default()).unwrap();
    let all = urls
        .iter()
        .zip(0..)
        .map(|(url, index)| Submission::new(index, url, Some(Box::new(spec.clone())), None));
    assert!(job.submit(all.collect()));
    job.finish();
    drain(&job)
}

fn refused(rows: &Rows) -> u32 {
    rows.0.iter().map(|row| row.throttled).sum()
}

#[test]
fn test_all_rows_are_ok_when_a_host_takes_five_a_second() {
    let server = server();
    for limit in [
        "window=fixed&retry_after=1",
        "window=fixed",
        "window=sliding&retry_after=date",
        "window=sliding&headers=x",
        "window=bucket&burst=5&retry_after=1",
        "window=bucket&burst=5",
        "window=fixed&status=503&retry_after=1",
        "window=fixed&status=503",
    ] {
        let url =
            server.url(&format!("/limited?rate=5&per=1&key={}&{limit}", limit.replace(['&', '='], "-")));
        let (rows, began) = (fetch(&defaults(), &vec![url; 20]), Instant::now());
        rows.assert_complete(20);
        assert!(rows.0.iter().all(|row| row.status == Some(200)), "{limit}: {rows:?}");
        let late = began.elapsed();
        assert!(refused(&rows) <= 16, "{limit}: {} refusals, {late:?}", refused(&rows));
    }
}

#[test]
fn test_posts_that_are_refused_are_sent_again_and_worked_on_once() {
    let server = server();
    let url = server.url("/limited?rate=50&per=1&window=fixed&retry_after=1");
    let rows = post(&defaults(), &vec![url; 200]);
    rows.assert_complete(200);
    assert!(rows.0.iter().all(|row| row.ok && row.end == AttemptEnd::Answered));
    let accepted = server.stats().requests - u64::from(refused(&rows));
    assert_eq!(accepted, 200);
    let waited = rows.0.iter().find(|row| row.throttled > 0).unwrap();
    assert!(waited.earlier.iter().all(|attempt| attempt.end == AttemptEnd::Refused));
    assert_eq!(waited.attempts, waited.throttled + 1);
}

#[test]
fn test_a_refused_post_ends_so_when_only_idempotent_ones_are_repeated() {
    let server = server();
    let engine = with(|retries| retries.refused = Refused::Idempotent);
    let url = server.url("/retry-after?value=1&status=429&times=1");
    let rows = post(&engine, &[url]);
    assert_eq!((rows.0[0].status, rows.0[0].attempts, rows.0[0].throttled), (Some(429), 1, 1));
}

#[test]
fn test_refusals_count_as_attempts_without_patience() {
    let server = server();
    let engine = with(|retries| (retries.patience, retries.backoff) = (None, Duration::from_millis(1)));
    let row = fetch_one(&engine, &server.url("/limited?rate=1&per=60&key=a"));
    assert_eq!(row.status, Some(200));
    let row = fetch_one(&engine, &server.url("/limited?rate=1&per=60&key=a"));
    assert_eq!((row.status, row.attempts, row.throttled), (Some(429), 3, 3));
}

#[test]
fn test_a_host_that_refuses_for_longer_than_patience_is_given_up() {
    let script = Script::answer("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n");
    let engine = with(|retries| retries.patience = Some(Duration::from_secs(2)));
    let rows = fetch(&engine, &vec![script.url("/"); 300]);
    rows.assert_complete(300);
    let (asked, others): (Vec<&Row>, Vec<&Row>) = rows.0.iter().partition(|row| row.attempts > 0);
    assert!(asked.iter().all(|row| row.status == Some(429) && row.throttled > 0));
    assert!(others.iter().all(|row| row.code == Some(Code::HostThrottled)), "{others:?}");
    assert!(script.requests() < 30, "{} requests", script.requests());
}

#[test]
fn test_a_host_that_asks_for_more_than_all_patience_is_believed_the_second_time() {
    let script = Script::answer("HTTP/1.1 503 No\r\nretry-after: 999999999\r\ncontent-length: 0\r\n\r\n");
    let engine = with(|retries| retries.max_retry_after = Duration::from_millis(200));
    let began = Instant::now();
    let rows = fetch(&engine, &vec![script.url("/"); 100]);
    rows.assert_complete(100);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(rows.0.iter().all(|row| row.status == Some(503) || row.code == Some(Code::HostThrottled)));
    assert!(script.requests() <= 25, "{}", script.requests());
}

#[test]
fn test_a_first_answer_that_asks_for_more_than_all_patience_ends_no_other_request() {
    let script = Script::start(|_, peer| {
        while let Some(head) = peer.request() {
            if head.starts_with("GET /first") {
                peer.send("HTTP/1.1 429 No\r\nretry-after: 999999999\r\ncontent-length: 0\r\n\r\n");
            } else {
                std::thread::sleep(Duration::from_millis(100));
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let engine = with(|retries| retries.max_retry_after = Duration::from_millis(200));
    let rows = fetch(&engine, &[vec![script.url("/first")], vec![script.url("/"); 30]].concat());
    rows.assert_complete(31);
    let statuses = |status| rows.0.iter().filter(|row| row.status == Some(status)).count();
    assert_eq!((statuses(200), statuses(429)), (30, 1), "{rows:?}");
}

#[test]
fn test_a_redirect_that_names_a_wait_delays_the_hop() {
    let script = Script::start(|_, peer| {
        while let Some(head) = peer.request() {
            peer.send(if head.starts_with("GET /next") {
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            } else {
                "HTTP/1.1 303 See Other\r\nlocation: /next\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
            });
        }
    });
    let began = Instant::now();
    let row = fetch_one(&defaults(), &script.url("/"));
    assert_eq!((row.status, row.attempts, row.throttled), (Some(200), 1, 0), "{}", row.detail);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

/// A port that refuses connections as long as the socket lives.
fn closed_port() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[test]
fn test_without_patience_a_host_that_only_refuses_is_given_up() {
    let server = server();
    let engine = with(|retries| {
        retries.patience = None;
        retries.backoff = Duration::from_millis(10);
    });
    let urls: Vec<String> = (0..200).map(|n| server.url(&format!("/status/429?{n}"))).collect();
    let rows = fetch(&engine, &urls);
    rows.assert_complete(200);
    let never_sent = rows.0.iter().filter(|row| row.code == Some(Code::HostThrottled)).count();
    assert!(never_sent > 100, "{never_sent}");
    assert!(rows.0.iter().all(|row| row.code.is_some() || row.status == Some(429)));
    assert!(server.stats().requests < 60, "{}", server.stats().requests);
}

#[test]
fn test_a_redirect_that_names_a_wait_beyond_the_deadline_ends_at_once() {
    let script = Script::answer(
        "HTTP/1.1 303 See Other\r\nlocation: /next\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n",
    );
    let deadline = Some(Duration::from_secs(5));
    let row = fetch_one(&engine(Options { deadline, threads: 1, ..Options::default() }), &script.url("/"));
    assert_eq!((row.code, row.status, row.attempts), (Some(Code::TimeoutDeadline), Some(303), 1));
    assert!(row.detail.contains("wait for 30.0 s"), "{}", row.detail);
}

#[test]
fn test_a_post_is_sent_again_when_its_503_names_a_wait_that_was_rounded_down_to_nothing() {
    let script = Script::start(|number, peer| {
        if peer.request().is_some() {
            let refusal = "503 No\r\nretry-after: 0";
            let head = if number == 0 { refusal } else { "200 OK" };
            peer.send(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        }
    });
    let rows = post(&defaults(), &[script.url("/")]);
    assert_eq!((rows.0[0].status, rows.0[0].throttled), (Some(200), 1));
}

#[test]
fn test_a_post_that_was_never_sent_is_tried_again() {
    let (_socket, port) = closed_port();
    let rows = post(&engine(quick_retries(2)), &[format!("http://127.0.0.1:{port}/")]);
    let row = &rows.0[0];
    assert_eq!((row.code, row.attempts, row.end), (Some(Code::ConnectRefused), 3, AttemptEnd::Unsent));
}

#[test]
fn test_a_post_is_not_sent_again_when_what_its_answer_leads_to_cannot_be_reached() {
    let (_socket, port) = closed_port();
    let head = format!("HTTP/1.1 303 See Other\r\nlocation: http://127.0.0.1:{port}/\r\n");
    let script = Script::answer(format!("{head}content-length: 0\r\n\r\n"));
    let rows = post(&engine(quick_retries(2)), &[script.url("/")]);
    let row = &rows.0[0];
    assert_eq!((row.code, row.end), (Some(Code::ConnectRefused), AttemptEnd::Unknown));
    assert_eq!((script.requests(), row.attempts), (1, 1), "the first server has worked on it");
}

#[test]
fn test_a_post_of_which_nothing_is_known_is_not_tried_again() {
    let script = Script::start(|_, peer| {
        peer.request();
        peer.reset();
    });
    let rows = post(&engine(quick_retries(2)), &[script.url("/")]);
    assert_eq!((rows.0[0].attempts, rows.0[0].end), (1, AttemptEnd::Unknown));
}

#[test]
fn test_no_post_is_lost_or_sent_twice_when_a_server_is_away_for_a_while() {
    let server = server();
    let engine = defaults();
    let job = engine.job(JobOptions::default()).unwrap();
    let spec = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
    let urls = vec![server.url("/delay/2"); 3000];
    let all = urls
        .iter()
        .zip(0..)
        .map(|(url, index)| Submission::new(index, url, Some(Box::new(spec.clone())), None));
    assert!(job.submit(all.collect()));
    job.finish();
    common::wait_until("some were served", || server.stats().requests > 200);
    server.set_outage(Some(hurtle_testserver::Outage::Refuse)).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    server.set_outage(None).unwrap();
    let rows = drain(&job);
    rows.assert_complete(3000);
    assert!(rows.0.iter().all(|row| row.code != Some(Code::ConnectRefused)));
    let lost = rows.0.iter().filter(|row| !row.ok).count();
    assert!(lost <= 10, "{lost}: those that were in flight when it went");
    assert!(server.stats().requests <= 3000, "{}: some were sent twice", server.stats().requests);
}

#[test]
fn test_deadlines_end_requests_that_wait_for_a_host_that_refuses() {
    let script = Script::answer("HTTP/1.1 429 No\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n");
    let engine =
        engine(Options { deadline: Some(Duration::from_millis(500)), threads: 1, ..Options::default() });
    let rows = fetch(&engine, &vec![script.url("/"); 20]);
    rows.assert_complete(20);
    let ends = |row: &Row| row.status == Some(429) || row.code == Some(Code::TimeoutDeadline);
    assert!(rows.0.iter().all(ends), "{rows:?}");
}

#[test]
fn test_a_job_that_is_dropped_leaves_nothing_behind_at_a_host_that_refuses() {
    let script = Script::answer("HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
    let engine = defaults();
    let job = start(&engine, &vec![script.url("/"); 50]);
    common::wait_until("some were refused", || script.requests() >= 10);
    drop(job);
    let other =
        engine.job(JobOptions { max_duration: Some(Duration::from_millis(300)), ..JobOptions::default() });
    let other = other.unwrap();
    assert!(other.submit(submissions(&[script.url("/")], None)));
    other.finish();
    drain(&other).assert_complete(1);
}
