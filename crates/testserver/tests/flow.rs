//! Statuses, redirects, delays, passing failures, and what the client sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{Client, content, get, server, wait_for};
use serde_json::json;

#[test]
fn test_status_is_the_one_asked_for() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for status in [200, 201, 404, 418, 500, 599, 999] {
        let reply = client.get(&format!("/status/{status}?body=so+it%20is"));
        assert_eq!((reply.status, reply.text()), (status, "so it is"));
    }
    for status in [204, 304] {
        client.send_get(&format!("/status/{status}"));
        assert_eq!(client.head().unwrap().status, status);
    }
    assert_eq!(client.get("/status/200").text(), "200\n");
}

#[test]
fn test_delay_waits_before_the_answer() {
    let server = server();
    let started = Instant::now();
    assert_eq!(get(&server, "/delay/60?bytes=100").body, content(100, 0));
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[test]
fn test_hang_ends_when_the_client_goes() {
    let server = server();
    let mut client = Client::connect(server.addr());
    client.send_get("/hang");
    wait_for(&server, |stats| stats.in_flight == 1);
    client.set_patience(Duration::from_millis(50));
    assert!(client.head().is_err());
    drop(client);
    wait_for(&server, |stats| stats.in_flight == 0 && stats.open_connections == 0);
}

#[test]
fn test_redirects_count_down() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let mut target = "/redirect/3".to_owned();
    for _ in 0..3 {
        let reply = client.get(&target);
        assert_eq!(reply.status, 302);
        target = reply.header("location").unwrap().to_owned();
    }
    assert_eq!(target, "/redirect/0");
    assert_eq!(client.get(&target).status, 200);
}

#[test]
fn test_redirect_to_goes_where_asked() {
    let server = server();
    let reply = get(&server, "/redirect-to?url=http%3A%2F%2Fother.invalid%2Fa%3Fb%3D1&status=307");
    assert_eq!((reply.status, reply.header("location")), (307, Some("http://other.invalid/a?b=1")));
    assert_eq!(get(&server, "/redirect-to?url=a%0D%0Ab").status, 400);
    assert_eq!(get(&server, "/redirect-to").status, 400);
}

#[test]
fn test_failures_pass_when_asked_often_enough() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let mut statuses = |target: &str| [(); 3].map(|()| client.get(target).status);
    assert_eq!(statuses("/flaky?times=2&key=a"), [503, 503, 200]);
    assert_eq!(statuses("/flaky?times=1&key=b&status=429"), [429, 200, 200]);
    assert_eq!(statuses("/retry-after/7?times=1&key=a"), [503, 200, 200]);
    assert_eq!(client.get("/retry-after/7?key=c").header("retry-after"), Some("7"));
}

#[test]
fn test_retry_after_is_told_in_the_form_asked_for() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for (query, status, value) in [
        ("seconds=2", 503, "2"),
        ("value=999999999&status=429", 429, "999999999"),
        ("value=-1", 503, "-1"),
        ("value=soon%20%3B)", 503, "soon ;)"),
    ] {
        let reply = client.get(&format!("/retry-after?{query}&key={query}&times=1"));
        assert_eq!((reply.status, reply.header("retry-after")), (status, Some(value)), "{query}");
        let reply = client.get(&format!("/retry-after?{query}&key={query}&times=1"));
        assert_eq!((reply.status, reply.header("retry-after")), (200, None), "{query}");
    }
    for query in
        ["", "seconds=x", "seconds=1&date=1", "date=--1", "date=", "value=a%0Ab", "seconds=1&status=100"]
    {
        assert_eq!(client.get(&format!("/retry-after?{query}")).status, 400, "{query}");
    }
}

#[test]
fn test_retry_after_date_is_exactly_so_far_ahead_when_it_arrives() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let reply = client.get("/retry-after?date=2&key=d&status=429");
    let now = SystemTime::now();
    let date = httpdate::parse_http_date(reply.header("retry-after").unwrap()).unwrap();
    let ahead = date.duration_since(now).unwrap();
    assert!(ahead <= Duration::from_secs(2) && ahead > Duration::from_millis(1700), "{ahead:?}");
    // The success that follows does not wait for a second to begin: three of them could not all arrive at one.
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.get("/retry-after?date=2&key=d").status, 200);
    }
    assert!(started.elapsed() < Duration::from_millis(900));
    let past = client.get("/retry-after?date=-5&key=past");
    let date = httpdate::parse_http_date(past.header("retry-after").unwrap()).unwrap();
    assert!(date < SystemTime::now() - Duration::from_secs(4));
}

#[test]
fn test_flaky_breaks_the_connection_when_asked() {
    let server = server();
    let target = "/flaky?times=1&key=r&fault=reset";
    let mut client = Client::connect(server.addr());
    client.send_get(target);
    assert_eq!(client.rest().1.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(get(&server, target).status, 200);
}

#[test]
fn test_echo_shows_the_request() {
    let server = server();
    let mut client = Client::connect(server.addr());
    client.send(
        "PUT /echo?a=1&b HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 5\r\n\r\nh\u{e9}llo",
    );
    // "é" is two bytes: Content-Length 5 ends within "llo".
    let echo = client.reply().unwrap().json();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["path"], "/echo");
    assert_eq!(echo["query"], "a=1&b");
    assert_eq!(echo["body"], "h\u{e9}ll");
    assert_eq!(echo["http_version"], "HTTP/1.1");
    let headers = echo["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-two", "1"])) && headers.contains(&json!(["x-two", "2"])));
    assert!(echo["remote_port"].as_u64().unwrap() > 0);
}

#[test]
fn test_echo_keeps_the_bytes_when_they_are_no_text() {
    let server = server();
    let mut client = Client::connect(server.addr());
    // One byte of a two-byte character, sent in chunks.
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\u{e9}\r\n1\r\na\r\n0\r\n\r\n");
    assert_eq!(client.reply().unwrap().json()["body"], "\u{e9}a");
    let mut request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n".to_vec();
    request.extend([0xff, 0x00, 0xfe]);
    client.send_bytes(&request);
    assert_eq!(client.reply().unwrap().json()["body_base64"], "/wD+");
}

#[test]
fn test_unwanted_bodies_leave_the_connection_usable() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let body = "x".repeat(1_000_000);
    for _ in 0..2 {
        client.send(&format!("POST /bytes/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{body}"));
        assert_eq!(client.reply().unwrap().body, content(5, 0));
    }
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn test_cookies_are_set_and_shown() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let reply = client.get("/cookies/set?a=1&b=2");
    assert_eq!((reply.status, reply.header("location")), (302, Some("/cookies")));
    let set: Vec<_> = reply.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(set.len(), 2);
    assert!(set[0].1.starts_with("a=1;"));
    client.send("GET /cookies HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=x=y\r\n\r\n");
    assert_eq!(client.reply().unwrap().json(), json!({"cookies": {"a": "1", "b": "x=y"}}));
}

#[test]
fn test_basic_auth_wants_its_credentials() {
    let server = server();
    let reply = get(&server, "/basic-auth/me/p%20w");
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").unwrap().starts_with("Basic"));
    let mut client = Client::connect(server.addr());
    // base64 of "me:p w", then of "me:no".
    for (credentials, status) in [("bWU6cCB3", 200), ("bWU6bm8=", 401)] {
        client.send(&format!(
            "GET /basic-auth/me/p%20w HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"
        ));
        assert_eq!(client.reply().unwrap().status, status);
    }
}
