//! HTTP/2: by ALPN, by prior knowledge, shared connections, and peers that turn requests away.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{
    Secure, Session, engine, fetch, fetch_one, header, one_attempt, quick_retries, send, server, start,
    wait_until,
};
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::{Method, Request, Response, Version};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{AttemptEnd, Code, Http2, Options, Spec, Timeouts, Verify};
use tokio::net::{TcpListener, TcpStream};

/// Trusts anyone: whom to trust is the subject of `tls.rs`.
fn by_alpn() -> Options {
    Options { verify: Verify::Nobody, threads: 1, ..one_attempt() }
}

fn prior_knowledge() -> Options {
    Options { http2: Http2::Always, threads: 1, ..one_attempt() }
}

#[test]
fn test_alpn_chooses_the_version() {
    let server = server();
    let url = server.tls_url("/echo").unwrap();
    for (http2, version) in
        [(Http2::Auto, Version::HTTP_2), (Http2::Always, Version::HTTP_2), (Http2::Never, Version::HTTP_11)]
    {
        let row = fetch_one(&engine(Options { http2, ..by_alpn() }), &url);
        assert_eq!((row.version, row.status, row.code), (Some(version), Some(200), None), "{}", row.detail);
    }
    let row = fetch_one(&engine(by_alpn()), &server.url("/echo"));
    assert_eq!(row.version, Some(Version::HTTP_11), "in the clear there is no ALPN");
}

#[test]
fn test_one_connection_serves_a_hundred_at_once() {
    let server = server();
    let options = Options { concurrency: Fixed(100), concurrency_per_host: Fixed(100), ..by_alpn() };
    let rows = fetch(&engine(options), &vec![server.tls_url("/delay/50").unwrap(); 400]);
    rows.assert_complete(400);
    assert!(rows.0.iter().all(|row| row.ok && row.version == Some(Version::HTTP_2)));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.http2_requests, stats.max_in_flight), (1, 400, 100), "{stats:?}");
    assert_eq!(rows.0.iter().filter(|row| !row.conn_reused).count(), 1);
}

#[test]
fn test_more_connections_are_opened_when_streams_run_out() {
    let server = server();
    let options = Options { concurrency: Fixed(250), concurrency_per_host: Fixed(250), ..by_alpn() };
    let rows = fetch(&engine(options), &vec![server.tls_url("/delay/100").unwrap(); 250]);
    rows.assert_complete(250);
    assert!(rows.0.iter().all(|row| row.ok));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.max_in_flight), (3, 250), "{stats:?}");
}

#[test]
fn test_prior_knowledge_in_the_clear() {
    let server = server();
    let engine = engine(Options { concurrency_per_host: Fixed(50), ..prior_knowledge() });
    let rows = fetch(&engine, &vec![server.url("/bytes/100"); 300]);
    rows.assert_complete(300);
    assert!(rows.0.iter().all(|row| row.ok && row.body.len() == 100 && row.version == Some(Version::HTTP_2)));
    assert_eq!((server.stats().connections, server.stats().http2_requests), (1, 300));
}

#[test]
fn test_requests_arrive_as_given() {
    let server = server();
    let engine = engine(Options { headers: vec![header("x-shared", "1")], ..prior_knowledge() });
    let spec = Spec {
        method: Method::PUT,
        body: Some("hello".into()),
        headers: vec![header("x-own", "2")],
        ..Spec::default()
    };
    let row = send(&engine, &server.url("/echo?a=b"), spec);
    let authority = format!(r#""authority":"{}""#, server.addr());
    for part in [
        r#""method":"PUT""#,
        r#""body":"hello""#,
        r#"["x-shared","1"]"#,
        r#"["x-own","2"]"#,
        &authority,
        "a=b",
    ] {
        assert!(row.text().contains(part), "{part} in {}", row.text());
    }
}

#[test]
fn test_codings_redirects_and_large_bodies() {
    let server = server();
    let engine = engine(prior_knowledge());
    for path in ["/gzip/50000", "/br/50000", "/redirect-to?url=/zstd/50000", "/stream?chunks=50&size=1000"] {
        let row = fetch_one(&engine, &server.url(path));
        assert_eq!((row.code, row.body.len(), row.version), (None, 50_000, Some(Version::HTTP_2)), "{path}");
    }
    // Larger than both windows.
    let rows = fetch(&engine, &vec![server.url("/bytes/20000000"); 3]);
    assert!(rows.0.iter().all(|row| row.ok && row.body.len() == 20_000_000));
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn test_a_stream_that_ends_early_leaves_the_others_alone() {
    let server = server();
    let timeout = Timeouts { first_byte: Some(Duration::from_millis(100)), ..Timeouts::default() };
    let engine = engine(Options {
        concurrency_per_host: Fixed(20),
        max_body_size: 1 << 20,
        timeout,
        ..prior_knowledge()
    });
    let paths = ["/bytes/1000", "/hang", "/reset?after=100", "/bytes/5000000", "/truncate/5", "/delay/50"];
    let urls: Vec<String> = (0..120).map(|n| server.url(paths.get(n % 6).unwrap_or(&"/"))).collect();
    let rows = fetch(&engine, &urls);
    rows.assert_complete(120);
    for row in &rows.0 {
        let expected = match row.index % 6 {
            1 => Some(Code::TimeoutFirstByte),
            // Sent with the head, the reset may overtake it.
            2 | 4 if row.status.is_none() => Some(Code::ProtocolH2),
            2 | 4 => Some(Code::TruncatedH2Reset),
            3 => Some(Code::TooLargeDeclared),
            _ => None,
        };
        assert_eq!(row.code, expected, "{} {}", row.url, row.detail);
    }
    assert_eq!(server.stats().connections, 1, "every stream was reset, none took the connection along");
    wait_until("nothing is in flight", || server.stats().in_flight == 0);
}

#[test]
fn test_a_dropped_job_resets_its_streams_and_keeps_the_connection() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(4), ..prior_knowledge() });
    for _ in 0..5 {
        let job = start(&engine, &vec![server.url("/hang"); 20]);
        wait_until("four in flight", || server.stats().in_flight == 4);
        drop(job);
        wait_until("none in flight", || server.stats().in_flight == 0);
    }
    fetch(&engine, &vec![server.url("/bytes/1"); 20]).assert_complete(20);
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn test_a_server_that_is_gone_fails_every_request_that_waits_for_its_protocol() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let rows = fetch(&engine(by_alpn()), &vec![format!("https://127.0.0.1:{port}/"); 100]);
    rows.assert_complete(100);
    let down = [Some(Code::ConnectRefused), Some(Code::HostCircuitOpen)];
    assert!(rows.0.iter().all(|row| down.contains(&row.code)));
}

fn answer_http1(stream: &mut Session) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        std::thread::sleep(Duration::from_millis(20));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}

#[test]
fn test_each_request_has_a_connection_once_the_server_turns_out_to_speak_http_1() {
    // It does not even answer the question by ALPN.
    let server = Secure::start(&[], answer_http1);
    let engine = engine(Options { concurrency_per_host: Fixed(8), ..by_alpn() });
    for _ in 0..2 {
        let rows = fetch(&engine, &vec![server.url("/"); 80]);
        rows.assert_complete(80);
        assert!(rows.0.iter().all(|row| row.ok && row.version == Some(Version::HTTP_11)), "{rows:?}");
    }
    assert_eq!(server.connections(), 8);
}

/// An HTTP/2 server that treats each request as a test says.
struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Decides about request number `.1` of connection number `.0`.
type Treat = fn(usize, usize, &mut Connection<TcpStream, bytes::Bytes>, Ask);
type Ask = (Request<h2::RecvStream>, SendResponse<bytes::Bytes>);

impl Peer {
    fn start(max_streams: u32, treat: Treat) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&connections), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while !stopped.load(Ordering::SeqCst) {
                    let accepted = tokio::time::timeout(Duration::from_millis(5), listener.accept()).await;
                    if let Ok(Ok((stream, _))) = accepted {
                        let number = count.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(serve(number, stream, max_streams, treat));
                    }
                }
            });
        });
        Self { address, connections, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

async fn serve(number: usize, stream: TcpStream, max_streams: u32, treat: Treat) {
    let builder = h2::server::Builder::new().max_concurrent_streams(max_streams).handshake(stream).await;
    let Ok(mut connection) = builder else { return };
    let mut requests = 0;
    while let Some(Ok(ask)) = connection.accept().await {
        treat(number, requests, &mut connection, ask);
        requests += 1;
    }
}

fn answer(mut respond: SendResponse<bytes::Bytes>) {
    if let Ok(mut body) = respond.send_response(Response::new(()), false) {
        let _ = body.send_data("ok".into(), true);
    }
}

#[test]
fn test_p1_a_refused_stream_costs_no_attempt() {
    let peer = Peer::start(100, |_, request, _, (_, mut respond)| {
        if request % 3 == 1 { respond.send_reset(Reason::REFUSED_STREAM) } else { answer(respond) }
    });
    let rows = fetch(&engine(prior_knowledge()), &vec![peer.url(); 60]);
    rows.assert_complete(60);
    let ok = rows.0.iter().filter(|row| row.ok).count();
    assert!(ok >= 55, "{ok} of 60: a stream may be refused four times in a row, rarely");
    assert!(rows.0.iter().all(|row| row.attempts == 1));
    let post = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
    let peer = Peer::start(100, |_, request, _, (_, mut respond)| {
        if request == 0 { respond.send_reset(Reason::REFUSED_STREAM) } else { answer(respond) }
    });
    let row = send(&engine(prior_knowledge()), &peer.url(), post);
    assert_eq!((row.code, row.attempts, row.ok), (None, 1, true), "nobody worked on it: {}", row.detail);
}

#[test]
fn test_a_request_ends_when_a_server_that_answers_others_never_takes_it() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let peer = Peer::start(100, |_, _, _, (ask, mut respond)| {
        if ask.uri().path() == "/never" {
            ASKED.fetch_add(1, Ordering::SeqCst);
            respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            answer(respond);
        }
    });
    let engine = engine(prior_knowledge());
    assert!(fetch_one(&engine, &peer.url()).ok);
    let row = fetch_one(&engine, &format!("{}never", peer.url()));
    assert_eq!((row.ok, row.end), (false, AttemptEnd::Unsent), "{}", row.detail);
    assert!(ASKED.load(Ordering::SeqCst) <= 200, "{ASKED:?}");
}

#[test]
fn test_p1_p2_goaway_loses_nothing() {
    let peer = Peer::start(100, |_, request, connection, (_, respond)| {
        if request == 5 {
            connection.graceful_shutdown();
        }
        answer(respond);
    });
    let options = Options { concurrency_per_host: Fixed(4), ..prior_knowledge() };
    let rows = fetch(&engine(options), &vec![peer.url(); 200]);
    rows.assert_complete(200);
    for row in &rows.0 {
        assert_eq!((row.code, row.attempts), (None, 1), "{}", row.detail);
    }
    assert!(peer.connections() > 10, "{}", peer.connections());
}

#[test]
fn test_p1_abrupt_goaway_is_tried_again() {
    let peer = Peer::start(100, |connection_number, request, connection, (_, respond)| {
        if connection_number == 0 && request == 3 {
            connection.abrupt_shutdown(Reason::INTERNAL_ERROR);
        } else {
            answer(respond);
        }
    });
    let options =
        Options { concurrency_per_host: Fixed(2), http2: Http2::Always, threads: 1, ..quick_retries(2) };
    let rows = fetch(&engine(options), &vec![peer.url(); 20]);
    rows.assert_complete(20);
    assert!(rows.0.iter().all(|row| row.ok), "{rows:?}");
}

#[test]
fn test_p9_a_server_that_allows_one_stream_gets_one_stream_a_connection() {
    let peer = Peer::start(1, |_, _, _, (_, respond)| answer(respond));
    let options = Options { concurrency_per_host: Fixed(4), ..prior_knowledge() };
    let rows = fetch(&engine(options), &vec![peer.url(); 100]);
    rows.assert_complete(100);
    assert!(rows.0.iter().all(|row| row.ok), "{rows:?}");
    assert!(peer.connections() <= 8, "{}", peer.connections());
}

#[test]
fn test_p10_a_peer_that_speaks_no_http_2() {
    let script = common::Script::start(|_, peer| {
        peer.request();
        peer.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    let rows = fetch(&engine(prior_knowledge()), &vec![script.url("/"); 5]);
    rows.assert_complete(5);
    assert!(rows.0.iter().all(|row| row.code == Some(Code::ProtocolH2)), "{rows:?}");
}
