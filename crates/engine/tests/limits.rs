//! Limits as the server sees them: per host, over all hosts, and who gets a turn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{Script, drain, engine, fetch, many_hosts, server, settled, start, submissions, wait_until};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{JobOptions, Options, Submission};
use hurtle_testserver::Server;

fn urls_of_hosts(server: &Server, hosts: usize, count: usize) -> Vec<String> {
    let port = server.addr().port();
    (0..count).map(|n| format!("http://127.0.0.{}:{port}/bytes/{n}", n % hosts + 1)).collect()
}

#[test]
fn test_limit_per_host_is_exact() {
    for threads in [1, 2] {
        for limit in [1, 2, 5] {
            let server = many_hosts(Duration::from_millis(2));
            let options = Options {
                threads,
                concurrency: Fixed(64),
                concurrency_per_host: Fixed(limit),
                ..Options::default()
            };
            fetch(&engine(options), &urls_of_hosts(&server, 3, 150)).assert_complete(150);
            for host in server.host_stats() {
                assert_eq!(host.max_in_flight, u64::from(limit), "{threads} threads: {host:?}");
            }
        }
    }
}

#[test]
fn test_limit_over_all_hosts_is_exact() {
    for (threads, concurrency) in [(1, 8), (2, 8), (1, 1), (2, 1), (2, 3)] {
        let server = many_hosts(Duration::from_millis(2));
        let options = Options { threads, concurrency: Fixed(concurrency), ..Options::default() };
        fetch(&engine(options), &urls_of_hosts(&server, 50, 300)).assert_complete(300);
        let stats = server.stats();
        assert_eq!(stats.max_in_flight, u64::from(concurrency), "{threads} threads: {stats:?}");
        assert_eq!((stats.requests, stats.in_flight), (300, 0));
    }
}

#[test]
fn test_the_whole_limit_of_a_host_is_used_when_hosts_alternate_on_two_threads() {
    let server = many_hosts(Duration::from_millis(50));
    let options = Options { threads: 2, concurrency_per_host: Fixed(8), ..Options::default() };
    // The two hosts alternate in the input.
    fetch(&engine(options), &urls_of_hosts(&server, 2, 16)).assert_complete(16);
    let peaks: Vec<u64> = server.host_stats().iter().map(|host| host.max_in_flight).collect();
    assert_eq!(peaks, [8, 8]);
}

#[test]
fn test_a_thousand_requests_are_in_flight_at_once() {
    let server = server();
    let options = Options {
        threads: 2,
        concurrency: Fixed(1000),
        concurrency_per_host: Fixed(1000),
        ..Options::default()
    };
    let started = Instant::now();
    fetch(&engine(options), &vec![server.url("/delay/300"); 1000]).assert_complete(1000);
    assert_eq!(server.stats().max_in_flight, 1000);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[test]
fn test_a_long_queue_does_not_starve_another_host() {
    for threads in [1, 2] {
        let server = many_hosts(Duration::from_millis(1));
        let port = server.addr().port();
        let options =
            Options { threads, concurrency: Fixed(4), concurrency_per_host: Fixed(4), ..Options::default() };
        let engine = engine(options);
        let job = engine.job(JobOptions::default()).unwrap();
        assert!(job.submit(submissions(&vec![format!("http://127.0.0.1:{port}/bytes/10"); 1500], None)));
        // The other host comes when every permit is taken.
        wait_until("the first host is busy", || server.stats().requests >= 50);
        let other = format!("http://127.0.0.2:{port}/bytes/10");
        assert!(job.submit(vec![Submission::new(1500, &other, None, None)]));
        job.finish();
        let rows = drain(&job);
        rows.assert_complete(1501);
        let place = rows.0.iter().position(|row| row.index == 1500);
        assert!(place.is_some_and(|place| place < 1000), "{threads} threads: at place {place:?}");
    }
}

#[test]
fn test_a_slow_host_does_not_hold_up_the_others() {
    let server = many_hosts(Duration::ZERO);
    let port = server.addr().port();
    let mut urls = vec![format!("http://127.0.0.1:{port}/delay/500"); 20];
    urls.extend((0..200).map(|n| format!("http://127.0.0.{}:{port}/bytes/1", n % 10 + 2)));
    let options = Options { concurrency: Fixed(16), concurrency_per_host: Fixed(2), ..Options::default() };
    let engine = engine(options);
    let job = start(&engine, &urls);
    let started = Instant::now();
    let mut quick = 0;
    while quick < 200 {
        assert!(started.elapsed() < Duration::from_millis(400), "{quick} of 200");
        if let hurtle_engine::Next::Batch(batch) = job.next_batch(Duration::from_millis(10)) {
            quick += batch.iter().filter(|row| row.row.index >= 20).count();
        }
    }
}

#[test]
fn test_connections_are_used_again_across_jobs() {
    let server = server();
    let engine = engine(Options { threads: 1, concurrency_per_host: Fixed(3), ..Options::default() });
    for _ in 0..5 {
        fetch(&engine, &vec![server.url("/bytes/1"); 30]).assert_complete(30);
    }
    assert!(server.stats().connections <= 3, "{:?}", server.stats());
}

#[test]
fn test_idle_connections_make_room_when_there_are_too_many() {
    let server = many_hosts(Duration::ZERO);
    let port = server.addr().port();
    let engine = engine(Options { threads: 1, ..Options::default() });
    // 512 connections may wait; 700 hosts leave one each.
    let urls: Vec<String> =
        (0..700).map(|n| format!("http://127.0.{}.{}:{port}/bytes/1", n / 100, n % 100 + 1)).collect();
    fetch(&engine, &urls).assert_complete(700);
    let open = settled(Duration::from_millis(50), || server.stats().open_connections);
    assert_eq!(open, 512);
    // Those that stayed are the last ones, and can still be used.
    fetch(&engine, &urls[600..]).assert_complete(100);
    assert_eq!(server.stats().connections, 700);
}

#[test]
fn test_submit_waits_at_the_look_ahead() {
    let server = server();
    let engine =
        engine(Options { concurrency: Fixed(2), concurrency_per_host: Fixed(2), ..Options::default() });
    let job = engine.job(JobOptions::default()).unwrap();
    let url = server.url("/bytes/1");
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            for part in 0..40 {
                let chunk: Vec<Submission> =
                    (0..500).map(|n| Submission::new(part * 500 + n, &url, None, None)).collect();
                assert!(job.submit(chunk));
                let queued = job.progress().queued;
                assert!(queued <= 8192 + 500, "{queued} wait");
            }
            job.finish();
        });
        drain(&job).assert_complete(20_000);
        feeder.join().unwrap();
    });
    assert_eq!(job.progress().submitted, 20_000);
}

#[test]
fn test_progress_counts_what_there_is() {
    let script = Script::start(|_, peer| {
        peer.request();
        peer.wait_for_end();
    });
    let engine = engine(Options { threads: 2, concurrency_per_host: Fixed(4), ..Options::default() });
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(job.submit(submissions(&vec![script.url("/"); 10], None)));
    wait_until("four in flight", || script.requests() == 4);
    let progress = job.progress();
    assert_eq!((progress.submitted, progress.in_flight, progress.queued), (10, 4, 6));
    assert_eq!((progress.conns_opened, progress.stats.done), (4, 0));
}
