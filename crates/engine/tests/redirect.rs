//! Redirects: where they lead, what is sent there, and what the row says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::{Script, engine, fetch, fetch_one, header, one_attempt, send, server};
use http::Method;
use http::header::AUTHORIZATION;
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, KeepOnRedirect, Options, Spec, Verify, basic};
use hurtle_testserver::{Config, Hosts, Server};

/// A redirect on `server` to `url`.
fn redirect_to(server: &Server, url: &str, status: u16) -> String {
    let url = percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC);
    server.url(&format!("/redirect-to?status={status}&url={url}"))
}

#[test]
fn test_hops_are_listed_when_redirects_stay_on_the_origin() {
    let server = server();
    let row = fetch_one(&engine(Options::default()), &server.url("/redirect/3"));
    assert_eq!((row.status, row.ok, row.text().as_str()), (Some(200), true, "arrived\n"));
    assert_eq!((row.attempts, row.url.as_str()), (1, server.url("/redirect/3").as_str()));
    assert_eq!(row.final_url, server.url("/redirect/0"));
    let hops: Vec<_> = row.hops.iter().map(|hop| (&*hop.url, hop.status)).collect();
    let urls = [3, 2, 1].map(|n| server.url(&format!("/redirect/{n}")));
    assert_eq!(hops, urls.iter().map(|url| (url.as_str(), 302)).collect::<Vec<_>>());
    let stats = server.stats();
    assert_eq!((stats.requests, stats.connections), (4, 1), "the chain keeps its connection");
}

#[test]
fn test_redirect_is_the_answer_when_not_followed() {
    let server = server();
    let options = Options { follow_redirects: false, ..Options::default() };
    let row = fetch_one(&engine(options), &server.url("/redirect/1"));
    assert_eq!((row.status, row.hops.len(), row.ok), (Some(302), 0, true));
    assert_eq!(row.header("location").as_deref(), Some("/redirect/0"));
}

#[test]
fn test_r1_hops_are_kept_when_there_are_too_many() {
    let server = server();
    let options = Options { max_redirects: 4, ..Options::default() };
    let row = fetch_one(&engine(options), &server.url("/redirect/9"));
    assert_eq!((row.code, row.hops.len(), row.ok), (Some(Code::RedirectTooMany), 4, false));
    assert_eq!((row.status, row.attempts), (Some(302), 1));
}

#[test]
fn test_r1_redirect_to_itself_ends() {
    let script = Script::answer("HTTP/1.1 302 Found\r\nlocation: /here\r\ncontent-length: 0\r\n\r\n");
    let row = fetch_one(&engine(Options::default()), &script.url("/here"));
    assert_eq!((row.code, row.hops.len()), (Some(Code::RedirectTooMany), 10));
    assert_eq!(script.requests(), 11);
}

#[test]
fn test_r2_nothing_of_the_caller_goes_along_when_the_origin_changes() {
    let (first, second) = (server(), server());
    let options = Options { headers: vec![header("x-shared", "secret-1")], ..Options::default() };
    let engine = engine(options);
    let spec = || Spec {
        headers: vec![
            (AUTHORIZATION, basic("me", "secret").unwrap()),
            header("x-api-key", "secret-2"),
            header("cookie", "session=secret-3"),
            header("accept-language", "de"),
        ],
        ..Spec::default()
    };
    let row = send(&engine, &redirect_to(&first, &second.url("/echo"), 302), spec());
    assert_eq!((row.status, row.hops.len()), (Some(200), 1));
    let text = row.text();
    for gone in ["authorization", "x-api-key", "x-shared", "cookie", "secret"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    assert!(text.contains(r#"["accept-language","de"]"#), "{text}");
    assert!(text.contains(&format!(r#"["host","{}"]"#, second.addr())), "{text}");
    // Back on the first origin, the dropped headers stay dropped.
    let back = redirect_to(&second, &first.url("/echo"), 302);
    let row = send(&engine, &redirect_to(&first, &back, 302), spec());
    assert_eq!((row.status, row.hops.len()), (Some(200), 2));
    assert!(!row.text().contains("secret"), "{}", row.text());
    // Within one origin it is sent along.
    let row = send(&engine, &redirect_to(&first, "/echo", 302), spec());
    for kept in ["authorization", "x-api-key", "x-shared", "cookie"] {
        assert!(row.text().contains(kept), "{kept} in {}", row.text());
    }
}

/// A POST with a body and a header of the caller, twice.
fn post() -> Spec {
    Spec {
        method: Method::POST,
        headers: vec![header("x-key", "secret-1"), header("x-key", "secret-2"), header("cookie", "secret-3")],
        body: Some(Bytes::from_static(b"secret-4")),
        ..Spec::default()
    }
}

#[test]
fn test_r2_a_body_stays_with_its_origin() {
    let (first, second) = (server(), server());
    let engine = engine(Options::default());
    for status in [307, 308] {
        let row = send(&engine, &redirect_to(&first, &second.url("/echo"), status), post());
        assert_eq!((row.code, row.status, row.attempts), (Some(Code::RedirectBody), Some(status), 1));
        assert!(row.detail.contains(&second.addr().to_string()), "{}", row.detail);
    }
    assert_eq!(second.stats().connections, 0);
    // Without a body nothing is kept back that the method would need.
    let spec = Spec { method: Method::DELETE, body: None, ..post() };
    let row = send(&engine, &redirect_to(&first, &second.url("/echo"), 307), spec);
    assert!(row.text().contains(r#""method":"DELETE""#), "{}", row.text());
    assert!(!row.text().contains("secret"), "{}", row.text());
}

#[test]
fn test_r2_what_the_caller_lets_go_along_reaches_another_origin() {
    let (first, second) = (server(), server());
    let keep_on_redirect = KeepOnRedirect { headers: vec!["x-key".parse().unwrap()], body: true };
    let engine = engine(Options { keep_on_redirect, ..Options::default() });
    let row = send(&engine, &redirect_to(&first, &second.url("/echo"), 307), post());
    let text = row.text();
    for kept in ["secret-1", "secret-2", "secret-4"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert!(!text.contains("secret-3"), "{text}");
}

#[test]
fn test_r6_nothing_goes_along_from_https_to_http() {
    let server = server();
    let keep_on_redirect = KeepOnRedirect { headers: vec!["x-key".parse().unwrap()], body: true };
    let open = Options { verify: Verify::Nobody, keep_on_redirect, ..one_attempt() };
    let url = server.url("/echo");
    let downgrade = |status| {
        let url = percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC);
        server.tls_url(&format!("/redirect-to?status={status}&url={url}")).unwrap()
    };
    let engine = engine(open.clone());
    let row = send(&engine, &downgrade(302), post());
    assert_eq!((row.status, row.hops.len()), (Some(200), 1), "{}", row.detail);
    assert!(!row.text().contains("secret"), "{}", row.text());
    assert_eq!(send(&engine, &downgrade(307), post()).code, Some(Code::RedirectBody));
    // Nothing in the clear.
    let before = server.stats().requests;
    let engine = common::engine(Options { https_only: true, ..open });
    let row = fetch_one(&engine, &downgrade(302));
    assert_eq!((row.code, row.status), (Some(Code::RedirectDowngrade), Some(302)));
    let rows = fetch(&engine, &[&url, &server.tls_url("/bytes/1").unwrap()]);
    rows.assert_complete(2);
    for row in &rows.0 {
        let expected = if row.index == 0 { (Some(Code::InputScheme), None, 0) } else { (None, Some(200), 1) };
        assert_eq!((row.code, row.status, row.attempts), expected, "{row:?}");
    }
    assert_eq!(server.stats().requests, before + 2);
}

#[test]
fn test_method_and_body_follow_the_status() {
    let server = server();
    let engine = engine(Options::default());
    for (status, method, becomes, body) in [
        (303, Method::POST, "GET", ""),
        (301, Method::POST, "GET", ""),
        (302, Method::POST, "GET", ""),
        (303, Method::PUT, "GET", ""),
        (301, Method::PUT, "PUT", "hello"),
        (307, Method::POST, "POST", "hello"),
        (308, Method::POST, "POST", "hello"),
    ] {
        let spec = Spec {
            method: method.clone(),
            body: Some(Bytes::from_static(b"hello")),
            headers: vec![header("content-type", "text/plain")],
            ..Spec::default()
        };
        let row = send(&engine, &redirect_to(&server, "/echo", status), spec);
        let text = row.text();
        assert!(text.contains(&format!(r#""method":"{becomes}""#)), "{status} {method}: {text}");
        assert!(text.contains(&format!(r#""body":"{body}""#)), "{status} {method}: {text}");
        assert_eq!(text.contains("content-type"), !body.is_empty(), "{status} {method}: {text}");
    }
}

#[test]
fn test_every_row_comes_once_when_redirects_cross_hosts_and_threads() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    let port = server.addr().port();
    let urls: Vec<String> = (0..600)
        .map(|n| {
            let (from, to) = (n % 7 + 1, n % 5 + 11);
            format!("http://127.0.0.{from}:{port}/redirect-to?url=http://127.0.0.{to}:{port}/bytes/{n}")
        })
        .collect();
    let options =
        Options { threads: 2, concurrency: Fixed(20), concurrency_per_host: Fixed(3), ..Options::default() };
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(600);
    for row in &rows.0 {
        assert_eq!((row.status, row.hops.len(), row.attempts), (Some(200), 1, 1), "{row:?}");
        assert_eq!((row.body.len() as u64, row.url.as_str()), (row.index, urls[row.index as usize].as_str()));
    }
    assert_eq!(server.stats().requests, 1200);
    assert!(server.stats().max_in_flight_per_host <= 3, "{:?}", server.stats());
    assert!(server.stats().max_in_flight <= 20, "{:?}", server.stats());
}

#[test]
fn test_redirect_to_another_host_starts_when_its_own_queue_is_slow() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    let port = server.addr().port();
    // One at a time: after the redirect the first host continues with a slow request.
    let options = Options { threads: 1, concurrency_per_host: Fixed(1), ..Options::default() };
    let urls = [
        format!("http://127.0.0.1:{port}/redirect-to?url=http://127.0.0.2:{port}/bytes/1"),
        format!("http://127.0.0.1:{port}/delay/400"),
    ];
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(2);
    assert_eq!(rows.0[0].index, 0, "the redirect waited for the other host's permit: {rows:?}");
}

#[test]
fn test_r3_r7_r8_r9_what_cannot_be_followed_fails_and_keeps_its_status() {
    let script = |locations: &str| {
        Script::answer(format!("HTTP/1.1 302 Found\r\n{locations}content-length: 2\r\n\r\nno"))
    };
    for (locations, code) in [
        ("location: file:///etc/passwd\r\n", Code::RedirectScheme),
        ("location: http://[/\r\n", Code::RedirectInvalid),
        ("location: /a\r\nlocation: /b\r\n", Code::RedirectAmbiguous),
    ] {
        let script = script(locations);
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.status, row.ok), (Some(code), Some(302), false), "{locations}");
        assert_eq!(script.requests(), 1);
    }
    let script = script("");
    let row = fetch_one(&engine(one_attempt()), &script.url("/"));
    assert_eq!((row.code, row.status, row.text().as_str()), (None, Some(302), "no"), "it is the answer");
}

#[test]
fn test_r10_body_of_a_redirect_does_not_matter() {
    for (head, body) in [
        ("content-encoding: gzip\r\ncontent-length: 4\r\n", "junk"),
        ("content-length: 40000000000\r\n", "x"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n"),
    ] {
        let script = Script::start(move |number, peer| {
            if number == 0 {
                peer.request();
                peer.send(format!("HTTP/1.1 302 Found\r\nlocation: /there\r\n{head}\r\n{body}"));
            }
            while peer.request().is_some() {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.status, row.hops.len()), (None, Some(200), 1), "{head} {row:?}");
    }
}

#[test]
fn test_r11_userinfo_of_a_location_is_used_on_its_own_origin_only() {
    let (first, second) = (server(), server());
    let engine = engine(Options::default());
    let with_user = |server: &Server| server.url("/echo").replace("http://", "http://u:p@");
    let row = fetch_one(&engine, &redirect_to(&first, &with_user(&first), 302));
    assert!(row.text().contains(r#"["authorization","Basic dTpw"]"#), "{}", row.text());
    assert!(!row.final_url.contains("u:p"), "{}", row.final_url);
    let row = fetch_one(&engine, &redirect_to(&first, &with_user(&second), 302));
    assert!(!row.text().contains("authorization"), "{}", row.text());
    assert!(
        !row.final_url.contains("u:p") && row.hops.iter().all(|hop| !hop.url.contains("u:p@")),
        "{row:?}"
    );
}

#[test]
fn test_r5_references_are_resolved_as_browsers_do() {
    let server = server();
    let engine = engine(one_attempt());
    let host = server.addr();
    for (location, path) in [
        ("../echo".to_owned(), "/echo"),
        (format!("//{host}/echo?a"), "/echo?a"),
        ("/bytes/../echo".to_owned(), "/echo"),
        ("/echo?a b".to_owned(), "/echo?a%20b"),
        ("/echo?\u{fc}".to_owned(), "/echo?%C3%BC"),
        ("\\echo#part".to_owned(), "/echo"),
    ] {
        let row = fetch_one(&engine, &redirect_to(&server, &location, 302));
        assert_eq!((row.status, row.final_url), (Some(200), server.url(path)), "{location}");
    }
}
