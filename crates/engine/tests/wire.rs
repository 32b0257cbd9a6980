//! The bytes sent and received, in the rows of a job that keeps them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Script, engine, header, one_attempt, quick_retries, server};
use http::{Method, Version};
use hurtle_engine::{
    Exchange, JobOptions, Next, OnOversize, Options, Spec, Submission, Truncated, Twin, Verify,
};

/// The exchanges of each row of a job that keeps them, by index.
fn exchanges_of(options: Options, submissions: Vec<Submission>) -> Vec<Vec<Exchange>> {
    let engine = engine(options);
    let job = engine.job(JobOptions { records_exchanges: true, ..JobOptions::default() }).unwrap();
    assert!(job.submit(submissions));
    job.finish();
    let mut rows = Vec::new();
    while !job.is_done() {
        if let Next::Batch(batch) = job.next_batch(Duration::from_secs(20)) {
            for view in batch.iter() {
                let extra = view.row.extra.as_ref();
                rows.push((view.row.index, extra.map(|extra| extra.exchanges.clone()).unwrap_or_default()));
            }
        }
    }
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, exchanges)| exchanges).collect()
}

fn get(url: &str) -> Vec<Submission> {
    vec![Submission::new(0, url, None, None)]
}

fn only(options: Options, submissions: Vec<Submission>) -> Exchange {
    let [exchange] = <[Exchange; 1]>::try_from(exchanges_of(options, submissions).remove(0)).unwrap();
    exchange
}

#[test]
fn test_a_response_is_kept_as_it_came_over_a_connection_that_is_used_again() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0";
    let head = "HTTP/1.1 200 Fine\r\nX-Odd:   kept \r\nContent-Encoding: gzip\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", gzip.len());
    let answer = [head.as_bytes(), gzip].concat();
    let script = Script::answer(answer.clone());
    let urls = [script.url("/a"), script.url("/b")];
    let submissions = urls.iter().zip(0..).map(|(url, at)| Submission::new(at, url, None, None)).collect();
    let options = Options { threads: 1, concurrency: hurtle_engine::Concurrency::Fixed(1), ..one_attempt() };
    let rows = exchanges_of(options, submissions);
    for (row, (url, path)) in rows.iter().zip(urls.iter().zip(["/a", "/b"])) {
        let [exchange] = &row[..] else { panic!("{row:?}") };
        assert_eq!(exchange.response, answer);
        assert_eq!(&exchange.response[exchange.body_at..], gzip);
        assert_eq!((&*exchange.url, exchange.version, exchange.truncated), (&**url, Version::HTTP_11, None));
        let request = String::from_utf8(exchange.request.to_vec()).unwrap();
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\nhost: ")), "{request}");
        assert!(request.ends_with("\r\n\r\n"));
    }
    assert_eq!(script.connections(), 1);
}

#[test]
fn test_chunks_and_trailers_are_kept_and_interim_responses_are_not() {
    let (early, head) = (
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let pieces = ["4;ext=1\r\nWi", "ki\r\n5\r\npedia\r", "\n0\r\nX-Sum: 1\r\n\r\n"];
    let script = Script::start(move |_, peer| {
        peer.request();
        peer.send(early);
        for piece in [head].iter().chain(&pieces) {
            peer.send(piece);
            std::thread::sleep(Duration::from_millis(5));
        }
        peer.wait_for_end();
    });
    let exchange = only(one_attempt(), get(&script.url("/")));
    assert_eq!(exchange.response, format!("{head}{}", pieces.concat()));
    assert_eq!((exchange.body_at, exchange.truncated), (head.len(), None));
}

#[test]
fn test_each_hop_of_a_redirect_is_kept() {
    let server = server();
    let [exchanges] =
        <[_; 1]>::try_from(exchanges_of(one_attempt(), get(&server.url("/redirect/2")))).unwrap();
    let statuses: Vec<_> = exchanges.iter().map(|exchange| exchange.response[9..12].to_vec()).collect();
    assert_eq!(statuses, [b"302", b"302", b"200"]);
    assert_eq!(&*exchanges[0].url, server.url("/redirect/2"));
    assert!(exchanges.windows(2).all(|pair| pair[0].started_us <= pair[1].started_us));
    assert!(exchanges.iter().all(|exchange| exchange.remote.is_some()));
}

#[test]
fn test_a_body_is_kept_with_its_head_whatever_its_size() {
    let server = server();
    for size in [0, 5, 100_000] {
        let body = vec![b'x'; size];
        let spec = Spec { method: Method::POST, body: Some(body.clone().into()), ..Spec::default() };
        let submission = Submission::new(0, &server.url("/echo"), Some(Box::new(spec)), None);
        let exchange = only(one_attempt(), vec![submission]);
        let head = exchange.request.len() - size;
        assert_eq!(exchange.request[head..], body);
        let head = String::from_utf8(exchange.request[..head].to_vec()).unwrap();
        assert!(head.starts_with("POST /echo HTTP/1.1\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {size}\r\n")), "{head}");
    }
}

#[test]
fn test_http2_is_kept_as_http1_has_it() {
    let server = server();
    let options = Options { verify: Verify::Nobody, ..one_attempt() };
    let spec = Spec { headers: vec![header("x-a", "1")], ..Spec::default() };
    let url = server.tls_url("/gzip/3000").unwrap();
    let exchange = only(options, vec![Submission::new(0, &url, Some(Box::new(spec)), None)]);
    assert_eq!(exchange.version, Version::HTTP_2);
    assert!(exchange.request.starts_with(b"GET /gzip/3000 HTTP/1.1\r\nhost: "));
    let (head, body) = exchange.response.split_at(exchange.body_at);
    let head = std::str::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("content-encoding: gzip\r\n") && body.starts_with(b"\x1f\x8b"), "{head}");
}

#[test]
fn test_what_is_cut_says_why() {
    let cut = Script::answer_and_close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let exchange = only(one_attempt(), get(&cut.url("/")));
    assert_eq!(exchange.truncated, Some(Truncated::Disconnect));
    assert!(exchange.response.ends_with(b"\r\n\r\nhalf"));
    let server = server();
    for on_oversize in [OnOversize::Truncate, OnOversize::Error] {
        let options = Options { max_body_size: 100, on_oversize, ..one_attempt() };
        let exchange = only(options, get(&server.url("/stream?chunks=3&size=200")));
        assert_eq!(exchange.truncated, Some(Truncated::Length), "{on_oversize:?}");
        assert!(exchange.response.len() > exchange.body_at + 100);
    }
}

#[test]
fn test_without_a_head_there_is_nothing_and_only_the_last_attempt_counts() {
    let server = server();
    assert!(exchanges_of(one_attempt(), get(&server.url("/reset")))[0].is_empty());
    let exchange = only(quick_retries(2), get(&server.url("/flaky?times=2&key=w")));
    assert!(exchange.response.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn test_a_copy_of_a_row_has_none_of_its_own() {
    let server = server();
    let twins = vec![Twin { index: 1, asked: None }];
    let spec = Spec { copies: twins, ..Spec::default() };
    let submission = Submission::new(0, &server.url("/bytes/5"), Some(Box::new(spec)), None);
    let rows = exchanges_of(one_attempt(), vec![submission]);
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn test_nothing_is_kept_by_default() {
    let server = server();
    let rows = common::fetch(&engine(one_attempt()), &[server.url("/bytes/5")]);
    rows.assert_complete(1);
    let job = engine(one_attempt()).job(JobOptions::default()).map(|job| {
        assert!(job.submit(get(&server.url("/bytes/5"))));
        job.finish();
        job.next_batch(Duration::from_secs(20))
    });
    let Ok(Next::Batch(batch)) = job else { panic!("no row") };
    assert!(batch.get(0).unwrap().row.extra.is_none());
}
