//! Bodies, headers, encodings.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use common::{Client, content, get, server};

#[test]
fn test_bytes_follow_the_formula_when_kept_or_streamed() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for n in [0, 1, 100, 100, 65_536, 262_144, 262_145, 3_000_000] {
        let reply = client.get(&format!("/bytes/{n}"));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-length"), Some(n.to_string().as_str()));
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        assert!(reply.body == content(n, 0), "/bytes/{n}");
    }
    assert_eq!(client.get("/bytes/1000?seed=7").body, content(1000, 7));
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn test_numbers_are_refused_when_out_of_range() {
    let server = server();
    for target in
        ["/bytes/1073741825", "/bytes/-1", "/bytes/", "/status/100", "/bytes/1?seed=x", "/delay/3600001"]
    {
        let reply = get(&server, target);
        assert_eq!(reply.status, 400, "{target}");
        assert!(reply.text().contains("must be a whole number"), "{target}");
    }
    for target in ["/nothing", "/echo/more", "/drip/1", "/basic-auth/user"] {
        assert_eq!(get(&server, target).status, 404, "{target}");
    }
}

#[test]
fn test_index_lists_the_paths() {
    let reply = get(&server(), "/");
    assert!(reply.text().contains("/bytes/N") && reply.text().contains("/basic-auth/"));
}

#[test]
fn test_head_has_length_and_no_body() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for n in [0, 100, 3_000_000] {
        client.send(&format!("HEAD /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head().unwrap().header("content-length"), Some(n.to_string().as_str()));
    }
    // If a body had followed, this response would not be where it is.
    assert_eq!(client.get("/bytes/5").body, content(5, 0));
    assert_eq!(server.stats().in_flight, 0);
}

#[test]
fn test_pipelined_requests_are_answered_in_order() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let request = |n| format!("GET /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(&(1..=50).map(request).collect::<String>());
    for n in 1..=50 {
        assert_eq!(client.reply().unwrap().body, content(n, 0));
    }
}

#[test]
fn test_encodings_decode_to_the_content() {
    let server = server();
    for n in [0, 1, 100, 500_000] {
        for path in ["gzip", "deflate", "raw-deflate", "br", "zstd"] {
            let reply = get(&server, &format!("/{path}/{n}"));
            let coding = reply.header("content-encoding");
            assert_eq!(coding, Some(if path == "raw-deflate" { "deflate" } else { path }));
            let mut decoded = Vec::new();
            let body = reply.body.as_slice();
            match path {
                "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut decoded),
                "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut decoded),
                "raw-deflate" => flate2::read::DeflateDecoder::new(body).read_to_end(&mut decoded),
                "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut decoded),
                _ => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut decoded),
            }
            .unwrap();
            assert!(decoded == content(n, 0), "/{path}/{n}");
            assert!(n < 1000 || reply.body.len() < n, "/{path}/{n}: {} bytes", reply.body.len());
        }
    }
}

#[test]
fn test_stream_is_chunked() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let reply = client.get("/stream?chunks=5&size=100");
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(reply.body, content(500, 0));
    assert_eq!(client.get("/stream?chunks=0").body, b"");
}

#[test]
fn test_drip_takes_its_time() {
    let server = server();
    let started = Instant::now();
    let mut client = Client::connect(server.addr());
    client.send_get("/drip?bytes=6&ms=20&pause_ms=120");
    assert_eq!(client.head().unwrap().header("content-length"), Some("6"));
    assert!(started.elapsed() < Duration::from_millis(120), "the head does not wait");
    assert_eq!(client.take(6).unwrap(), content(6, 0));
    assert!(started.elapsed() >= Duration::from_millis(120 + 5 * 20));
}

#[test]
fn test_headers_are_as_many_and_as_long_as_asked() {
    let server = server();
    let reply = get(&server, "/headers/500");
    let counted = reply.headers.iter().filter(|(name, _)| name.starts_with("x-header-")).count();
    assert_eq!(counted, 500);
    assert_eq!(reply.header("x-header-499"), Some("value-499"));
    let reply = get(&server, "/huge-header/100000");
    assert_eq!(reply.header("x-huge").map(str::len), Some(100_000));
}
