//! Limits by address, with names that a server of ours resolves: every address of 127.0.0.0/8 answers here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hurtle_testserver::{Config, Server};

use super::JobOptions;
use super::stage::{LIMIT, Stage, drain, fetch, start};
use crate::connect::fake_server::A;
use crate::error::Code;
use crate::options::{Concurrency, LimitBy, Limits, Options};
use crate::request::Submission;

fn by_ip(threads: usize) -> Options {
    Options { limit_by: LimitBy::Ip, threads, ..Options::default() }
}

fn at_once(limit: u32, options: Options) -> Options {
    Options { concurrency_per_host: Concurrency::Fixed(limit), ..options }
}

#[test]
fn test_names_of_one_address_share_a_limit_and_other_addresses_have_their_own() {
    for threads in [1, 2, 3] {
        let stage = Stage::new(Duration::from_millis(4));
        let engine = stage.engine(at_once(4, by_ip(threads)));
        // Fifty names of one address, with the address itself; and one name of another.
        let mut urls: Vec<String> = (0..200)
            .map(|n| stage.url(&format!("at.127-0-0-2.n{}.example", n % 50), "/bytes/1"))
            .chain((0..20).map(|_| stage.url("127.0.0.2", "/bytes/1")))
            .collect();
        assert!(fetch(&engine, &urls).iter().all(|row| row.status == Some(200)));
        assert_eq!(stage.server.stats().max_in_flight, 4, "{threads} threads");
        assert_eq!(stage.server.stats().hosts, 51);
        urls.extend((0..100).map(|_| stage.url("at.127-0-0-3.other.example", "/bytes/1")));
        let rows = fetch(&engine, &urls);
        let remotes = |range: std::ops::Range<usize>, address: &str| {
            rows[range].iter().all(|row| row.remote.as_deref() == Some(address))
        };
        assert!(remotes(0..220, "127.0.0.2") && remotes(220..320, "127.0.0.3"));
        assert_eq!(stage.peaks()["at.127-0-0-3.other.example"], 4);
        assert_eq!(stage.server.stats().max_in_flight, 8, "{threads} threads");
        assert_eq!(stage.names.count("at.127-0-0-2.n7.example.", A), 1, "asked for once, by one shard");
    }
}

#[test]
fn test_a_name_of_several_addresses_uses_one_and_the_next_where_nobody_listens() {
    for threads in [1, 2] {
        let stage = Stage::new(Duration::ZERO);
        let options = Options { limit_by: LimitBy::Ip, threads, ..Options::default() };
        let engine = stage.engine(Options { retries: no_retries(), ..options });
        let both = stage.url("at.127-0-0-2.127-0-0-3.example", "/bytes/1");
        let rows = fetch(&engine, &vec![both; 50]);
        assert!(rows.iter().all(|row| row.remote.as_deref() == Some("127.0.0.2")));
        // A server at 127.0.0.5 alone.
        let host = "127.0.0.5".parse().unwrap();
        let only = Server::start(Config { host, ..Config::default() }).unwrap();
        let url = format!("http://at.127-0-0-4.127-0-0-5.example:{}/bytes/1", only.addr().port());
        let rows = fetch(&engine, &vec![url; 50]);
        for row in &rows {
            assert_eq!((row.status, row.attempts), (Some(200), 1), "{row:?}");
            assert_eq!(row.remote.as_deref(), Some("127.0.0.5"));
        }
    }
}

fn no_retries() -> crate::options::RetryPolicy {
    crate::options::RetryPolicy { total: 0, ..Options::default().retries }
}

#[test]
fn test_requests_without_address_or_connection_end_as_they_do_when_limits_are_by_host() {
    let stage = Stage::new(Duration::ZERO);
    let mut retries = no_retries();
    (retries.total, retries.backoff) = (2, Duration::from_millis(5));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut urls: Vec<String> =
        ["missing.example", "x.invalid", "broken.example", "silent.example", "empty.example"]
            .map(|name| stage.url(name, "/bytes/1"))
            .into();
    urls.push(format!("http://at.127-0-0-2.127-0-0-3.example:{closed}/"));
    urls.push(format!("http://127.0.0.4:{closed}/"));
    urls.push(stage.url("at.127-0-0-2.example", "/redirect-to?url=http://missing.example/"));
    for threads in [1, 2] {
        let rows = [LimitBy::Host, LimitBy::Ip].map(|limit_by| {
            let options = Options { limit_by, threads, retries: retries.clone(), ..Options::default() };
            fetch(&stage.engine(options), &urls)
        });
        assert_eq!(rows[0], rows[1]);
        let codes: Vec<_> = rows[1].iter().map(|row| row.code.map(Code::as_str)).collect();
        let dns = ["dns.not_found", "dns.not_found", "dns.temporary", "timeout.dns", "dns.no_address"];
        assert_eq!(codes[..5], dns.map(Some));
        assert_eq!(codes[5..7], [Some("connect.refused"); 2]);
        assert_eq!(rows[1][2].attempts, 3);
    }
}

#[test]
fn test_a_wait_for_an_address_ends_with_the_deadline_the_job_or_its_cancellation() {
    let stage = Stage::new(Duration::ZERO);
    let silent = vec![stage.url("silent.example", "/"); 20];
    let deadline = Some(Duration::from_millis(50));
    for threads in [1, 2] {
        let engine = stage.engine(Options { deadline, ..by_ip(threads) });
        let rows = fetch(&engine, &silent);
        assert!(rows.iter().all(|row| row.code == Some(Code::TimeoutDeadline) && row.attempts == 0));
        let engine = stage.engine(by_ip(threads));
        let max_duration = deadline;
        let job = engine.job(JobOptions { max_duration, ..JobOptions::default() }).unwrap();
        assert!(
            job.submit(
                silent.iter().zip(0..).map(|(url, at)| Submission::new(at, url, None, None)).collect()
            )
        );
        job.finish();
        assert!(drain(&job).iter().all(|row| row.code == Some(Code::TimeoutJob)));
        let job = start(&engine, &silent);
        job.cancel();
        assert!(drain(&job).is_empty());
        let job = start(&engine, &silent);
        job.stop();
        // Dropped without rows, once the name server has not answered in time.
        let start = Instant::now();
        while job.progress().queued > 0 {
            assert!(start.elapsed() < LIMIT, "{:?}", job.progress());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(job.progress().stats.done, 0);
        // Others are not held up, and the engine goes on.
        let urls = vec![stage.url("at.127-0-0-2.example", "/bytes/1"); 20];
        assert!(fetch(&engine, &urls).iter().all(|row| row.status == Some(200)));
    }
}

#[test]
fn test_names_with_limits_of_their_own_and_named_addresses_keep_them() {
    let limits =
        |limit, shared| Limits { concurrency: Some(Concurrency::Fixed(limit)), shared, rate_limit: None };
    let hosts = vec![
        ("at.127-0-0-2.own.example".into(), limits(2, false)),
        ("127.0.0.3".into(), limits(3, false)),
        ("127.0.0.4, 127.0.0.5".into(), limits(5, true)),
    ];
    for threads in [1, 2] {
        let stage = Stage::new(Duration::from_millis(4));
        let engine = stage.engine(Options { hosts: hosts.clone(), ..at_once(4, by_ip(threads)) });
        let peak = |names: &[&str]| {
            let before = stage.server.stats().max_in_flight;
            let urls: Vec<_> = (0..60).map(|n| stage.url(names[n % names.len()], "/bytes/1")).collect();
            assert!(fetch(&engine, &urls).iter().all(|row| row.status == Some(200)));
            stage.server.stats().max_in_flight.max(before)
        };
        assert_eq!(peak(&["at.127-0-0-2.own.example"]), 2);
        assert_eq!(peak(&["at.127-0-0-3.a.example", "at.127-0-0-3.b.example", "127.0.0.3"]), 3);
        assert_eq!(peak(&["at.127-0-0-2.x.example", "127.0.0.2"]), 4);
        assert_eq!(peak(&["at.127-0-0-4.a.example", "at.127-0-0-5.b.example", "127.0.0.5"]), 5);
        assert_eq!(peak(&["127.0.0.2", "at.127-0-0-2.own.example"]), 6, "each for itself");
    }
}

#[test]
fn test_a_request_that_moves_to_an_address_still_counts_as_waiting() {
    let host = "127.0.0.5".parse().unwrap();
    // At the first address of the second list nobody listens.
    for addresses in ["127-0-0-5", "127-0-0-4.127-0-0-5"] {
        let stage = Stage::new(Duration::ZERO);
        let only = Server::start(Config { host, ..Config::default() }).unwrap();
        let engine = stage.engine(at_once(1, by_ip(3)));
        let port = only.addr().port();
        let urls: Vec<_> =
            (0..40).map(|n| format!("http://at.{addresses}.n{n}.example:{port}/hang")).collect();
        let job = start(&engine, &urls);
        let (start, mut calm) = (Instant::now(), 0);
        // One is sent and gets no response. The others wait, wherever their names were resolved.
        while calm < 50 {
            let progress = job.progress();
            let is_calm = (progress.in_flight, progress.queued, only.stats().in_flight) == (1, 39, 1);
            calm = if is_calm && stage.names.queries() == 80 { calm + 1 } else { 0 };
            assert!(start.elapsed() < LIMIT, "{addresses}: {progress:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        job.cancel();
    }
}

/// Answers `count` requests with a redirect, each on a connection of its own.
fn redirects(to: &'static str, count: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming().take(count) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            if lines.all(|line| !line.unwrap().is_empty()) {
                continue;
            }
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n");
            stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).unwrap();
        }
    });
    (port, thread)
}

#[test]
fn test_another_job_asks_for_robots_txt_when_its_redirect_waits_for_an_address_and_the_job_is_stopped() {
    let stage = Stage::new(Duration::ZERO);
    let (port, thread) = redirects("http://silent.example/robots.txt", 2);
    let engine = stage.engine(Options { robots: true, retries: no_retries(), ..by_ip(2) });
    let urls = [format!("http://127.0.0.1:{port}/a")];
    let (first, began) = (start(&engine, &urls), Instant::now());
    while stage.names.count("silent.example.", A) == 0 {
        assert!(began.elapsed() < LIMIT, "{:?}", first.progress());
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = start(&engine, &urls);
    first.stop();
    let rows = drain(&second);
    assert_eq!((rows[0].code, rows[0].attempts), (Some(Code::HostRobots), 0));
    // On a slow machine the first has ended before it was stopped, and nobody asked a second time.
    drop(TcpStream::connect(("127.0.0.1", port)));
    thread.join().unwrap();
}
