//! Time limits of one attempt, each named after the phase in which it ended.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Script, engine, fetch, fetch_one, one_attempt, server, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Options, Timeouts, Verify};
use hurtle_testserver::{Config, Server, TlsFault};

const SHORT: Duration = Duration::from_millis(100);

fn limited(timeout: Timeouts) -> Options {
    Options { timeout, ..one_attempt() }
}

fn total(total: Duration) -> Options {
    limited(Timeouts { total: Some(total), ..Timeouts::default() })
}

/// Runs `url` and asserts that it ended with `code`, soon after `SHORT`.
fn ends_with(options: Options, url: &str, code: Code) {
    let started = Instant::now();
    let row = fetch_one(&engine(options), url);
    let took = started.elapsed();
    assert_eq!((row.code, row.ok, row.attempts), (Some(code), false, 1), "{}", row.detail);
    assert!((SHORT..SHORT * 5).contains(&took), "{code} after {took:?}");
}

#[test]
fn test_c5_silence_ends_as_first_byte() {
    let server = server();
    ends_with(total(SHORT), &server.url("/hang"), Code::TimeoutFirstByte);
    let first_byte = Timeouts { first_byte: Some(SHORT), ..Timeouts::default() };
    ends_with(limited(first_byte), &server.url("/hang"), Code::TimeoutFirstByte);
}

#[test]
fn test_h15_a_dripping_body_ends_at_the_total() {
    let server = server();
    let drip = server.url("/drip?bytes=1000&ms=10");
    ends_with(total(SHORT), &drip, Code::TimeoutBody);
    // Every read is quick: only the total can end it.
    let read = Timeouts { total: Some(SHORT), read: Some(SHORT / 2), ..Timeouts::default() };
    ends_with(limited(read), &drip, Code::TimeoutBody);
}

#[test]
fn test_a_pause_in_the_body_ends_at_the_limit_between_two_reads() {
    let server = server();
    let read = limited(Timeouts { read: Some(SHORT), ..Timeouts::default() });
    ends_with(read.clone(), &server.url("/drip?bytes=10&pause_ms=5000"), Code::TimeoutBody);
    let row = fetch_one(&engine(read), &server.url("/drip?bytes=20&ms=10"));
    assert_eq!((row.code, row.body.len()), (None, 20), "slow but steady is no timeout");
}

#[test]
fn test_t8_a_stalled_handshake_ends_as_tls() {
    let config = Config { tls_fault: Some(TlsFault::Stall), ..Config::default() };
    let server = Server::start(config).unwrap();
    let url = server.tls_url("/").unwrap();
    ends_with(Options { verify: Verify::Nobody, ..total(SHORT) }, &url, Code::TimeoutTls);
    let connect = Timeouts { connect: Some(SHORT), ..Timeouts::default() };
    ends_with(Options { verify: Verify::Nobody, ..limited(connect) }, &url, Code::TimeoutTls);
}

/// A listener whose queue of connections is full: the next one is never answered.
#[cfg(target_os = "linux")]
fn full_listener() -> (TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_millis(50);
    let taken = (0..16).map_while(|_| std::net::TcpStream::connect_timeout(&address, wait).ok()).collect();
    (listener, taken)
}

#[cfg(target_os = "linux")]
#[test]
fn test_c2_a_black_hole_ends_as_connect() {
    let (listener, _taken) = full_listener();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    ends_with(total(SHORT), &url, Code::TimeoutConnect);
    let connect = Timeouts { connect: Some(SHORT), ..Timeouts::default() };
    ends_with(limited(connect), &url, Code::TimeoutConnect);
}

#[test]
fn test_a_connection_that_timed_out_is_never_used_again() {
    let script = Script::start(|number, peer| {
        while let Some(head) = peer.request() {
            if number == 0 && head.starts_with("GET /slow") {
                std::thread::sleep(SHORT * 2);
            }
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}"));
        }
    });
    let engine = engine(Options { concurrency: Fixed(1), threads: 1, ..total(SHORT) });
    assert_eq!(fetch_one(&engine, &script.url("/slow")).code, Some(Code::TimeoutFirstByte));
    let row = fetch_one(&engine, &script.url("/next"));
    assert_eq!((row.text().as_str(), row.conn_reused), ("1", false), "the late answer of /slow came instead");
}

#[test]
fn test_the_total_does_not_count_queueing() {
    let server = server();
    let options = Options { concurrency: Fixed(1), ..total(SHORT * 3) };
    // Ten times 60 ms: the last waits twice as long as an attempt may take.
    let rows = fetch(&engine(options), &vec![server.url("/delay/60"); 10]);
    rows.assert_complete(10);
    for row in &rows.0 {
        assert_eq!(row.code, None, "{} {:?}", row.detail, row.timings);
    }
    let last = rows.0.iter().filter_map(|row| row.timings.queue).max();
    assert!(last > Some(SHORT * 4), "{last:?}");
}

#[test]
fn test_the_timer_starts_again_for_every_request_of_a_connection() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(1), threads: 1, ..total(SHORT * 2) });
    // Together far beyond the limit, on one connection.
    let rows = fetch(&engine, &vec![server.url("/delay/70"); 8]);
    assert!(rows.0.iter().all(|row| row.ok), "{rows:?}");
    assert_eq!(server.stats().connections, 1);
    assert_eq!(fetch_one(&engine, &server.url("/hang")).code, Some(Code::TimeoutFirstByte));
    wait_until("its connection is closed", || server.stats().open_connections == 0);
}

#[test]
fn test_many_timeouts_at_once_end_together() {
    let server = server();
    let options = Options { concurrency: Fixed(200), concurrency_per_host: Fixed(200), ..total(SHORT) };
    let started = Instant::now();
    let rows = fetch(&engine(options), &vec![server.url("/hang"); 200]);
    rows.assert_complete(200);
    assert!(rows.0.iter().all(|row| row.code == Some(Code::TimeoutFirstByte)));
    assert!(started.elapsed() < SHORT * 6, "{:?}", started.elapsed());
}

#[test]
fn test_timings_say_how_long_each_phase_took() {
    let server = server();
    let engine = engine(Options { threads: 1, ..Options::default() });
    let row = fetch_one(&engine, &server.url("/drip?bytes=10&ms=10"));
    let timings = row.timings;
    assert!(timings.connect.is_some() && timings.tls.is_none(), "{timings:?}");
    assert!(timings.dns.is_none(), "an address is not looked up: {timings:?}");
    assert!(timings.body > Some(Duration::from_millis(80)), "{timings:?}");
    assert!(timings.total >= timings.body, "{timings:?}");
    let row = fetch_one(&engine, &server.url("/delay/50"));
    assert!(row.conn_reused && row.timings.connect.is_none() && row.timings.dns.is_none(), "{row:?}");
    assert!(row.timings.first_byte > Some(Duration::from_millis(45)), "{row:?}");
    let by_name = server.url("/bytes/1").replace("127.0.0.1", "localhost");
    assert!(fetch_one(&engine, &by_name).timings.dns.is_some());
}
