//! Limits of requests over time, their headers, and what is counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{Client, Reply, get, server};
use hurtle_testserver::LimitedStats;

fn statuses(client: &mut Client, target: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| client.get(target).status).collect()
}

fn seconds(reply: &Reply, header: &str) -> u64 {
    reply.header(header).unwrap().parse().unwrap()
}

fn epoch_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn test_requests_above_the_limit_are_refused_by_every_kind_of_window() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for (window, accepted) in
        [("sliding", 3), ("fixed", 3), ("bucket", 3), ("bucket&burst=5", 5), ("spaced", 1)]
    {
        // With a limit per hour nothing becomes free during a test.
        let target = format!("/limited?rate=3&per=3600&window={window}&key={window}");
        let mut expected = vec![200; accepted];
        expected.resize(6, 429);
        assert_eq!(statuses(&mut client, &target, 6), expected, "{window}");
    }
}

#[test]
fn test_a_limit_lets_through_again_when_its_time_has_passed() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for window in ["sliding", "bucket&burst=1", "spaced"] {
        let target = format!("/limited?rate=1&per=0.05&window={window}&key={window}");
        let started = Instant::now();
        let mut refused = 0;
        for _ in 0..3 {
            while client.get(&target).status == 429 {
                refused += 1;
                assert!(started.elapsed() < common::PATIENCE);
            }
        }
        // Two spans lie between the first request and the third that was accepted.
        assert!(started.elapsed() >= Duration::from_millis(100), "{window}");
        assert!(refused > 0, "{window}");
    }
    let stats = server.limited_stats();
    assert_eq!(stats.iter().map(|limit| limit.accepted).collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn test_limits_count_apart_when_hosts_or_keys_differ() {
    let server = server();
    let mut client = Client::connect(server.addr());
    for (host, key) in [("b.invalid", "1"), ("A.invalid:80", "2"), ("a.invalid", "1"), ("a.invalid", "2")] {
        client.send(&format!(
            "GET /limited?rate=1&per=3600&key={key} HTTP/1.1\r\nHost: {host}\r\nX-Pad: 1\r\n\r\n"
        ));
        let refused = (host, key) == ("a.invalid", "2");
        assert_eq!(client.reply().unwrap().status, if refused { 429 } else { 200 }, "{host} {key}");
    }
    let stats = server.limited_stats();
    let counts: Vec<_> =
        stats.iter().map(|s| (s.host.as_str(), s.key.as_str(), s.accepted, s.refused)).collect();
    assert_eq!(counts, [("a.invalid", "1", 1, 0), ("a.invalid", "2", 1, 1), ("b.invalid", "1", 1, 0)]);
}

#[test]
fn test_series_adds_up_to_the_counters() {
    let server = server();
    let mut client = Client::connect(server.addr());
    statuses(&mut client, "/limited?rate=4&per=3600", 7);
    let [LimitedStats { accepted, refused, accepted_by_second, refused_by_second, .. }] =
        &server.limited_stats()[..]
    else {
        unreachable!("one limit was asked");
    };
    assert_eq!((*accepted, *refused), (4, 3));
    assert_eq!((accepted_by_second.iter().sum::<u32>(), refused_by_second.iter().sum::<u32>()), (4, 3));
    assert!(accepted_by_second.len() == refused_by_second.len() && accepted_by_second.len() <= 6);
}

#[test]
fn test_headers_tell_the_limit_in_the_dialect_asked_for() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let mut last_of_two = |dialect: &str| {
        let target = format!("/limited?rate=2&per=100&window=bucket&key={dialect}&headers={dialect}");
        client.get(&target);
        client.get(&target)
    };
    let draft = last_of_two("draft");
    assert_eq!(draft.header("ratelimit-limit"), Some("2"));
    assert_eq!(draft.header("ratelimit-remaining"), Some("0"));
    assert!((99..=100).contains(&seconds(&draft, "ratelimit-reset")));
    let x = last_of_two("x");
    assert_eq!((x.header("x-ratelimit-limit"), x.header("x-ratelimit-remaining")), (Some("2"), Some("0")));
    let ahead = seconds(&x, "x-ratelimit-reset") - epoch_s();
    assert!((94..=101).contains(&ahead), "{ahead}");
    let structured = last_of_two("structured");
    assert_eq!(structured.header("ratelimit-policy"), Some(r#""default";q=2;w=100"#));
    let state = structured.header("ratelimit").unwrap();
    assert!([r#""default";r=0;t=100"#, r#""default";r=0;t=99"#].contains(&state), "{state}");
    let broken = client.get("/limited?rate=2&per=0.5&headers=structured");
    assert_eq!(broken.header("ratelimit-policy"), Some(r#""default";q=2"#));
    let plain = client.get("/limited?rate=2&key=plain");
    assert!(plain.headers.iter().all(|(name, _)| !name.contains("ratelimit") && name != "retry-after"));
}

#[test]
fn test_retry_after_is_told_with_a_refusal_only() {
    let server = server();
    let mut client = Client::connect(server.addr());
    let target = "/limited?rate=1&per=40&retry_after=1";
    assert_eq!(client.get(target).header("retry-after"), None);
    assert!((39..=40).contains(&seconds(&client.get(target), "retry-after")));
    let reply = client.get(&target.replace("=1&per", "=1&key=d&per").replace("after=1", "after=date"));
    assert_eq!(reply.status, 200);
    let reply = client.get(&target.replace("=1&per", "=1&key=d&per").replace("after=1", "after=date"));
    let date = httpdate::parse_http_date(reply.header("retry-after").unwrap()).unwrap();
    let ahead = date.duration_since(SystemTime::now()).unwrap();
    assert!(ahead > Duration::from_secs(35) && ahead <= Duration::from_secs(41), "{ahead:?}");
}

#[test]
fn test_a_limit_that_cannot_be_is_a_bad_request() {
    let server = server();
    for (query, word) in [
        ("", "rate"),
        ("rate=0", "rate"),
        ("rate=x", "rate"),
        ("rate=1&per=0", "per"),
        ("rate=1&per=nan", "per"),
        ("rate=1&window=round", "window"),
        ("rate=1&burst=2", "burst"),
        ("rate=1&window=bucket&burst=0", "burst"),
        ("rate=1&headers=loud", "headers"),
        ("rate=1&retry_after=2", "retry_after"),
    ] {
        let reply = get(&server, &format!("/limited?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().starts_with(word), "{query}: {}", reply.text());
    }
    assert!(server.limited_stats().is_empty());
}
