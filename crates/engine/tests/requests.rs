//! What is sent: methods, bodies, headers, credentials, parameters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Script, drain, engine, fetch, fetch_one, header, one_attempt, send, server};
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Method};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, JobOptions, Options, Spec, Submission, Truncated, basic};

#[test]
fn test_methods_and_bodies_arrive_as_given() {
    let server = server();
    let engine = engine(Options::default());
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let spec = Spec {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            body: Some(Bytes::from(format!("body of {method}"))),
            ..Spec::default()
        };
        let row = send(&engine, &server.url("/echo?a=1"), spec);
        let text = row.text();
        assert!(text.contains(&format!(r#""method":"{method}""#)), "{text}");
        assert!(text.contains(&format!(r#""body":"body of {method}""#)), "{text}");
        assert!(text.contains(r#""query":"a=1""#), "{text}");
    }
}

#[test]
fn test_a_large_body_arrives_whole() {
    let server = server();
    let body = "0123456789abcdef".repeat(64 << 10);
    let spec = Spec { method: Method::POST, body: Some(Bytes::from(body.clone())), ..Spec::default() };
    let row = send(&engine(Options::default()), &server.url("/echo"), spec);
    assert!(row.text().contains(&body));
    assert!(row.text().contains(&format!(r#"["content-length","{}"]"#, body.len())));
}

#[test]
fn test_a_post_without_body_says_so() {
    let server = server();
    let spec = Spec { method: Method::POST, ..Spec::default() };
    let row = send(&engine(Options::default()), &server.url("/echo"), spec);
    assert!(row.text().contains(r#"["content-length","0"]"#), "{}", row.text());
}

#[test]
fn test_answers_without_a_body_are_whole_and_keep_their_connection() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(1), threads: 1, ..Options::default() });
    for _ in 0..2 {
        for status in [204, 304] {
            let row = fetch_one(&engine, &server.url(&format!("/status/{status}")));
            assert_eq!((row.status, row.code, row.body.len(), row.ok), (Some(status), None, 0, true));
        }
    }
    for _ in 0..2 {
        let head = Spec { method: Method::HEAD, ..Spec::default() };
        let row = send(&engine, &server.url("/bytes/1000"), head);
        assert_eq!((row.status, row.code, row.body.len()), (Some(200), None, 0));
        assert_eq!(row.header("content-length").as_deref(), Some("1000"));
    }
    assert_eq!((server.stats().requests, server.stats().connections), (6, 1));
    // The body that the last HEAD described could still come, and pass for the next response.
    assert!(fetch_one(&engine, &server.url("/status/204")).ok);
    assert_eq!((server.stats().requests, server.stats().connections), (7, 2));
}

#[test]
fn test_head_of_a_coded_or_huge_body_is_whole() {
    let server = server();
    let engine = engine(Options { max_body_size: 100, ..one_attempt() });
    for path in ["/gzip/5000", "/bytes/5000"] {
        let row = send(&engine, &server.url(path), Spec { method: Method::HEAD, ..Spec::default() });
        assert_eq!((row.status, row.code, row.truncated), (Some(200), None, None::<Truncated>), "{path}");
    }
}

#[test]
fn test_headers_of_the_request_win_over_shared_ones() {
    let server = server();
    let shared = vec![
        header("x-both", "shared"),
        header("x-shared", "shared"),
        (USER_AGENT, HeaderValue::from_static("hurtle/test")),
    ];
    let engine = engine(Options { headers: shared, ..Options::default() });
    let own =
        vec![header("x-both", "own-1"), header("x-both", "own-2"), (ACCEPT, HeaderValue::from_static("x/y"))];
    let row = send(&engine, &server.url("/echo"), Spec { headers: own, ..Spec::default() });
    let text = row.text();
    for expected in [
        r#"["x-both","own-1"],["x-both","own-2"]"#,
        r#"["x-shared","shared"]"#,
        r#"["user-agent","hurtle/test"]"#,
        r#"["accept","x/y"]"#,
        r#"["accept-encoding","gzip, deflate, br, zstd"]"#,
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains(r#""*/*""#), "{text}");
}

#[test]
fn test_host_header_is_the_authority_unless_the_caller_says_otherwise() {
    let server = server();
    let engine = engine(Options::default());
    let row = fetch_one(&engine, &server.url("/echo"));
    assert!(row.text().contains(&format!(r#"["host","{}"]"#, server.addr())), "{}", row.text());
    let own = vec![(HOST, HeaderValue::from_static("other.example"))];
    let row = send(&engine, &server.url("/echo"), Spec { headers: own, ..Spec::default() });
    assert!(row.text().contains(r#"["host","other.example"]"#), "{}", row.text());
    assert_eq!(row.text().matches(r#"["host","#).count(), 1);
}

#[test]
fn test_credentials_come_from_the_header_or_the_url() {
    let server = server();
    let engine = engine(Options::default());
    let url = server.url("/basic-auth/me/s%20cret");
    let row = fetch_one(&engine, &url);
    assert_eq!((row.status, row.attempts), (Some(401), 1), "a client error is not tried again");
    let spec = Spec { headers: vec![(AUTHORIZATION, basic("me", "s cret").unwrap())], ..Spec::default() };
    assert_eq!(send(&engine, &url, spec).status, Some(200));
    let row = fetch_one(&engine, &url.replace("http://", "http://me:s%20cret@"));
    assert_eq!((row.status, row.url), (Some(200), url.clone()), "used, and seen nowhere");
    let bearer = Spec { headers: vec![header("authorization", "Bearer token")], ..Spec::default() };
    let row = send(&engine, &server.url("/echo").replace("http://", "http://me:x@"), bearer);
    assert!(row.text().contains(r#"["authorization","Bearer token"]"#), "{}", row.text());
}

#[test]
fn test_shared_parameters_are_appended() {
    let server = server();
    let engine = engine(Options { params: Some("key=a%20b".to_owned()), ..Options::default() });
    let urls = [server.url("/echo"), server.url("/echo?x=1#there")];
    let mut rows = fetch(&engine, &urls).0;
    rows.sort_by_key(|row| row.index);
    for ((row, query), url) in rows.iter().zip(["key=a%20b", "x=1&key=a%20b"]).zip(&urls) {
        assert!(row.text().contains(&format!(r#""query":"{query}""#)), "{}", row.text());
        assert_eq!((&row.url, &row.final_url), (url, url), "the row repeats what was asked");
    }
}

#[test]
fn test_urls_that_cannot_be_sent_end_as_rows_among_the_others() {
    let server = server();
    let good = server.url("/bytes/5");
    let long = format!("{}?{}", server.url("/"), "x".repeat(70_000));
    let urls = [
        &good,
        "not a url",
        &good,
        "ftp://a.example/",
        &good,
        "http://a.example:0/",
        &long,
        "http://a b/",
        "",
        &good,
    ];
    let rows = fetch(&engine(Options::default()), &urls);
    rows.assert_complete(urls.len() as u64);
    for row in &rows.0 {
        let expected = match row.index {
            0 | 2 | 4 | 9 => None,
            3 => Some(Code::InputScheme),
            6 => Some(Code::InputTooLong),
            _ => Some(Code::InputUrl),
        };
        assert_eq!(row.code, expected, "{row:?}");
        assert_eq!((row.ok, row.attempts), (expected.is_none(), u32::from(expected.is_none())));
    }
    assert_eq!(server.stats().requests, 4);
}

#[test]
fn test_a_request_has_its_own_timeout() {
    let server = server();
    let timeout = hurtle_engine::Timeouts {
        total: Some(std::time::Duration::from_millis(50)),
        ..hurtle_engine::Timeouts::default()
    };
    let spec = Spec { timeout: Some(timeout), ..Spec::default() };
    let row = send(&engine(one_attempt()), &server.url("/hang"), spec);
    assert_eq!(row.code, Some(Code::TimeoutFirstByte));
}

#[test]
fn test_the_highest_priority_goes_first_among_those_that_wait() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(1), threads: 1, ..one_attempt() });
    let job = engine.job(JobOptions::default()).unwrap();
    let all = [0, 0, -1, 7, 0, 9].into_iter().zip(0..).map(|(priority, index)| {
        let spec = Spec { priority, ..Spec::default() };
        Submission::new(index, &server.url("/delay/20"), Some(Box::new(spec)), None)
    });
    assert!(job.submit(all.collect()));
    job.finish();
    let order: Vec<u64> = drain(&job).0.iter().map(|row| row.index).collect();
    assert_eq!(order, [5, 3, 0, 1, 4, 2]);
}

const RULES: &str = "HTTP/1.1 200 OK\r\ncontent-length: 33\r\n\r\nUser-agent: *\nDisallow: /private\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage";

/// A server that answers what it is asked for, and remembers the heads of requests.
fn site(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Script, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked);
    let script = Script::start(move |_, peer| {
        while let Some(head) = peer.request() {
            let answer = answer(head.split(' ').nth(1).unwrap());
            log.lock().unwrap().push(head);
            peer.send(answer);
        }
    });
    (script, asked)
}

#[test]
fn test_nothing_of_the_caller_goes_along_when_robots_txt_is_asked_for_behind_a_redirect() {
    let (other, asked_there) =
        site(|path| if path == "/robots.txt" { RULES.to_owned() } else { PAGE.to_owned() });
    let there = other.url("/page");
    let (site, asked) = site(move |path| {
        if path == "/robots.txt" {
            PAGE.to_owned()
        } else {
            format!("HTTP/1.1 302 Found\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n")
        }
    });
    let headers = ["authorization", "cookie", "x-api-key", "host"].map(|name| header(name, "s3cret"));
    let options = Options { robots: true, headers: headers.into(), threads: 1, ..one_attempt() };
    let row = fetch_one(&engine(options), &site.url("/"));
    assert_eq!((row.status, row.hops.len()), (Some(200), 1), "{}", row.detail);
    let heads = asked.lock().unwrap().clone();
    assert!(heads.len() == 2 && heads.iter().all(|head| head.contains("s3cret")), "{heads:?}");
    let heads = asked_there.lock().unwrap().clone();
    assert!(heads.len() == 2 && !heads.iter().any(|head| head.contains("s3cret")), "{heads:?}");
}

#[test]
fn test_robots_txt_is_asked_for_as_a_whole_when_rows_are_not() {
    let (site, asked) = site(|path| if path == "/robots.txt" { RULES.to_owned() } else { PAGE.to_owned() });
    let headers = ["range", "if-none-match", "if-modified-since"].map(|name| header(name, "only"));
    let options = Options { robots: true, headers: headers.into(), threads: 1, ..one_attempt() };
    assert_eq!(fetch_one(&engine(options), &site.url("/")).status, Some(200));
    let limited: Vec<_> = asked.lock().unwrap().iter().map(|head| head.matches("only").count()).collect();
    assert_eq!(limited, [0, 3], "robots.txt, and the row");
}
