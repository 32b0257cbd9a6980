//! Content codings and limits on size, on the wire and decoded.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Row, Script, engine, fetch_one, header, one_attempt, send, server};
use hurtle_engine::{Code, OnOversize, Options, Spec, Truncated};

fn capped(max_body_size: u64, on_oversize: OnOversize) -> Options {
    Options { max_body_size, on_oversize, threads: 1, ..one_attempt() }
}

/// A script that answers with `body` under `coding`.
fn coded(coding: &str, body: &[u8]) -> Script {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    Script::answer([head.as_bytes(), body].concat())
}

fn get(options: Options, url: &str) -> Row {
    fetch_one(&engine(options), url)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A byte that cannot be compressed. Source: Marsaglia, "Xorshift RNGs", 2003.
fn next_noise(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

#[test]
fn test_every_coding_gives_the_bytes_back() {
    let server = server();
    let engine = engine(one_attempt());
    for size in [0, 1, 1000, 300_000] {
        let plain = fetch_one(&engine, &server.url(&format!("/bytes/{size}"))).body;
        assert_eq!(plain.len(), size);
        for coding in ["gzip", "deflate", "raw-deflate", "br", "zstd"] {
            let row = fetch_one(&engine, &server.url(&format!("/{coding}/{size}")));
            assert_eq!((row.code, row.ok), (None, true), "{coding} {size}: {}", row.detail);
            assert!(row.body == plain, "{coding} {size}");
            assert!(size < 1000 || row.wire_bytes < size as u64, "{coding} {size}: {}", row.wire_bytes);
            assert_eq!(row.header("content-encoding").as_deref(), Some(coding.trim_start_matches("raw-")));
        }
    }
    assert!(server.stats().connections <= 1 + 1, "one for each thread: {:?}", server.stats());
}

#[test]
fn test_e8_layers_are_undone_one_after_the_other() {
    let body = gzip(&gzip(b"twice"));
    let row = get(one_attempt(), &coded("gzip, gzip", &body).url("/"));
    assert_eq!((row.code, row.text().as_str()), (None, "twice"));
    let row = get(one_attempt(), &coded("gzip, gzip, gzip, gzip, gzip, gzip", &body).url("/"));
    assert_eq!(row.code, Some(Code::DecodeTooManyLayers));
}

#[test]
fn test_e2_e3_e4_broken_codings_are_never_ok() {
    let whole = gzip(&b"some text to pack ".repeat(50));
    let mut corrupt = whole.clone();
    let check = corrupt.len() - 6;
    *corrupt.get_mut(check).unwrap() ^= 1;
    for (body, code) in [
        (whole.get(..whole.len() / 2).unwrap().to_vec(), Code::DecodeTruncated),
        (corrupt, Code::DecodeCorrupt),
        (b"plain text under a label".to_vec(), Code::DecodeCorrupt),
    ] {
        let script = coded("gzip", &body);
        let engine = engine(capped(1 << 20, OnOversize::Error));
        for _ in 0..2 {
            let row = fetch_one(&engine, &script.url("/"));
            assert_eq!((row.code, row.status, row.ok), (Some(code), Some(200), false));
        }
        assert_eq!(script.connections(), 1, "the exchange itself was whole: its connection stays");
    }
}

#[test]
fn test_e9_an_unknown_coding_is_left_as_it_is() {
    let row = get(one_attempt(), &coded("exi", b"whatever").url("/"));
    assert_eq!((row.code, row.text().as_str()), (None, "whatever"));
    assert_eq!(row.header("content-encoding").as_deref(), Some("exi"));
    assert_eq!(row.encoding_left.as_deref(), Some("exi"));
}

#[test]
fn test_a_body_that_just_fits_is_whole() {
    let server = server();
    for on_oversize in [OnOversize::Error, OnOversize::Truncate] {
        for path in ["/bytes/100000", "/stream?chunks=100&size=1000", "/gzip/100000", "/zstd/100000"] {
            let row = get(capped(100_000, on_oversize), &server.url(path));
            assert_eq!((row.code, row.truncated, row.body.len()), (None, None, 100_000), "{path}");
        }
    }
}

#[test]
fn test_h9_h14_e1_the_cap_is_named_after_what_broke_it() {
    let server = server();
    for (path, code) in [
        ("/bytes/100001", Code::TooLargeDeclared),
        ("/bytes/1000000000", Code::TooLargeDeclared),
        ("/stream?chunks=1000000&size=60000", Code::TooLargeBody),
        ("/gzip/100001", Code::TooLargeDecoded),
        ("/br/3000000", Code::TooLargeDecoded),
        ("/zstd/3000000", Code::TooLargeDecoded),
    ] {
        let row = get(capped(100_000, OnOversize::Error), &server.url(path));
        assert_eq!((row.code, row.ok, row.body.len()), (Some(code), false, 0), "{path}");
        assert_eq!((row.status, row.attempts), (Some(200), 1), "{path}");
    }
}

#[test]
fn test_a_length_that_is_a_lie_costs_no_memory() {
    let script = Script::answer_and_close("HTTP/1.1 200 OK\r\ncontent-length: 40000000000\r\n\r\nhardly");
    let row = get(capped(1 << 40, OnOversize::Error), &script.url("/"));
    assert_eq!((row.code, row.wire_bytes), (Some(Code::TruncatedDisconnect), 6));
}

#[test]
fn test_a_cut_body_keeps_its_prefix_and_is_marked() {
    let server = server();
    let whole = get(one_attempt(), &server.url("/bytes/2000000")).body;
    for (path, marker) in [("/bytes/2000000", ""), ("/gzip/2000000", "gzip"), ("/br/2000000", "br")] {
        let row = get(capped(50_001, OnOversize::Truncate), &server.url(path));
        assert_eq!((row.code, row.truncated, row.ok), (None, Some(Truncated::Length), false), "{path}");
        assert_eq!(row.header("content-encoding").unwrap_or_default(), marker);
        assert!(!row.body.is_empty() && row.body.len() <= 50_001, "{path}: {}", row.body.len());
        assert!(whole.starts_with(&row.body), "{path}: not a prefix of the decoded body");
    }
    // If compression gains nothing, the cap cuts the compressed bytes.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..10_000).map(|_| next_noise(&mut state)).collect();
    let packed = gzip(&noise);
    assert!(packed.len() > 9_000, "{}", packed.len());
    let row = get(capped(5_000, OnOversize::Truncate), &coded("gzip", &packed).url("/"));
    assert_eq!((row.code, row.truncated, row.wire_bytes), (None, Some(Truncated::Length), 5_000));
    assert!(row.body.len() > 4_000 && noise.starts_with(&row.body), "{}", row.body.len());
    let row = get(capped(50_001, OnOversize::Truncate), &server.url("/stream?chunks=1000&size=1000"));
    assert_eq!((row.body.len(), row.truncated), (50_001, Some(Truncated::Length)));
}

#[test]
fn test_a_connection_whose_body_was_cut_is_not_used_again() {
    let server = server();
    let engine = engine(capped(1000, OnOversize::Truncate));
    for connections in 1..4 {
        let row = fetch_one(&engine, &server.url("/bytes/1000000"));
        assert_eq!((row.body.len(), row.conn_reused), (1000, false));
        assert_eq!(server.stats().connections, connections);
    }
}

#[test]
fn test_e11_an_empty_coded_body_is_whole() {
    let row = get(one_attempt(), &coded("gzip", b"").url("/"));
    assert_eq!((row.code, row.ok, row.body.len()), (None, true, 0));
}

#[test]
fn test_e9_only_what_was_asked_for_is_undone() {
    let body = gzip(b"an archive");
    let server = coded("gzip", &body);
    let accepting = |value| vec![header("accept-encoding", value)];
    let shown = |row: &Row| (row.code, row.encoding_left.clone(), row.header("content-encoding"));
    let name = || Some("gzip".to_owned());
    let (left, undone) = ((None, name(), name()), (None, None, name()));
    for (value, is_decoded) in
        [("identity", false), ("br", false), ("gzip;q=0, *", false), ("br, gzip", true)]
    {
        let options = Options { headers: accepting(value), ..one_attempt() };
        let row = get(options, &server.url("/"));
        assert_eq!(shown(&row), if is_decoded { undone.clone() } else { left.clone() }, "{value}");
        assert_eq!(row.body, if is_decoded { b"an archive".to_vec() } else { body.clone() }, "{value}");
        // What a request says itself wins.
        let spec = Spec { headers: accepting("gzip"), ..Spec::default() };
        let options = Options { headers: accepting(value), ..one_attempt() };
        assert_eq!(shown(&send(&engine(options), &server.url("/"), spec)), undone, "{value}");
    }
}

#[test]
fn test_bodies_stay_as_received_when_decoding_is_off() {
    let body = gzip(b"a page");
    let server = coded("gzip", &body);
    for (all, own, is_decoded) in
        [(false, None, false), (true, Some(false), false), (false, Some(true), true), (true, None, true)]
    {
        let options = Options { decode_content: all, ..one_attempt() };
        let spec = Spec { decode_content: own, ..Spec::default() };
        let row = send(&engine(options), &server.url("/"), spec);
        assert_eq!((row.code, row.encoding_left.is_none()), (None, is_decoded), "{all} {own:?}");
        assert_eq!(row.body, if is_decoded { b"a page".to_vec() } else { body.clone() }, "{all} {own:?}");
    }
    // Nothing is unpacked, so nothing can be wrong with it.
    let options = Options { decode_content: false, ..one_attempt() };
    let six = coded("gzip, gzip, gzip, gzip, gzip, gzip", b"x");
    assert_eq!(get(options, &six.url("/")).body, b"x");
}

#[test]
fn test_e5_every_member_is_read_and_empty_ones_are_counted() {
    let two = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(get(one_attempt(), &coded("gzip", &two).url("/")).text(), "one two");
    let row = get(one_attempt(), &coded("gzip", &gzip(b"").repeat(1000)).url("/"));
    assert_eq!((row.code, row.ok), (Some(Code::DecodeCorrupt), false));
}

#[test]
fn test_e6_bytes_behind_the_end_are_dropped_with_a_remark() {
    let row = get(one_attempt(), &coded("gzip", &[gzip(b"whole"), b"junk".to_vec()].concat()).url("/"));
    assert_eq!((row.code, row.text().as_str()), (None, "whole"));
    assert!(row.detail.contains("behind the end"), "{}", row.detail);
}

#[test]
fn test_e7_raw_deflate_is_read_and_never_as_whole_if_it_is_cut() {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&b"some text ".repeat(100)).unwrap();
    let raw = encoder.finish().unwrap();
    assert_eq!(get(one_attempt(), &coded("deflate", &raw).url("/")).body.len(), 1000);
    let row = get(one_attempt(), &coded("deflate", &raw[..raw.len() - 1]).url("/"));
    assert_eq!((row.code, row.ok), (Some(Code::DecodeTruncated), false));
}

#[test]
fn test_e10_a_large_zstd_window_is_refused() {
    // A frame without content size, whose window descriptor asks for 16 MiB. Source: RFC 8878, section 3.1.1.1.2.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 0x01, 0x00, 0x00];
    let row = get(one_attempt(), &coded("zstd", &frame).url("/"));
    assert_eq!((row.code, row.ok), (Some(Code::DecodeWindow), false), "{}", row.detail);
}

#[test]
fn test_e12_a_part_of_a_coded_body_is_never_decoded() {
    let packed = gzip(&b"some text ".repeat(100));
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-encoding: gzip\r\ncontent-range: bytes 0-{}/{}\r\ncontent-length: {}\r\n\r\n",
        packed.len() - 1,
        packed.len(),
        packed.len()
    );
    let row = get(one_attempt(), &Script::answer([head.as_bytes(), &packed].concat()).url("/"));
    assert_eq!((row.code, row.body), (None, packed));
}
