//! When an HTTP/2 response is whole: after `END_STREAM` or its declared length, and never because its stream was
//! closed "without an error". The peer writes its frames to a bare socket. Source: RFC 9113, section 8.1.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{
    DATA, END_HEADERS, END_STREAM, HEADERS, OK, PADDED, Row, Script, data, engine, field, frame, goaway,
    head, one_attempt, reset, send,
};
use http::Method;
use hurtle_engine::{Code, Http2, Options, Spec};

/// `:status: 200` with `content-length: 9`.
const OF_NINE_BYTES: &[u8] = b"\x88\x0f\x0d\x019";

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

/// Asks a peer that answers with `frames`, in one piece.
fn row_of(method: Method, frames: &[Vec<u8>]) -> Row {
    let answer = frames.concat();
    let script = Script::frames(move |_, _| answer.clone());
    let engine = engine(Options { http2: Http2::Always, threads: 1, ..one_attempt() });
    send(&engine, &script.url("/"), Spec { method, ..Spec::default() })
}

fn get(frames: &[Vec<u8>]) -> Row {
    row_of(Method::GET, frames)
}

/// The last frame of a body.
fn last(bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, 1, bytes)
}

fn trailers(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
}

#[test]
fn test_p3_p13_a_body_is_cut_when_its_stream_is_closed_before_its_end() {
    let cut = data(1, b"cut");
    for (name, frames) in [
        ("reset, no error", vec![head(1, OF_NINE_BYTES), cut.clone(), reset(1, NO_ERROR)]),
        ("reset, cancel", vec![head(1, OF_NINE_BYTES), cut.clone(), reset(1, CANCEL)]),
        ("goaway below the stream", vec![head(1, OF_NINE_BYTES), cut.clone(), goaway(0, NO_ERROR)]),
        ("goaway with an error", vec![head(1, OK), cut.clone(), goaway(0, INTERNAL_ERROR)]),
        ("no length is declared", vec![head(1, OK), cut.clone(), reset(1, NO_ERROR)]),
        ("no byte of the body came", vec![head(1, OF_NINE_BYTES), reset(1, NO_ERROR)]),
        ("neither length nor body", vec![head(1, OK), reset(1, NO_ERROR)]),
        (
            "whole length, then an error",
            vec![head(1, OF_NINE_BYTES), data(1, b"four more"), reset(1, INTERNAL_ERROR)],
        ),
    ] {
        let row = get(&frames);
        assert_eq!((row.ok, row.code), (false, Some(Code::TruncatedH2Reset)), "{name}: {}", row.detail);
    }
}

#[test]
fn test_p13_a_body_whose_length_is_not_the_declared_one_is_malformed() {
    for (name, frames) in [
        ("too short", vec![head(1, OF_NINE_BYTES), last(b"four")]),
        ("empty", vec![head(1, OF_NINE_BYTES), last(b"")]),
        ("ended by the head", vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, OF_NINE_BYTES)]),
        ("ended by trailers", vec![head(1, OF_NINE_BYTES), data(1, b"four"), trailers(&field("x", "y"))]),
        ("too long", vec![head(1, OF_NINE_BYTES), last(b"four more bytes")]),
        ("too long in the end", vec![head(1, OF_NINE_BYTES), data(1, b"four more"), last(b"!")]),
    ] {
        let row = get(&frames);
        assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "{name}: {}", row.detail);
    }
}

#[test]
fn test_p13_a_body_is_whole_when_its_end_or_its_declared_length_has_come() {
    let part = data(1, b"four ");
    let padded = frame(DATA, END_STREAM | PADDED, 1, b"\x03more\0\0\0");
    for (name, frames) in [
        ("end of stream", vec![head(1, OK), part.clone(), last(b"more")]),
        ("end of stream, then a reset", vec![head(1, OK), part.clone(), last(b"more"), reset(1, NO_ERROR)]),
        (
            "whole length, then a reset",
            vec![head(1, OF_NINE_BYTES), part.clone(), data(1, b"more"), reset(1, NO_ERROR)],
        ),
        ("padding", vec![head(1, OF_NINE_BYTES), part.clone(), padded]),
        ("an empty frame", vec![head(1, OF_NINE_BYTES), part.clone(), data(1, b"more"), last(b"")]),
        ("trailers", vec![head(1, OK), part.clone(), data(1, b"more"), trailers(&field("x-sum", "1"))]),
        ("goaway above the stream", vec![head(1, OK), part, goaway(1, NO_ERROR), last(b"more")]),
    ] {
        let row = get(&frames);
        assert_eq!(
            (row.ok, row.code, row.text().as_str()),
            (true, None, "four more"),
            "{name}: {}",
            row.detail
        );
    }
}

#[test]
fn test_p13_h22_a_response_without_a_body_is_whole_whatever_length_it_declares() {
    let ended = |block: &[u8]| vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, block)];
    let not_modified = [&b"\x8b"[..], &OF_NINE_BYTES[1..]].concat();
    for (name, row) in [
        ("HEAD", row_of(Method::HEAD, &ended(OF_NINE_BYTES))),
        ("HEAD, ended later", row_of(Method::HEAD, &[head(1, OF_NINE_BYTES), last(b"")])),
        ("204", get(&ended(b"\x89"))),
        ("304", get(&ended(&not_modified))),
    ] {
        assert_eq!((row.ok, row.code, row.body.len()), (true, None, 0), "{name}: {}", row.detail);
    }
    for status in [&b"\x89"[..], b"\x8b", &not_modified] {
        let row = get(&[head(1, status), last(b"four more")]);
        assert_eq!((row.ok, row.code, row.body.len()), (true, None, 0), "with a body: {}", row.detail);
    }
    let row = row_of(Method::HEAD, &[head(1, OF_NINE_BYTES), last(b"four more")]);
    assert_eq!((row.ok, row.code), (false, Some(Code::ProtocolH2)), "HEAD with a body: {}", row.detail);
}
