//! What a client sees on the wire when an answer breaks off.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::ErrorKind;

use common::{Client, content, get, server, wait_for};

/// Splits what came before the end of the connection into head and body.
fn broken_off(target: &str) -> (Option<usize>, Vec<u8>, std::io::Result<()>) {
    let server = server();
    let mut client = Client::connect(server.addr());
    client.send_get(target);
    let Ok(head) = client.head() else {
        return (None, Vec::new(), client.rest().1);
    };
    let declared = head.header("content-length").map(|length| length.parse().unwrap());
    let (body, end) = client.rest();
    wait_for(&server, |stats| stats.in_flight == 0 && stats.open_connections == 0);
    (declared, body, end)
}

#[test]
fn test_reset_comes_before_any_byte() {
    let server = server();
    let mut client = Client::connect(server.addr());
    client.send_get("/reset");
    let (bytes, end) = client.rest();
    assert!(bytes.is_empty());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn test_reset_comes_after_the_bytes_asked_for() {
    for n in [0, 1, 100, 100_000] {
        let (declared, body, end) = broken_off(&format!("/reset?after={n}"));
        assert_eq!(declared, Some(n + 100));
        assert!(body == content(n + 100, 0).get(..n).unwrap(), "{n}: {} bytes", body.len());
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "{n}");
    }
}

#[test]
fn test_truncate_ends_with_fin_after_the_bytes_asked_for() {
    for n in [0, 1, 100, 3_000_000] {
        let (declared, body, end) = broken_off(&format!("/truncate/{n}"));
        assert_eq!(declared, Some(n + 100));
        assert!(body == content(n + 100, 0).get(..n).unwrap(), "{n}: {} bytes", body.len());
        assert!(end.is_ok(), "{n}: {end:?}");
    }
}

#[test]
fn test_close_ends_with_fin_when_the_request_has_a_body() {
    let server = server();
    for request in [
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /close HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut client = Client::connect(server.addr());
        client.send(request);
        let (bytes, end) = client.rest();
        assert!(bytes.is_empty() && end.is_ok(), "{request}: {end:?}");
    }
}

#[test]
fn test_a_fault_hits_only_its_own_connection() {
    let server = server();
    let mut other = Client::connect(server.addr());
    assert_eq!(other.get("/bytes/1").status, 200);
    let mut client = Client::connect(server.addr());
    assert_eq!(client.get("/bytes/1").status, 200);
    client.send_get("/reset");
    assert!(client.rest().1.is_err());
    assert_eq!(other.get("/bytes/1").status, 200);
    assert_eq!(get(&server, "/bytes/1").status, 200);
}
