//! When an HTTP/2 response is whole: after `END_STREAM` or its declared length, and never because its stream was
//! closed "without an error". The peer writes its frames to a bare socket. Source: RFC 9113, section 8.1.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use common::{Row, engine, fetch_one, one_attempt};
use hurtle_engine::{Code, Http2, Options};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, without and with `content-length: 9`. Source: RFC 7541, appendix A.
const HEAD: &[u8] = b"\x88";
const HEAD_OF_NINE_BYTES: &[u8] = b"\x88\x0f\x0d\x019";

const NO_ERROR: [u8; 4] = [0, 0, 0, 0];
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// The answer's frames after its head; the request is on stream 1.
fn reset(code: [u8; 4]) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code)
}

fn goaway(last_stream: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last_stream.to_be_bytes(), NO_ERROR].concat())
}

fn serve(listener: &TcpListener, answer: &[u8]) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let (kind, flags) = read_frame(&mut stream)?;
        match (kind, flags) {
            (SETTINGS, ACK) => {}
            (SETTINGS, _) => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            (HEADERS, _) => stream.write_all(answer)?,
            _ => {}
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u8)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize])?;
    Ok((head[3], head[4]))
}

/// Asks a peer that answers with `frames`, in one piece.
fn row_of(frames: &[Vec<u8>]) -> Row {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = frames.concat();
    let thread = std::thread::spawn(move || serve(&listener, &answer));
    let row = fetch_one(&engine(Options { http2: Http2::Always, threads: 1, ..one_attempt() }), &url);
    // The engine is gone, and so is its connection: reading from it has ended.
    assert!(thread.join().unwrap().is_err());
    row
}

fn head(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, block)
}

#[test]
fn test_a_body_is_cut_when_its_stream_is_closed_without_an_error() {
    let cut = frame(DATA, 0, 1, b"cut");
    for (name, frames) in [
        ("reset, no error", vec![head(HEAD_OF_NINE_BYTES), cut.clone(), reset(NO_ERROR)]),
        ("reset, cancel", vec![head(HEAD_OF_NINE_BYTES), cut.clone(), reset(CANCEL)]),
        ("goaway below the stream", vec![head(HEAD_OF_NINE_BYTES), cut.clone(), goaway(0)]),
        ("no length is declared", vec![head(HEAD), cut.clone(), reset(NO_ERROR)]),
        ("no byte of the body came", vec![head(HEAD_OF_NINE_BYTES), reset(NO_ERROR)]),
    ] {
        let row = row_of(&frames);
        assert_eq!((row.ok, row.code), (false, Some(Code::TruncatedH2Reset)), "{name}: {}", row.detail);
    }
}

#[test]
fn test_a_body_is_whole_when_its_end_or_its_declared_length_has_come() {
    let (part, rest) = (frame(DATA, 0, 1, b"four "), frame(DATA, 0, 1, b"more"));
    let last = frame(DATA, END_STREAM, 1, b"more");
    for (name, frames) in [
        ("end of stream", vec![head(HEAD), part.clone(), last.clone()]),
        ("end of stream, then a reset", vec![head(HEAD), part.clone(), last, reset(NO_ERROR)]),
        ("whole length, then a reset", vec![head(HEAD_OF_NINE_BYTES), part, rest, reset(NO_ERROR)]),
    ] {
        let row = row_of(&frames);
        assert_eq!(
            (row.ok, row.code, row.text().as_str()),
            (true, None, "four more"),
            "{name}: {}",
            row.detail
        );
    }
}
