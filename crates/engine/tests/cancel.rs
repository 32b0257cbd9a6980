//! Jobs that end early, run at the same time, or never end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{
    Script, drain, engine, fetch, fetch_one, one_attempt, server, settled, start, submissions, wait_until,
};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, Engine, JobOptions, Next, Options};
use hurtle_testserver::{Config, Hosts, Server};

/// No more than four requests in flight: permits that a cancelled job keeps would be missing in the next.
fn tight(threads: usize) -> Engine {
    engine(Options { threads, concurrency: Fixed(4), concurrency_per_host: Fixed(4), ..one_attempt() })
}

#[test]
fn test_permits_come_back_when_a_job_is_dropped_in_flight() {
    for threads in [1, 2] {
        let server = server();
        let engine = tight(threads);
        let job = start(&engine, &vec![server.url("/hang"); 100]);
        wait_until("four in flight", || server.stats().in_flight == 4);
        drop(job);
        wait_until("nothing in flight", || server.stats().in_flight == 0);
        fetch(&engine, &vec![server.url("/delay/20"); 20]).assert_complete(20);
        // Four at a time again, not fewer.
        assert_eq!(server.stats().max_in_flight, 4);
        assert_eq!(server.stats().requests, 24, "a request of the dropped job was sent after its end");
    }
}

#[test]
fn test_permits_come_back_when_a_job_is_dropped_at_once() {
    for threads in [1, 2] {
        let server = server();
        let engine = tight(threads);
        for _ in 0..50 {
            // Submission and end meet in the mailbox: some tasks end before they begin.
            drop(start(&engine, &vec![server.url("/hang"); 10]));
        }
        let started = Instant::now();
        fetch(&engine, &vec![server.url("/delay/50"); 8]).assert_complete(8);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        wait_until("nothing in flight", || server.stats().in_flight == 0);
    }
}

#[test]
fn test_permits_come_back_when_a_job_is_dropped_as_its_work_reaches_idle_connections() {
    let server = server();
    let engine = tight(1);
    for _ in 0..50 {
        fetch(&engine, &vec![server.url("/bytes/1"); 4]).assert_complete(4);
        drop(start(&engine, &vec![server.url("/hang"); 4]));
    }
    fetch(&engine, &vec![server.url("/delay/20"); 8]).assert_complete(8);
    wait_until("nothing in flight", || server.stats().in_flight == 0);
    let progress = start(&engine, &[server.url("/bytes/1")]);
    drain(&progress).assert_complete(1);
    assert_eq!(progress.progress().in_flight, 0);
}

#[test]
fn test_a_job_is_done_when_it_is_cancelled() {
    let server = server();
    let engine = engine(Options::default());
    let job = start(&engine, &[server.url("/hang")]);
    assert!(matches!(job.next_batch(Duration::from_millis(10)), Next::Pending));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| job.next_batch(Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(20));
        job.cancel();
        assert!(matches!(waiter.join().unwrap(), Next::Done));
    });
    assert!(job.is_done() && !job.submit(submissions(&["http://127.0.0.1/"], None)));
    job.cancel();
}

#[test]
fn test_submit_wakes_when_the_job_is_cancelled() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(1), ..Options::default() });
    let job = engine.job(JobOptions::default()).unwrap();
    let urls = vec![server.url("/hang"); 5000];
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let mut accepted = 0;
            while job.submit(submissions(&urls, None)) {
                accepted += 1;
            }
            accepted
        });
        wait_until("the look-ahead is full", || job.progress().submitted == 10_000);
        std::thread::sleep(Duration::from_millis(20));
        assert!(!feeder.is_finished());
        job.cancel();
        assert_eq!(feeder.join().unwrap(), 2);
    });
}

#[test]
fn test_an_empty_job_is_done() {
    let engine = engine(Options::default());
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(matches!(job.next_batch(Duration::ZERO), Next::Pending));
    assert!(job.submit(Vec::new()) && !job.is_done());
    job.finish();
    assert!(matches!(job.next_batch(Duration::from_secs(5)), Next::Done));
    assert!(job.is_done() && !job.submit(submissions(&["http://127.0.0.1/"], None)));
}

#[test]
fn test_rows_come_before_the_input_has_ended() {
    let server = server();
    let engine = engine(Options::default());
    let job = engine.job(JobOptions::default()).unwrap();
    for round in 0..5 {
        assert!(job.submit(submissions(&[server.url("/bytes/1")], None)));
        let started = Instant::now();
        let next = job.next_batch(Duration::from_secs(5));
        assert!(matches!(next, Next::Batch(batch) if batch.len() == 1), "round {round}");
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}

#[test]
fn test_a_job_that_nobody_takes_from_does_not_stop_another() {
    let server = server();
    let options = Options {
        concurrency: Fixed(8),
        concurrency_per_host: Fixed(8),
        max_buffer: 1 << 20,
        ..Options::default()
    };
    let engine = engine(options);
    let stuck = start(&engine, &vec![server.url("/bytes/300000"); 500]);
    wait_until("the first job fills its buffer", || server.stats().requests >= 4);
    fetch(&engine, &vec![server.url("/bytes/1000"); 300]).assert_complete(300);
    assert!(server.stats().requests < 400, "back-pressure held: {:?}", server.stats());
    drain(&stuck).assert_complete(500);
}

#[test]
fn test_a_job_that_has_stopped_reading_gives_way_to_another() {
    let server = Server::start(Config { hosts: Hosts::AllLoopback, ..Config::default() }).unwrap();
    let port = server.addr().port();
    let options =
        Options { threads: 1, concurrency_per_host: Fixed(2), max_buffer: 1 << 20, ..Options::default() };
    let engine = engine(options);
    // The one row of the second host closes the gate, while the first host's permits are all in use.
    let slow = format!("http://127.0.0.1:{port}/stream?chunks=50&size=1000&ms=10");
    let stuck = start(&engine, &[slow.clone(), slow, format!("http://127.0.0.2:{port}/bytes/3000000")]);
    wait_until("all is sent", || server.stats().requests == 3);
    // Longer than the bodies take: nobody reads them.
    assert_eq!(settled(Duration::from_millis(700), || stuck.progress().in_flight), 2);
    fetch(&engine, &vec![format!("http://127.0.0.1:{port}/bytes/1"); 10]).assert_complete(10);
    drain(&stuck).assert_complete(3);
}

#[test]
fn test_jobs_side_by_side_get_their_own_rows() {
    let server = server();
    let engine = engine(Options { concurrency_per_host: Fixed(4), ..Options::default() });
    std::thread::scope(|scope| {
        for size in 1..=4 {
            let (engine, url) = (&engine, server.url(&format!("/bytes/{size}")));
            scope.spawn(move || {
                let rows = fetch(engine, &vec![url; 500]);
                rows.assert_complete(500);
                assert!(rows.0.iter().all(|row| row.body.len() == size));
            });
        }
    });
    assert!(server.stats().max_in_flight <= 4);
}

#[test]
fn test_closing_with_work_in_flight_is_quick() {
    for (threads, max_buffer) in [(1, 1000), (2, 1000), (1, 64 << 20), (2, 64 << 20)] {
        let server = server();
        let engine = engine(Options { threads, max_buffer, ..Options::default() });
        let urls: Vec<String> = (0..200)
            .map(|n| {
                server.url(["/hang", "/bytes/100000", "/drip?bytes=1000&ms=20", "/flaky?times=9"][n % 4])
            })
            .collect();
        let job = start(&engine, &urls);
        wait_until("it has begun", || server.stats().requests > 0);
        settled(Duration::from_millis(20), || server.stats().requests);
        let started = Instant::now();
        engine.close();
        engine.close();
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
        assert!(matches!(job.next_batch(Duration::from_secs(5)), Next::Done));
        assert!(engine.job(JobOptions::default()).is_err() && !job.submit(submissions(&urls, None)));
        wait_until("every connection is closed", || server.stats().open_connections == 0);
    }
}

#[test]
fn test_what_is_left_ends_when_the_job_has_lasted_long_enough() {
    let server = server();
    let engine = engine(Options { concurrency: Fixed(1), threads: 1, ..one_attempt() });
    let job = engine
        .job(JobOptions { max_duration: Some(Duration::from_millis(120)), ..JobOptions::default() })
        .unwrap();
    assert!(job.submit(submissions(&vec![server.url("/delay/50"); 20], None)));
    job.finish();
    let rows = drain(&job);
    rows.assert_complete(20);
    let (sent, unsent): (Vec<_>, Vec<_>) = rows.0.iter().partition(|row| row.code.is_none());
    assert!((2..=4).contains(&sent.len()), "{} were sent", sent.len());
    assert!(unsent.iter().all(|row| (row.code, row.status) == (Some(Code::TimeoutJob), None)));
    let cut_short = unsent.iter().filter(|row| row.attempts == 1).count();
    assert!(cut_short <= 1, "one was on its way; of the others none was sent");
}

#[test]
fn test_a_request_ends_at_its_deadline_whatever_it_waits_for() {
    let server = server();
    let mut options = Options { deadline: Some(Duration::from_millis(150)), ..Options::default() };
    options.retries.total = 100;
    options.retries.backoff = Duration::from_millis(20);
    let engine = engine(options);
    let started = Instant::now();
    let row = fetch_one(&engine, &server.url("/hang"));
    assert_eq!((row.code, row.attempts), (Some(Code::TimeoutDeadline), 1));
    // Retries end in time; the row keeps the last answer.
    let row = fetch_one(&engine, &server.url("/status/503"));
    assert_eq!((row.code, row.status), (None, Some(503)));
    assert!(row.attempts > 1, "{row:?}");
    assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
}

#[test]
fn test_a_dropped_job_leaves_no_retry_behind() {
    let script = Script::answer("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
    let mut options = Options { threads: 1, ..Options::default() };
    options.retries.backoff = Duration::from_millis(100);
    options.retries.jitter = 0.0;
    let engine = engine(options);
    let job = start(&engine, &[script.url("/")]);
    wait_until("the first attempt", || script.requests() == 1);
    std::thread::sleep(Duration::from_millis(20));
    drop(job);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(script.requests(), 1);
}
