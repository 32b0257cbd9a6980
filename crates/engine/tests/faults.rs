//! Servers that break off, lie, or speak no HTTP: each row gets its code, the others are unaffected.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Script, engine, fetch, fetch_one, one_attempt, quick_retries, server, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Options};
use hurtle_testserver::{Config, Hosts, Server};

/// The code that a single answer ends with.
fn code_of(answer: &str) -> Option<Code> {
    let script = Script::answer_and_close(answer);
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    assert_eq!(row.ok, row.code.is_none(), "{row:?}");
    row.code
}

/// A port that nothing listens on. It stays reserved while the socket lives.
fn refusing() -> (socket2::Socket, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, format!("http://{address}/"))
}

#[test]
fn test_one_bad_host_leaves_the_others_alone() {
    let server = server();
    let (_socket, refused) = refusing();
    let good = server.url("/bytes/7");
    let urls = [&good, &refused, &good, "http://nonexistent.invalid/", &good, &server.url("/close"), &good];
    let rows = fetch(&engine(one_attempt()), &urls);
    rows.assert_complete(7);
    for row in &rows.0 {
        let expected = match row.index {
            1 => Some(Code::ConnectRefused),
            3 => Some(Code::DnsNotFound),
            5 => Some(Code::ProtocolEmpty),
            _ => None,
        };
        assert_eq!((row.code, row.attempts, row.ok), (expected, 1, expected.is_none()), "{row:?}");
        assert_eq!(row.status.is_some(), expected.is_none());
    }
}

#[test]
fn test_c1_refused_is_tried_again() {
    let (_socket, refused) = refusing();
    let row = fetch_one(&engine(quick_retries(2)), &refused);
    assert_eq!((row.code, row.attempts, row.earlier.len()), (Some(Code::ConnectRefused), 3, 2));
}

/// TCP cannot connect to a broadcast address: the system says that the network is unreachable, and sends nothing.
#[cfg(target_os = "linux")]
#[test]
fn test_c3_an_unreachable_network_is_tried_again() {
    let row = fetch_one(&engine(quick_retries(2)), "http://127.255.255.255:9/");
    assert_eq!((row.code, row.attempts), (Some(Code::ConnectUnreachable), 3), "{}", row.detail);
}

#[test]
fn test_c4_resets_are_named_by_where_they_struck() {
    let server = server();
    let engine = engine(one_attempt());
    let row = fetch_one(&engine, &server.url("/reset"));
    assert_eq!((row.code, row.status), (Some(Code::ConnectReset), None));
    let row = fetch_one(&engine, &server.url("/reset?after=1000"));
    assert_eq!((row.code, row.status, row.ok), (Some(Code::TruncatedDisconnect), Some(200), false));
    let script = Script::start(|_, peer| peer.reset());
    assert_eq!(fetch_one(&engine, &script.url("/")).code, Some(Code::ConnectReset));
}

#[test]
fn test_h17_a_body_that_ends_early_is_never_ok() {
    let server = server();
    let engine = engine(one_attempt());
    for sent in [0, 1, 1000, 100_000] {
        let row = fetch_one(&engine, &server.url(&format!("/truncate/{sent}")));
        assert_eq!((row.code, row.status), (Some(Code::TruncatedDisconnect), Some(200)), "{sent}");
        assert!(!row.ok && row.body.is_empty(), "a prefix is kept on request only");
    }
    for body in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert_eq!(code_of(&answer), Some(Code::TruncatedDisconnect), "{body:?}");
    }
}

#[test]
fn test_h18_an_empty_or_unfinished_head() {
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nx-a: b", "HTT"] {
        assert_eq!(code_of(answer), Some(Code::ProtocolEmpty), "{answer:?}");
    }
}

#[test]
fn test_h1_malformed_status() {
    for status in ["2", "-20", "abc", "99", "20000"] {
        let answer = format!("HTTP/1.1 {status} OK\r\n\r\n");
        assert_eq!(code_of(&answer), Some(Code::ProtocolStatusLine), "{status}");
    }
}

#[test]
fn test_h2_h3_h6_h7_what_is_no_http() {
    for answer in [
        "HTTP/1.7 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
        "<html>no head</html>\r\n\r\n",
        "HTTP/1.1 200 OK\r\na\0b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    ] {
        let code = code_of(answer);
        assert_eq!(code.map(Code::class), Some("protocol"), "{answer:?}: {code:?}");
        assert!(!code.is_some_and(Code::retryable), "{answer:?}: {code:?}");
    }
    assert_eq!(code_of("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"), None);
}

#[test]
fn test_h4_h5_old_but_valid_heads() {
    for (answer, value) in [
        ("HTTP/1.1 200 OK\r\nx-a: one\r\n two\r\ncontent-length: 2\r\n\r\nok", "one two"),
        ("HTTP/1.1 200 OK\nx-a: bare\ncontent-length: 2\n\nok", "bare"),
        ("HTTP/1.0 200 OK\r\nX-A: old\r\n\r\nok", "old"),
        ("HTTP/1.1 200\r\nx-a: no reason\r\ncontent-length: 2\r\n\r\nok", "no reason"),
    ] {
        let script = Script::answer_and_close(answer);
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.header("x-a").as_deref()), (None, Some(value)), "{answer:?}");
        assert_eq!(row.text(), "ok");
    }
}

#[test]
fn test_h11_broken_chunks() {
    for body in ["zz\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "5\r\nhelloXX0\r\n\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert_eq!(code_of(&answer), Some(Code::ProtocolChunk), "{body:?}");
    }
}

#[test]
fn test_h13_heads_that_are_too_large() {
    let server = server();
    let engine = engine(one_attempt());
    for path in ["/huge-header/100000", "/huge-header/300000", "/huge-header/10000000", "/headers/5001"] {
        let row = fetch_one(&engine, &server.url(path));
        assert_eq!((row.code, row.ok), (Some(Code::TooLargeHeaders), false), "{path}");
    }
    for path in ["/huge-header/60000", "/headers/1500"] {
        assert_eq!(fetch_one(&engine, &server.url(path)).code, None, "{path}");
    }
}

#[test]
fn test_h19_junk_after_an_answer_never_becomes_the_next() {
    let junk = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    // In one piece, and as a separate piece that arrives while the connection is idle.
    for at_once in [true, false] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let script = Script::start(move |_, peer| {
            while let Some(head) = peer.request() {
                let path = head.split(' ').nth(1).unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
                if at_once {
                    peer.send(answer + junk);
                } else {
                    peer.send(answer);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    peer.send(junk);
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
        for n in 0..5 {
            wait_until("the junk was sent", || sent.load(Ordering::SeqCst) == n);
            let path = format!("/{n}");
            let row = fetch_one(&engine, &script.url(&path));
            assert_eq!((row.code, row.text()), (None, path), "at once: {at_once}");
        }
        assert_eq!(script.connections(), 5, "the connections were used again");
    }
}

#[test]
fn test_h20_interim_answers_are_no_answer() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let script = Script::answer(answer);
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    assert_eq!((row.status, row.code, row.text().as_str()), (Some(200), None, "ok"));
}

#[test]
fn test_h21_a_switch_of_protocols_that_was_not_requested() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\njunk";
    let script = Script::start(move |_, peer| {
        while peer.request().is_some() {
            peer.send(answer);
        }
    });
    let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
    for connections in 1..3 {
        let row = fetch_one(&engine, &script.url("/"));
        assert_eq!((row.code, row.ok), (Some(Code::ProtocolUpgrade), false), "{row:?}");
        assert_eq!(script.connections(), connections, "the connection was used again");
    }
}

#[test]
fn test_h22_bytes_where_no_body_may_be() {
    for status in ["204 No Content", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nevil");
        let script = Script::answer(answer);
        let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
        for _ in 0..3 {
            let row = fetch_one(&engine, &script.url("/"));
            assert_eq!((row.code, row.body.len()), (None, 0), "{status}: {row:?}");
        }
    }
}

#[test]
fn test_h23_a_body_that_only_the_end_delimits() {
    let script = Script::answer_and_close("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    assert_eq!((row.code, row.text().as_str(), row.ok), (None, "until the end", true));
    let script = Script::start(|_, peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the");
        std::thread::sleep(std::time::Duration::from_millis(30));
        peer.reset();
    });
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    assert_eq!((row.code, row.ok), (Some(Code::TruncatedDisconnect), false));
}

#[test]
fn test_h25_header_bytes_are_kept_as_they_come() {
    let script =
        Script::answer(&b"HTTP/1.1 200 OK\r\nx-a: caf\xe9 \xff\r\nX-a: 2\r\ncontent-length: 0\r\n\r\n"[..]);
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    let values: Vec<_> =
        row.headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| &**value).collect();
    assert_eq!(values, [&b"caf\xe9 \xff"[..], b"2"]);
}

#[test]
fn test_chunked_bodies_are_joined_and_their_connection_kept() {
    let server = server();
    let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
    for _ in 0..3 {
        let row = fetch_one(&engine, &server.url("/stream?chunks=20&size=1000"));
        assert_eq!((row.code, row.body.len(), row.ok), (None, 20_000, true));
    }
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn test_a_host_that_is_gone_is_not_asked_for_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let rows = fetch(&engine(Options { threads: 2, ..one_attempt() }), &vec![url; 500]);
    rows.assert_complete(500);
    let refused = rows.0.iter().filter(|row| row.code == Some(Code::ConnectRefused)).count();
    assert!((20..=40).contains(&refused), "{refused}: ten in a row and some probes, on each thread");
    for row in rows.0.iter().filter(|row| row.code != Some(Code::ConnectRefused)) {
        assert_eq!((row.code, row.attempts), (Some(Code::HostCircuitOpen), 0));
        assert!(row.detail.contains("connect.refused"), "{}", row.detail);
    }
}

#[test]
fn test_a_mix_of_everything_ends_with_one_row_each() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    let port = server.addr().port();
    let (_socket, refused) = refusing();
    let paths = [
        "/bytes/100",
        "/bytes/40000",
        "/gzip/3000",
        "/br/3000",
        "/zstd/3000",
        "/status/404",
        "/status/204",
        "/redirect/2",
        "/reset",
        "/reset?after=50",
        "/truncate/10",
        "/close",
        "/drip?bytes=5&ms=1",
        "/delay/5",
        "/stream?chunks=3",
        "/huge-header/300000",
        "/echo",
        "/status/503",
        "/flaky?times=1&key=",
        "/bytes/0",
    ];
    let urls: Vec<String> = (0..2000)
        .map(|n| match n % 25 {
            21 => refused.clone(),
            22 => "http://nonexistent.invalid/".to_owned(),
            23 => "not a url".to_owned(),
            24 => format!(
                "http://127.0.0.9:{port}/redirect-to?url=http://127.0.0.{}:{port}/bytes/{n}",
                n % 9 + 1
            ),
            kind => {
                let path = paths.get(kind).unwrap_or(&"/hang");
                let key = if path.ends_with('=') { n.to_string() } else { String::new() };
                format!("http://127.0.0.{}:{port}{path}{key}", n % 9 + 1)
            }
        })
        .collect();
    for threads in [1, 2] {
        let mut options = quick_retries(1);
        // If a host has nothing but faults, it looks as if it were down.
        options.retries.rounds = 1;
        options.timeout.first_byte = Some(std::time::Duration::from_millis(100));
        let options =
            Options { threads, concurrency: Fixed(200), concurrency_per_host: Fixed(25), ..options };
        let engine = engine(options);
        let rows = fetch(&engine, &urls);
        rows.assert_complete(2000);
        for row in &rows.0 {
            assert_eq!(row.url, *urls.get(row.index as usize).unwrap());
            let expected = match row.index % 25 {
                8 => Some(Code::ConnectReset),
                9 | 10 => Some(Code::TruncatedDisconnect),
                11 => Some(Code::ProtocolEmpty),
                15 => Some(Code::TooLargeHeaders),
                20 => Some(Code::TimeoutFirstByte),
                // Ten in a row show that nobody listens: what had not been sent by then is not sent.
                21 if row.attempts == 0 => Some(Code::HostCircuitOpen),
                21 => Some(Code::ConnectRefused),
                22 => Some(Code::DnsNotFound),
                23 => Some(Code::InputUrl),
                _ => None,
            };
            assert_eq!(row.code, expected, "{} {}", row.url, row.detail);
        }
        assert!(server.stats().max_in_flight_per_host <= 25);
        assert_eq!(fetch(&engine, &urls[..8]).0.len(), 8);
    }
}

#[test]
fn test_h16_a_head_that_comes_byte_by_byte() {
    const ANSWER: &[u8] =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\ncontent-length: 2\r\n\r\nok";
    let script = Script::start(|_, peer| {
        while peer.request().is_some() {
            for byte in ANSWER.chunks(1) {
                peer.send(byte);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    });
    for row in fetch(&engine(one_attempt()), &[script.url("/1"), script.url("/2")]).0 {
        assert_eq!((row.status, row.code, row.text().as_str()), (Some(200), None, "ok"));
        assert_eq!(row.header("x-b").as_deref(), Some("2"));
    }
}
