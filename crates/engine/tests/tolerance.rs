//! Heads that are not quite HTTP: browsers show their pages, and so do rows, with a remark. What could move the end of
//! a body is refused. Source: RFC 9112, sections 2.2, 5, 6 and 11.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Row, Script, engine, fetch_one, header, one_attempt, send};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Options, Spec, Truncated};

const CHUNKS: &str = "\r\n5\r\nhello\r\n0\r\n\r\n";
const LENGTH: &str = "content-length: 5\r\n\r\nhello";

/// The row of a response with these bytes behind its status line.
fn row_of(rest: impl AsRef<[u8]>, strict: bool) -> Row {
    let script = Script::answer_and_close([b"HTTP/1.1 200 OK\r\n", rest.as_ref()].concat());
    fetch_one(&engine(Options { strict, threads: 1, ..one_attempt() }), &script.url("/"))
}

/// It comes through with a remark, and is refused if asked to.
fn assert_tolerated(rest: impl AsRef<[u8]>, remark: &str, code: Code) -> Row {
    let (shown, rest) = (String::from_utf8_lossy(rest.as_ref()).into_owned(), rest.as_ref());
    let row = row_of(rest, false);
    assert_eq!((row.code, row.ok, row.text().as_str()), (None, true, "hello"), "{shown:?}: {}", row.detail);
    assert!(
        row.detail.starts_with("tolerated: ") && row.detail.contains(remark),
        "{shown:?}: {}",
        row.detail
    );
    let strict = row_of(rest, true);
    assert_eq!((strict.code, strict.ok), (Some(code), false), "{shown:?}");
    row
}

#[test]
fn test_h27_blank_lines_before_the_status_line_are_passed_over() {
    for blank in ["\r\n", "\r\n\r\n", "\n"] {
        let script = Script::answer_and_close(format!("{blank}HTTP/1.1 200 OK\r\n{LENGTH}"));
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{blank:?}");
    }
}

#[test]
fn test_h28_a_control_byte_in_a_value_is_kept() {
    for byte in (1..=8).chain([11, 12]).chain(14..=31).chain([127]) {
        let rest = [b"x-a: a", &[byte][..], b"b\r\nx-b: c\r\n", LENGTH.as_bytes()].concat();
        let row = assert_tolerated(rest, "a control byte in a header", Code::ProtocolHeader);
        let value = &row.headers.iter().find(|(name, _)| name == "x-a").unwrap().1;
        assert_eq!((value.as_slice(), row.header("x-b").as_deref()), (&[b'a', byte, b'b'][..], Some("c")));
    }
}

#[test]
fn test_h28_a_line_that_is_no_header_is_passed_over() {
    for line in [
        "P3P : CP=\"NOI\"\r\n",
        "PHP Warning:  Undefined variable in /srv/x.php on line 3\r\n",
        "<br /><b>Warning</b>\r\n",
        "no colon\r\n folded\r\n",
        ": no name\r\n",
        "n\u{e4}me: x\r\n",
    ] {
        for rest in [format!("{line}x-b: c\r\n{LENGTH}"), format!("x-b: c\r\n{line}{LENGTH}")] {
            let row = assert_tolerated(rest, "a line that is no header", Code::ProtocolHeader);
            assert_eq!(row.header("x-b").as_deref(), Some("c"), "{line}");
            assert_eq!(row.headers.len(), 2, "{line}");
        }
    }
}

#[test]
fn test_h28_a_blank_before_the_first_header_is_passed_over() {
    for blank in [" ", "\t", "  "] {
        let row =
            assert_tolerated(format!("{blank}x-a: b\r\n{LENGTH}"), "a blank before", Code::ProtocolHeader);
        assert_eq!(row.header("x-a").as_deref(), Some("b"));
    }
}

#[test]
fn test_h28_the_slow_way_reads_the_rest_as_the_fast_way_does() {
    let rest = format!("P3P : x\nx-a:\t one\r\n\ttwo \r\n  three\r\nx-a: 2\r\nx-empty:\r\n{LENGTH}");
    let row = assert_tolerated(rest, "a line that is no header", Code::ProtocolHeader);
    let headers: Vec<_> = row.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    let expected: [(&str, &[u8]); 4] =
        [("x-a", b"one two three"), ("x-a", b"2"), ("x-empty", b""), ("content-length", b"5")];
    assert_eq!(headers, expected);
    let many = "P3P : x\r\n".to_owned() + &"a: b\r\n".repeat(5001) + LENGTH;
    assert_eq!(row_of(many, false).code, Some(Code::TooLargeHeaders));
    let endless = "P3P : x\r\na: ".to_owned() + &"b".repeat(300_000);
    assert_eq!(row_of(endless, false).code, Some(Code::TooLargeHeaders));
    let unfinished = row_of("P3P : x\r\nx-a: b\r\n", false);
    assert_eq!(unfinished.code, Some(Code::ProtocolEmpty), "{unfinished:?}");
}

#[test]
fn test_h28_a_head_that_breaks_the_rules_ends_its_connection() {
    let script = Script::answer(format!("HTTP/1.1 200 OK\r\nP3P : x\r\n{LENGTH}"));
    let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
    for connections in 1..4 {
        assert_eq!(fetch_one(&engine, &script.url("/")).code, None);
        assert_eq!(script.connections(), connections);
    }
}

#[test]
fn test_h3_what_another_reader_could_take_for_framing_is_refused() {
    for line in [
        "content-length : 5",
        "Content-Length\t: 5",
        "transfer-encoding : chunked",
        "x content-length: 5",
        "content-length 5",
        "Transfer-Encoding\u{b}: chunked",
        "content-length: 5\u{b}",
        "transfer-encoding: chunked\u{1}",
        "HTTP/1.1 200 OK",
        "nul: a\0b",
        "nul\0: b",
        "cr: a\rb",
        "cr\r: b",
    ] {
        for rest in [format!("{line}\r\n{LENGTH}"), format!("x-a: b\u{1}\r\n{line}\r\n{LENGTH}")] {
            let row = row_of(&rest, false);
            let code = row.code.filter(|code| *code == Code::ProtocolHeader);
            assert!(code.is_some() && !row.ok, "{rest:?}: {:?}", row.code);
        }
    }
    for first in [" content-length: 5", "\ttransfer-encoding: chunked", " Content-Length: 5\u{1}"] {
        assert_eq!(
            row_of(format!("{first}\r\n\r\nhello"), false).code,
            Some(Code::ProtocolHeader),
            "{first:?}"
        );
    }
    let folded = row_of("x-a: b\u{1}\r\ncontent-length: 5\r\n \u{2}\r\n\r\nhello", false);
    assert_eq!(folded.code, Some(Code::ProtocolHeader));
}

#[test]
fn test_h3_a_line_that_continues_no_header_may_not_frame_the_body_either() {
    for line in ["content-length: 9", "Transfer-Encoding: chunked", "content-length", "HTTP/1.1 200 OK"] {
        for blank in [" ", "\t", "  "] {
            for before in ["P3P : x", "no colon\r\n x"] {
                let row = row_of(format!("{before}\r\n{blank}{line}\r\n{LENGTH}"), false);
                assert_eq!((row.code, row.ok), (Some(Code::ProtocolHeader), false), "{before:?} {line:?}");
            }
        }
    }
}

/// A response behind an interim one with these lines.
fn behind_interim(lines: &str) -> String {
    format!("HTTP/1.1 103 Early Hints\r\n{lines}\r\nHTTP/1.1 200 OK\r\n{LENGTH}")
}

#[test]
fn test_h28_an_interim_head_that_breaks_the_rules_ends_its_connection() {
    for (lines, remark) in [
        ("P3P : x\r\n", "a line that is no header"),
        ("x-a: a\u{1}\r\n", "a control byte in a header"),
        ("content-length: 5\r\n", "an interim response that says how long its body is"),
        ("transfer-encoding: chunked\r\n", "an interim response that says how long its body is"),
    ] {
        let script = Script::answer(behind_interim(lines));
        let lenient = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
        for connections in 1..3 {
            let row = fetch_one(&lenient, &script.url("/"));
            assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{lines:?}");
            assert!(row.detail.starts_with("tolerated: ") && row.detail.contains(remark), "{}", row.detail);
            assert_eq!(script.connections(), connections, "{lines:?}");
        }
        let strict = Options { strict: true, threads: 1, ..one_attempt() };
        let row = fetch_one(&engine(strict), &script.url("/"));
        assert_eq!((row.code, row.ok), (Some(Code::ProtocolHeader), false), "{lines:?}");
    }
    let script = Script::answer(behind_interim("link: </a.css>; rel=preload\r\n"));
    let engine = engine(Options { threads: 1, strict: true, ..one_attempt() });
    for _ in 0..2 {
        let row = fetch_one(&engine, &script.url("/"));
        assert_eq!((row.code, row.detail.as_str(), script.connections()), (None, "", 1), "nothing is wrong");
    }
}

/// A chunked response with these lines behind its body.
fn with_trailers(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{lines}\r\n")
}

#[test]
fn test_h28_a_trailer_that_is_none_ends_its_connection() {
    for (line, remark) in [
        ("no colon\r\n", "a line that is no header"),
        ("a b: c\r\n", "a line that is no header"),
        (": no name\r\n", "a line that is no header"),
        (" x-a: first\r\n", "a line that is no header"),
        ("x-a: b\r\nno colon\r\n", "a line that is no header"),
        ("x-a: a\u{1}b\r\n", "a control byte in a header"),
    ] {
        let script = Script::answer(with_trailers(line));
        let lenient = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
        for connections in 1..3 {
            let row = fetch_one(&lenient, &script.url("/"));
            assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{line:?}");
            assert!(row.detail.starts_with("tolerated: ") && row.detail.contains(remark), "{}", row.detail);
            assert_eq!(script.connections(), connections, "{line:?}");
        }
        let strict = Options { strict: true, threads: 1, ..one_attempt() };
        let row = fetch_one(&engine(strict), &script.url("/"));
        assert_eq!((row.code, row.ok), (Some(Code::ProtocolHeader), false), "{line:?}");
    }
    for line in ["content-length : 5\r\n", "Transfer-Encoding\r\n", "HTTP/1.1 200 OK\r\n"] {
        let script = Script::answer_and_close(with_trailers(line));
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.ok), (Some(Code::ProtocolHeader), false), "{line:?}");
    }
    let script = Script::answer(with_trailers("x-a: b\r\n folded\r\nX-B:\r\n"));
    let engine = engine(Options { threads: 1, strict: true, ..one_attempt() });
    for _ in 0..2 {
        let row = fetch_one(&engine, &script.url("/"));
        assert_eq!((row.code, row.detail.as_str(), script.connections()), (None, "", 1), "nothing is wrong");
    }
}

#[test]
fn test_h29_identity_does_nothing() {
    let code = Code::ProtocolTransferEncoding;
    for rest in
        ["transfer-encoding: identity\r\n\r\nhello", "Transfer-Encoding: Identity, identity\r\n\r\nhello"]
    {
        assert_tolerated(rest, "Transfer-Encoding: identity", code);
    }
    assert_tolerated(format!("transfer-encoding: identity\r\n{LENGTH}"), "identity", code);
    let cut = row_of("transfer-encoding: identity\r\ncontent-length: 9\r\n\r\nhello", false);
    assert_eq!(cut.code, Some(Code::TruncatedDisconnect), "the length counts");
}

#[test]
fn test_h29_chunked_that_is_named_twice_is_chunked_once() {
    for codings in [
        "transfer-encoding: chunked\r\nTransfer-Encoding: Chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
    ] {
        assert_tolerated(format!("{codings}{CHUNKS}"), "more than once", Code::ProtocolTransferEncoding);
    }
}

#[test]
fn test_h10_other_transfer_codings_are_refused() {
    for codings in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, identity",
        "identity, chunked",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "",
        "chunked\r\ntransfer-encoding: identity",
    ] {
        for length in ["", "content-length: 5\r\n"] {
            let row = row_of(format!("transfer-encoding: {codings}\r\n{length}{CHUNKS}"), false);
            assert_eq!(row.code, Some(Code::ProtocolTransferEncoding), "{codings:?}");
        }
    }
}

#[test]
fn test_h8_chunked_wins_over_a_length_and_ends_the_connection() {
    for head in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 99\r\n",
    ] {
        let script = Script::answer(format!("HTTP/1.1 200 OK\r\n{head}{CHUNKS}"));
        let engine = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
        for connections in 1..3 {
            let row = fetch_one(&engine, &script.url("/"));
            assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{head}");
            assert_eq!(script.connections(), connections, "{head}");
        }
        let code = Code::ProtocolTransferEncoding;
        assert_tolerated(format!("{head}{CHUNKS}"), "Content-Length beside Transfer-Encoding", code);
    }
}

#[test]
fn test_h8_a_transfer_coding_in_http_1_0_ends_the_connection() {
    let kept = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n";
    let script = Script::answer(format!("{kept}transfer-encoding: chunked\r\n{CHUNKS}"));
    let lenient = engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() });
    for connections in 1..3 {
        let row = fetch_one(&lenient, &script.url("/"));
        assert_eq!((row.code, row.text().as_str()), (None, "hello"));
        assert_eq!(row.detail, "tolerated: Transfer-Encoding in HTTP/1.0");
        assert_eq!(script.connections(), connections);
    }
    let strict = Options { strict: true, threads: 1, ..one_attempt() };
    let row = fetch_one(&engine(strict), &script.url("/"));
    assert_eq!((row.code, row.ok), (Some(Code::ProtocolTransferEncoding), false));
}

#[test]
fn test_h30_h12_junk_and_endless_bytes_behind_the_size_of_a_chunk() {
    let endless = format!("5;{}", "x".repeat(1 << 20));
    let blank = format!("5{}", " ".repeat(1 << 20));
    for size in
        ["5 x", "5 5", "5\tx", "5 \u{1}", "5x", "5,", "0x5", "+5", " 5", "5;a\rb", endless.as_str(), &blank]
    {
        let row = row_of(format!("transfer-encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n"), false);
        assert_eq!(
            (row.code, row.ok),
            (Some(Code::ProtocolChunk), false),
            "{:?}",
            &size[..size.len().min(9)]
        );
    }
    for size in ["5", "05", "5 ", "5\t", "5;a=b", "5 ; a=\"b c\"", "5 ;a"] {
        let row = row_of(format!("transfer-encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n"), false);
        assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{size:?}");
    }
}

#[test]
fn test_h32_a_part_of_a_coded_body_is_kept_as_it_came() {
    let script = Script::start(|_, peer| {
        while let Some(head) = peer.request() {
            let coding = if head.contains("accept-encoding") { "content-encoding: gzip\r\n" } else { "" };
            peer.send(format!(
                "HTTP/1.1 206 Partial Content\r\n{coding}content-range: bytes 5-9/99\r\ncontent-length: 5\r\n\r\n\x02\x03\x04\x05\x06"
            ));
        }
    });
    let engine = engine(one_attempt());
    let range = || header("range", "bytes=5-9");
    for (headers, coded) in [(vec![range()], false), (vec![range(), header("accept-encoding", "gzip")], true)]
    {
        let row = send(&engine, &script.url("/"), Spec { headers, ..Spec::default() });
        assert_eq!((row.code, &row.body[..], row.ok), (None, &[2, 3, 4, 5, 6][..], true), "{}", row.detail);
        assert_eq!(
            (row.encoding_left.as_deref() == Some("gzip"), row.header("content-encoding").is_some()),
            (coded, coded)
        );
    }
}

#[test]
fn test_h33_a_part_that_nobody_asked_for_is_not_ok() {
    let asked = || vec![header("range", "bytes=0-4")];
    for (range, headers, truncated) in [
        ("content-range: bytes 0-4/99\r\n", vec![], Some(Truncated::Part)),
        ("content-range: bytes 5-9/10\r\n", vec![], Some(Truncated::Part)),
        ("content-range: bytes 0-4/*\r\n", vec![], Some(Truncated::Part)),
        ("content-type: multipart/byteranges; boundary=x\r\n", vec![], Some(Truncated::Part)),
        ("content-range: bytes 0-4/5\r\n", vec![], None),
        ("content-range: bytes 0-4/99\r\n", asked(), None),
    ] {
        let script = Script::answer(format!("HTTP/1.1 206 Partial Content\r\n{range}{LENGTH}"));
        for (shared, own) in [(headers.clone(), vec![]), (vec![], headers)] {
            let engine = engine(Options { headers: shared, ..one_attempt() });
            let row = send(&engine, &script.url("/"), Spec { headers: own, ..Spec::default() });
            assert_eq!((row.code, row.text().as_str()), (None, "hello"), "{range:?}: {}", row.detail);
            assert_eq!((row.truncated, row.ok), (truncated, truncated.is_none()), "{range:?}");
        }
    }
}

#[test]
fn test_h26_a_thousand_cookies_are_kept() {
    let cookies: Vec<String> = (0..1000).map(|n| format!("set-cookie: a{n}={n}\r\n")).collect();
    let row = row_of(cookies.concat() + LENGTH, false);
    assert_eq!((row.code, row.headers.len()), (None, 1001));
}
