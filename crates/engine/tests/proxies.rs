//! Requests that go through proxies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Proxy, Refusal, Rows, engine, fetch, fetch_one, one_attempt, server};
use hurtle_engine::{Code, Http2, Options, Pattern, ProxyId, RetryPolicy, Routes, Rule, Timeouts, Verify};
use hurtle_testserver::{Config, Server};

/// Everything goes through these proxies in turn.
fn through(proxies: &[String]) -> Routes {
    let ids = (0..proxies.len()).map(|id| ProxyId(id as u16)).collect();
    Routes {
        proxies: proxies.iter().map(|proxy| hurtle_engine::Proxy::parse(proxy).unwrap()).collect(),
        rules: vec![Rule { pattern: Pattern { https: None, hosts: None }, through: ids }],
    }
}

fn options(proxies: &[String]) -> Options {
    Options { routes: through(proxies), verify: Verify::Nobody, threads: 1, ..one_attempt() }
}

fn quick(proxies: &[String]) -> Options {
    let retries = RetryPolicy { backoff: Duration::from_millis(20), ..RetryPolicy::default() };
    Options { retries, ..options(proxies) }
}

#[test]
fn test_requests_in_the_clear_name_their_whole_url_and_the_connection_is_kept() {
    let (server, proxy) = (server(), Proxy::start());
    let engine = engine(options(&[proxy.url("http", "me:se%20cret")]));
    let url = server.url("/bytes/5?q=1");
    for reused in [false, true] {
        let row = fetch_one(&engine, &url);
        assert_eq!((row.code, row.status, row.body.len()), (None, Some(200), 5), "{}", row.detail);
        assert_eq!(row.conn_reused, reused);
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2);
    for head in heads {
        assert!(head.starts_with(&format!("GET {url} HTTP/1.1\r\nhost: ")), "{head}");
        assert!(head.contains("\r\nproxy-authorization: Basic bWU6c2UgY3JldA==\r\n"), "{head}");
    }
}

#[test]
fn test_https_goes_through_a_tunnel_in_both_versions_of_http() {
    let (server, proxy) = (Server::start(Config::default()).unwrap(), Proxy::start());
    let url = server.tls_url("/bytes/5").unwrap();
    for (http2, version) in [(Http2::Auto, http::Version::HTTP_2), (Http2::Never, http::Version::HTTP_11)] {
        let row = fetch_one(&engine(Options { http2, ..options(&[proxy.url("http", "me:secret")]) }), &url);
        assert_eq!((row.code, row.status, row.version), (None, Some(200), Some(version)), "{}", row.detail);
    }
    for head in proxy.heads() {
        assert!(head.starts_with("CONNECT 127.0.0.1:") || head.starts_with("CONNECT localhost:"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
    }
}

#[test]
fn test_socks_is_given_an_address_or_a_name() {
    let (server, proxy) = (Server::start(Config::default()).unwrap(), Proxy::start());
    let port = server.url("/").rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    for (scheme, asked) in [("socks5", "127.0.0.1"), ("socks5h", "localhost")] {
        for credentials in ["", "me:secret"] {
            let engine = engine(options(&[proxy.url(scheme, credentials)]));
            let row = fetch_one(&engine, &format!("http://localhost:{port}/bytes/5"));
            assert_eq!((row.code, row.status), (None, Some(200)), "{scheme} {}", row.detail);
            let heads = proxy.heads();
            assert_eq!(heads.last().unwrap(), &format!("{asked}:{port}"));
            assert_eq!(heads.len() > 1 && heads[heads.len() - 2] == "me:secret", !credentials.is_empty());
        }
    }
    let row = fetch_one(&engine(options(&[proxy.url("socks5", "")])), &server.tls_url("/bytes/5").unwrap());
    assert_eq!((row.code, row.version), (None, Some(http::Version::HTTP_2)), "{}", row.detail);
}

#[test]
fn test_c9_what_a_proxy_does_wrong_has_a_code_of_its_own() {
    let (server, closed) = (Server::start(Config::default()).unwrap(), Proxy::refusing(Refusal::Close));
    let (plain, tls) = (server.url("/bytes/5"), server.tls_url("/bytes/5").unwrap());
    let status = |status| Proxy::refusing(Refusal::Status(status));
    let (auth, bad) = (status("407 Proxy Authentication Required"), status("502 Bad Gateway"));
    let silent = Proxy::refusing(Refusal::Silence);
    let nobody = "http://127.0.0.1:9".to_owned();
    for (proxy, url, code) in [
        (nobody.clone(), &plain, Code::ProxyRefused),
        (nobody, &tls, Code::ProxyRefused),
        (closed.url("http", ""), &tls, Code::ProxyRefused),
        (closed.url("socks5", ""), &plain, Code::ProxyRefused),
        (closed.url("https", ""), &plain, Code::ProxyTls),
        (auth.url("http", "a:b"), &plain, Code::ProxyAuth),
        (auth.url("http", ""), &tls, Code::ProxyAuth),
        (auth.url("socks5", "a:b"), &plain, Code::ProxyAuth),
        (bad.url("http", ""), &tls, Code::ProxyConnectStatus),
        (silent.url("http", ""), &tls, Code::ProxyTimeout),
    ] {
        let timeout = Timeouts { connect: Some(Duration::from_millis(400)), ..Timeouts::default() };
        let engine = engine(Options { timeout, ..options(std::slice::from_ref(&proxy)) });
        let row = fetch_one(&engine, url);
        assert_eq!(row.code, Some(code), "{proxy} {url}: {}", row.detail);
        assert!(!row.detail.contains("a:b"), "{}", row.detail);
    }
    assert_eq!(server.stats().requests, 0);
}

#[test]
fn test_a_dead_proxy_costs_no_row_and_is_soon_left_out() {
    let (server, first, second) = (server(), Proxy::start(), Proxy::start());
    let dead = "http://127.0.0.1:9".to_owned();
    let engine = engine(quick(&[first.url("http", ""), dead, second.url("http", "")]));
    let urls: Vec<String> = (0..60).map(|n| server.url(&format!("/bytes/{n}"))).collect();
    let rows: Rows = fetch(&engine, &urls);
    rows.assert_complete(60);
    assert!(rows.0.iter().all(|row| row.ok && row.attempts == 1));
    let counts = [&first, &second].map(|proxy| proxy.heads().len());
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|&count| count > 15), "{counts:?}");
}

#[test]
fn test_with_no_other_proxy_the_rows_end_and_say_why() {
    let engine = engine(quick(&["http://127.0.0.1:9".to_owned()]));
    let urls: Vec<String> = (0..30).map(|n| format!("http://a.example/{n}")).collect();
    let rows = fetch(&engine, &urls);
    rows.assert_complete(30);
    let codes = [Code::ProxyRefused, Code::HostCircuitOpen];
    assert!(rows.0.iter().all(|row| row.code.is_some_and(|code| codes.contains(&code))));
    assert!(rows.0.iter().any(|row| row.code == Some(Code::ProxyRefused)));
}
