//! HTTP/2 peers that break the protocol or turn requests away, by frames written to a bare socket. Source: RFC 9113.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::time::Duration;

use common::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, OK, PING, PUSH_PROMISE, Row, Rows, SETTINGS,
    Script, Secure, Session, data, engine, fetch, fetch_one, field, frame, goaway, head, one_attempt,
    quick_retries, reset, send,
};
use http::{Method, Version};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Http2, Options, Spec, Timeouts, Verify};

const ENHANCE_YOUR_CALM: u32 = 11;
const HTTP_1_1_REQUIRED: u32 = 13;
const INTERNAL_ERROR: u32 = 2;

fn over_http2(options: Options) -> Options {
    Options { http2: Http2::Always, threads: 1, ..options }
}

/// The row of one request without retries.
fn row_of(answer: impl Fn(usize, u32) -> Vec<u8> + Send + Sync + 'static) -> Row {
    fetch_one(&engine(over_http2(one_attempt())), &Script::frames(answer).url("/"))
}

/// A whole response.
fn whole(stream: u32, body: &[u8]) -> Vec<u8> {
    [head(stream, OK), frame(DATA, END_STREAM, stream, body)].concat()
}

/// An interim response.
fn early(stream: u32) -> Vec<u8> {
    head(stream, &field(":status", "103"))
}

#[test]
fn test_p4_a_server_that_wants_calm_is_asked_less_and_gets_the_request_later() {
    for answer in [reset(1, ENHANCE_YOUR_CALM), goaway(0, ENHANCE_YOUR_CALM)] {
        let script = Script::frames(move |connection, stream| {
            if connection == 0 && stream == 1 { answer.clone() } else { whole(stream, b"calm") }
        });
        let mut options = quick_retries(0);
        options.retries.patience = Some(Duration::from_secs(60));
        let row = fetch_one(&engine(over_http2(options)), &script.url("/"));
        assert_eq!((row.code, row.text().as_str(), row.throttled), (None, "calm", 1), "{row:?}");
    }
}

#[test]
fn test_p6_a_stream_that_stalls_leaves_the_others_alone() {
    let script =
        Script::frames(|_, stream| if stream == 1 { head(stream, OK) } else { whole(stream, b"ok") });
    let timeout = Timeouts { read: Some(Duration::from_millis(200)), ..Timeouts::default() };
    let options = Options { timeout, concurrency: Fixed(1), ..over_http2(one_attempt()) };
    let rows = fetch(&engine(options), &[script.url("/1"), script.url("/2"), script.url("/3")]);
    rows.assert_complete(3);
    for row in &rows.0 {
        assert_eq!(row.code, (row.index == 0).then_some(Code::TimeoutBody), "{row:?}");
    }
    assert_eq!(script.connections(), 1);
}

#[test]
fn test_p6_bodies_that_nobody_reads_give_the_connection_its_window_back() {
    // More than the window of the connection, in bodies that are over the limit.
    let script = Script::frames(|_, stream| {
        let pieces = (0..30).map(|_| data(stream, &[b'x'; 16_000]));
        [vec![head(stream, OK)], pieces.collect(), vec![frame(DATA, END_STREAM, stream, b"")]]
            .concat()
            .concat()
    });
    let options = Options { max_body_size: 10_000, concurrency: Fixed(1), ..over_http2(one_attempt()) };
    let rows = fetch(&engine(options), &vec![script.url("/"); 40]);
    rows.assert_complete(40);
    assert!(rows.0.iter().all(|row| row.code == Some(Code::TooLargeBody)), "{rows:?}");
}

/// What many requests end with that meet an endless run of the same frame.
fn flooded(flood: &[u8]) -> Rows {
    let flood = flood.repeat(20_000);
    let script = Script::frames(move |_, stream| [head(stream, OK), flood.clone()].concat());
    let mut options = over_http2(one_attempt());
    // Longer than any test waits: the flood is counted, not timed.
    options.timeout.total = Some(Duration::from_secs(60));
    fetch(&engine(options), &[script.url("/")])
}

#[test]
fn test_p7_floods_end_and_are_never_ok() {
    let row = flooded(&data(1, b"")).single();
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2Flood)), "empty frames: {}", row.detail);
    for (name, flood, code) in [
        ("settings", frame(SETTINGS, 0, 0, &[]), Code::ProtocolH2Flood),
        ("pings", frame(PING, 0, 0, &[0; 8]), Code::ProtocolH2Flood),
        ("frames of an unknown kind", frame(0x42, 0, 1, b"x"), Code::ProtocolH2Flood),
        // The first is one too many.
        ("acknowledged settings", frame(SETTINGS, ACK, 0, &[]), Code::ProtocolH2),
    ] {
        let row = flooded(&flood).single();
        assert_eq!((row.ok, row.code), (false, Some(code)), "{name}: {}", row.detail);
    }
}

#[test]
fn test_p8_a_head_in_endless_pieces_is_too_large() {
    let small = frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b");
    let row = row_of(move |_, _| [frame(HEADERS, 0, 1, OK), small.repeat(10_000)].concat());
    assert_eq!((row.ok, row.code), (false, Some(Code::TooLargeHeaders)), "{}", row.detail);
    let large = frame(CONTINUATION, 0, 1, &[&b"\x00\x01a\x7f\xe1\x79"[..], &[b'x'; 15_712]].concat());
    let row = row_of(move |_, _| {
        let last = frame(CONTINUATION, END_HEADERS, 1, b"");
        [frame(HEADERS, END_STREAM, 1, OK), large.repeat(17), last].concat()
    });
    assert_eq!((row.ok, row.code), (false, Some(Code::TooLargeHeaders)), "{}", row.detail);
}

#[test]
fn test_p8_a_small_head_that_unpacks_to_a_large_one_is_refused() {
    // The field is in the table after its first time, and takes one byte from then on.
    let bomb = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e], &vec![b'x'; 4000][..], &[0xbe; 200]].concat();
    let row = row_of(move |_, _| frame(HEADERS, END_HEADERS | END_STREAM, 1, &[OK, &bomb].concat()));
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{}", row.detail);
}

#[test]
fn test_p9_a_request_that_gets_no_stream_was_never_sent() {
    // No stream from the second on: the settings follow the first response.
    let script = Script::frames(|_, stream| {
        let none = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]);
        [none, whole(stream, b"first")].concat()
    });
    let mut options = over_http2(quick_retries(1));
    (options.timeout.total, options.retries.rounds) = (Some(Duration::from_millis(300)), 0);
    let engine = engine(options);
    assert_eq!(fetch_one(&engine, &script.url("/")).text(), "first");
    // A POST is tried again, because no server can have seen it.
    let post = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
    let row = send(&engine, &script.url("/"), post);
    assert_eq!((row.ok, row.code, row.attempts), (false, Some(Code::TimeoutQueue), 2), "{}", row.detail);
    assert_eq!(script.requests(), 1);
}

#[test]
fn test_p10_what_is_no_http_2_is_named_so() {
    for (name, answer) in [
        ("a frame on a stream of nobody", data(9, b"x")),
        ("a body before its head", data(1, b"x")),
        ("a window that overflows", frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("header fields that are no HPACK", head(1, &[0xff, 0xff, 0xff, 0xff, 0xff])),
        ("no status", head(1, &field("x", "y"))),
        ("a name in capital letters", head(1, &[OK, &field("X", "y")].concat())),
        ("a frame that is too long", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("settings of the wrong length", frame(SETTINGS, 0, 0, &[1])),
    ] {
        let row = row_of(move |_, _| answer.clone());
        assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{name}: {}", row.detail);
    }
}

#[test]
fn test_p11_a_push_that_was_switched_off_breaks_the_protocol() {
    // Source: RFC 9113, section 6.6.
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82\x84\x86\x41\x01a");
    let row = row_of(move |_, _| [promise.clone(), whole(1, b"x")].concat());
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{}", row.detail);
}

/// By ALPN, trusting anyone: whom to trust is the subject of `tls.rs`.
fn by_alpn() -> Options {
    Options { verify: Verify::Nobody, threads: 1, ..one_attempt() }
}

fn answer_http1(session: &mut Session) {
    while session.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
        let _ = session.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}

/// Answers in the protocol that was agreed on; over HTTP/2 with a frame for each request.
fn answer_agreed(session: &mut Session, answer: fn(u32) -> Vec<u8>) {
    let mut preface = [0; 24];
    if session.conn.is_handshaking() && session.conn.complete_io(&mut session.sock).is_err() {
        return;
    }
    if session.conn.alpn_protocol() != Some(b"h2") {
        return answer_http1(session);
    }
    let _ = session.read_exact(&mut preface);
    let _ = session.write_all(&frame(SETTINGS, 0, 0, &[]));
    while let Ok((kind, _, stream)) = common::read_frame(session) {
        if kind == HEADERS {
            let _ = session.write_all(&answer(stream));
        }
    }
}

#[test]
fn test_p5_a_server_that_requires_http_1_gets_it() {
    for answer in
        [(|stream| reset(stream, HTTP_1_1_REQUIRED)) as fn(u32) -> _, |_| goaway(0, HTTP_1_1_REQUIRED)]
    {
        let server = Secure::start(&["h2", "http/1.1"], move |session| answer_agreed(session, answer));
        let engine = engine(by_alpn());
        for _ in 0..2 {
            let post = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
            let row = send(&engine, &server.url("/"), post);
            assert_eq!((row.code, row.text().as_str(), row.attempts), (None, "ok", 1), "{row:?}");
            assert_eq!(row.version, Some(Version::HTTP_11));
        }
        assert_eq!(server.connections(), 2, "it is asked once over HTTP/2");
    }
    let row = row_of(|_, stream| reset(stream, HTTP_1_1_REQUIRED));
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "HTTP/2 alone is wanted: {}", row.detail);
}

#[test]
fn test_p12_a_server_that_agrees_to_http_2_and_speaks_http_1_is_asked_over_http_1() {
    let server = Secure::start(&["h2", "http/1.1"], answer_http1);
    let row = fetch_one(&engine(by_alpn()), &server.url("/"));
    assert_eq!((row.code, row.text().as_str(), row.attempts), (None, "ok", 1), "{row:?}");
    assert_eq!((row.version, server.connections()), (Some(Version::HTTP_11), 2));
}

#[test]
fn test_p14_a_stream_above_the_last_one_was_not_processed_whatever_the_code_says() {
    for code in [0, INTERNAL_ERROR] {
        let script = Script::frames(
            move |connection, stream| {
                if connection == 0 { goaway(0, code) } else { whole(stream, b"ok") }
            },
        );
        let post = Spec { method: Method::POST, body: Some("x".into()), ..Spec::default() };
        let row = send(&engine(over_http2(one_attempt())), &script.url("/"), post);
        assert_eq!((row.code, row.attempts, script.requests()), (None, 1, 2), "{row:?}");
    }
}

#[test]
fn test_p15_interim_responses_are_passed_over_and_counted() {
    let row = row_of(|_, stream| [early(stream).repeat(32), whole(stream, b"ok")].concat());
    assert_eq!((row.status, row.code, row.text().as_str()), (Some(200), None, "ok"));
    for (count, ends) in [(33, true), (20_000, false)] {
        let row = row_of(move |_, stream| {
            let end = if ends { whole(stream, b"ok") } else { Vec::new() };
            [early(stream).repeat(count), end].concat()
        });
        assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolTooMany1xx)), "{count}: {}", row.detail);
    }
}

#[test]
fn test_p16_pseudo_header_fields_of_a_request_make_a_response_malformed() {
    for name in [":method", ":path", ":scheme", ":authority"] {
        for block in [[OK, &field(name, "/")].concat(), [&field(name, "/"), OK].concat()] {
            let row = row_of(move |_, stream| [head(stream, &block), whole(stream, b"x")].concat());
            assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{name}: {}", row.detail);
        }
    }
    let row = row_of(|_, stream| {
        [head(stream, &[&b"\x48\x03103"[..], b"\x82"].concat()), whole(stream, b"x")].concat()
    });
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "in an interim one: {}", row.detail);
}

#[test]
fn test_p16_trailers_with_a_status_make_a_response_malformed() {
    for trailer in [OK.to_vec(), field(":status", "200"), field(":path", "/")] {
        for pause in [false, true] {
            let trailer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailer);
            let script = Script::frames(move |_, stream| {
                if stream > 1 {
                    return whole(stream, b"next");
                }
                // With more data than one read holds, the body is read before its trailers come.
                let body = if pause { data(1, &[b'x'; 16_000]).repeat(40) } else { data(1, b"x") };
                [head(1, OK), body, trailer.clone()].concat()
            });
            let engine = engine(over_http2(one_attempt()));
            let row = fetch_one(&engine, &script.url("/"));
            assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{}", row.detail);
            let row = fetch_one(&engine, &script.url("/"));
            assert_eq!((row.text().as_str(), script.connections()), ("next", 1), "the others are unaffected");
        }
    }
}
