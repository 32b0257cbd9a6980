//! Bytes on a connection that belong to no response, or to an earlier one: no row pays for them, and none is made of
//! them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Peer, Script, engine, fetch, fetch_one, header, one_attempt, send};
use http::Method;
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Engine, Options, Spec};

const PAGE: &str = "<html>page of a HEAD</html>";
const EVIL: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

fn one_at_a_time() -> Engine {
    engine(Options { threads: 1, concurrency: Fixed(1), ..one_attempt() })
}

fn method(method: Method) -> Spec {
    Spec { method, ..Spec::default() }
}

/// A server that sends its page to HEAD too, which is `body`, in the way of `late`.
fn careless(body: &'static str, late: fn(&mut Peer, &str, &str)) -> Script {
    Script::start(move |_, peer| {
        let mut stray = "";
        while let Some(request) = peer.request() {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            if request.starts_with("HEAD") {
                // What was left of the page comes with the next answer at the latest.
                late(peer, stray, &answer);
                stray = body;
            } else {
                peer.send(format!("{stray}{answer}{body}"));
                stray = "";
            }
        }
    })
}

#[test]
fn test_h31_a_body_that_comes_with_the_head_of_a_head_ends_the_connection() {
    let script = Script::start(|_, peer| {
        while let Some(request) = peer.request() {
            let head = request.starts_with("HEAD");
            peer.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-head: {head}\r\n\r\n{PAGE}",
                PAGE.len()
            ));
        }
    });
    let engine = one_at_a_time();
    for n in 0..6 {
        let asked = if n % 2 == 0 { Method::HEAD } else { Method::GET };
        let row = send(&engine, &script.url("/"), method(asked));
        assert_eq!((row.code, row.attempts, row.ok), (None, 1, true), "{n}: {row:?}");
        assert_eq!((row.header("x-head").unwrap() == "true", row.body.is_empty()), (n % 2 == 0, n % 2 == 0));
    }
}

#[test]
fn test_h31_a_body_that_comes_later_is_no_answer_to_the_next_request() {
    // Also one that looks like a response: the next request must not read it.
    for body in [PAGE, EVIL, "HTTP/1.1 404 Not Found\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"] {
        let script = careless(body, |peer, stray, answer| peer.send(format!("{stray}{answer}")));
        let engine = one_at_a_time();
        for asked in [
            Method::HEAD,
            Method::HEAD,
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::HEAD,
            Method::HEAD,
            Method::HEAD,
        ] {
            let row = send(&engine, &script.url("/"), method(asked.clone()));
            assert_eq!(
                (row.code, row.status, row.attempts),
                (None, Some(200), 1),
                "{asked} {body:?}: {row:?}"
            );
            assert_eq!(row.body.is_empty(), asked == Method::HEAD);
        }
    }
}

#[test]
fn test_h31_heads_without_bodies_keep_their_connection() {
    let script = careless("", |peer, _, _| {
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PAGE.len()));
    });
    let engine = one_at_a_time();
    for _ in 0..5 {
        assert_eq!(send(&engine, &script.url("/"), method(Method::HEAD)).code, None);
    }
    assert_eq!(script.connections(), 1);
}

#[test]
fn test_h22_bytes_behind_a_response_without_a_body_are_no_answer_to_the_next_request() {
    for status in ["204 No Content", "304 Not Modified"] {
        for (length, stray) in
            [("", PAGE), ("content-length: 45\r\n", EVIL), ("transfer-encoding: chunked\r\n", "0\r\n\r\n")]
        {
            let script = Script::start(move |_, peer| {
                let mut left = "";
                while peer.request().is_some() {
                    peer.send(format!("{left}HTTP/1.1 {status}\r\n{length}\r\n"));
                    left = stray;
                }
            });
            let engine = one_at_a_time();
            for _ in 0..4 {
                let row = fetch_one(&engine, &script.url("/"));
                assert_eq!((row.code, row.attempts), (None, 1), "{status} {length}: {row:?}");
                assert_eq!(row.status.unwrap().to_string(), status[..3], "{length}");
            }
        }
    }
}

#[test]
fn test_h24_an_answer_to_no_request_is_not_taken_for_one() {
    let timed_out = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let script = Script::start(move |_, peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        std::thread::sleep(Duration::from_millis(5));
        peer.send(timed_out);
    });
    let engine = one_at_a_time();
    for _ in 0..5 {
        let row = fetch_one(&engine, &script.url("/"));
        assert_eq!((row.code, row.text().as_str(), row.attempts), (None, "ok", 1), "{row:?}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

#[test]
fn test_h24_an_answer_before_the_whole_request_was_sent_counts() {
    let script = Script::start(|_, peer| {
        peer.request();
        peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno");
        peer.wait_for_end();
    });
    let body = vec![b'x'; 8 << 20];
    let spec = Spec { method: Method::POST, body: Some(body.into()), ..Spec::default() };
    let row = send(&engine(one_attempt()), &script.url("/"), spec);
    assert_eq!((row.status, row.code, row.text().as_str()), (Some(413), None, "no"), "{row:?}");
}

#[test]
fn test_h20_interim_answers_without_end_are_refused() {
    for (count, code) in
        [(32, None), (33, Some(Code::ProtocolTooMany1xx)), (10_000, Some(Code::ProtocolTooMany1xx))]
    {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
        let script = Script::answer_and_close(early + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let row = fetch_one(&engine(one_attempt()), &script.url("/"));
        assert_eq!((row.code, row.ok), (code, code.is_none()), "{count}");
    }
}

#[test]
fn test_f1_a_304_that_names_a_later_change_is_asked_again_without_conditions() {
    let (old, new) = ("Sun, 01 Nov 2026 10:00:00 GMT", "Mon, 30 Nov 2026 10:00:00 GMT");
    for (named, status) in [(new, 200), (old, 304), ("soon", 304)] {
        let script = Script::start(move |_, peer| {
            while let Some(request) = peer.request() {
                let answer = if request.contains("if-none-match") { "304 Not Modified" } else { "200 OK" };
                let length = if answer.starts_with('2') { "content-length: 0\r\n" } else { "" };
                peer.send(format!("HTTP/1.1 {answer}\r\nlast-modified: {named}\r\n{length}\r\n"));
            }
        });
        let engine = one_at_a_time();
        let job = engine.job(hurtle_engine::JobOptions::default()).unwrap();
        let mut submission = hurtle_engine::Submission::new(0, &script.url("/"), None, None);
        if let hurtle_engine::Submission::Send(request) = &mut submission {
            request.ask_if(None, vec![header("if-none-match", "\"kept\""), header("if-modified-since", old)]);
        }
        assert!(job.submit(vec![submission]));
        job.finish();
        let row = common::drain(&job).single();
        assert_eq!((row.status, row.code, row.attempts), (Some(status), None, 1), "{named}: {row:?}");
    }
}

#[test]
fn test_r11_raw_bytes_of_a_location_are_asked_for_as_they_are() {
    let script = Script::start(|_, peer| {
        while let Some(request) = peer.request() {
            let location: &[u8] = match request.split(' ').nth(1).unwrap() {
                "/start" => b"/caf%C3%A9",
                "/caf%C3%A9" => b"/caf\xe9?\xfc",
                "/caf%E9?%FC" => {
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage");
                    continue;
                }
                other => panic!("{other}"),
            };
            peer.send(
                [b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: ", location, b"\r\n\r\n"].concat(),
            );
        }
    });
    let rows = fetch(&engine(one_attempt()), &[script.url("/start")]);
    let row = rows.single();
    assert_eq!((row.code, row.text().as_str(), row.hops.len()), (None, "page", 2), "{row:?}");
    assert_eq!(row.final_url, script.url("/caf%E9?%FC"));
}
