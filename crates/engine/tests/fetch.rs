//! The engine against the test server, on real sockets: what goes in comes out, once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{engine, fetch, server};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::Options;

#[test]
fn every_request_ends_as_one_row() {
    let server = server();
    let urls: Vec<String> = (0..1000).map(|n| server.url(&format!("/bytes/{n}"))).collect();
    let rows = fetch(&engine(Options::default()), &urls);
    rows.assert_complete(1000);
    for row in &rows.0 {
        assert_eq!((row.status, row.code), (Some(200), None), "{row:?}");
        assert_eq!(row.body.len() as u64, row.index);
        assert_eq!(row.url, urls[row.index as usize]);
    }
}

#[test]
fn connections_are_kept_and_limited() {
    let server = server();
    let urls = vec![server.url("/bytes/10"); 2000];
    let options =
        Options { concurrency: Fixed(100), concurrency_per_host: Fixed(7), threads: 2, ..Options::default() };
    let rows = fetch(&engine(options), &urls);
    rows.assert_complete(2000);
    let stats = server.stats();
    assert!(stats.max_in_flight_per_host <= 7, "{stats:?}");
    assert!(stats.connections <= 7, "{stats:?}");
    assert_eq!(stats.requests, 2000);
}
