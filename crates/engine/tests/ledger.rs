//! A request that must not be sent twice is in the ledger before the server can see it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Rows, Script, drain, engine, quick_retries};
use http::Method;
use hurtle_engine::{Engine, Job, JobOptions, Next, Options, Spec, Submission};

/// A folder for one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hurtle-noted-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

fn noted(ledger: &Path) -> Vec<u64> {
    let bytes = std::fs::read(ledger).unwrap_or_default();
    bytes.chunks(8).map(|record| u64::from_le_bytes(record.try_into().unwrap())).collect()
}

fn request(index: u64, method: &Method, url: &str) -> Submission {
    let spec = Spec { method: method.clone(), body: Some("x".into()), ..Spec::default() };
    Submission::new(index, url, Some(Box::new(spec)), None)
}

fn start(engine: &Engine, ledger: PathBuf, submissions: Vec<Submission>) -> Job {
    let job = engine.job(JobOptions { ledger: Some(ledger), ..JobOptions::default() }).unwrap();
    assert!(job.submit(submissions));
    job.finish();
    job
}

/// A server that reads the ledger whenever it has read the head of a request, and answers with `answer`.
fn reader(ledger: PathBuf, answer: &'static str) -> (Script, Arc<Mutex<Vec<Vec<u64>>>>) {
    let seen: Arc<Mutex<Vec<Vec<u64>>>> = Arc::default();
    let shared = Arc::clone(&seen);
    let script = Script::start(move |_, peer| {
        if peer.request().is_some() {
            shared.lock().unwrap().push(noted(&ledger));
            peer.send(answer);
        }
    });
    (script, seen)
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Later\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[test]
fn test_a_request_is_in_the_ledger_when_the_server_sees_it() {
    let folder = Folder::new("before");
    let (script, seen) = reader(folder.ledger(), FINE);
    let engine = engine(Options::default());
    for method in [Method::POST, Method::PATCH, Method::from_bytes(b"ORDER").unwrap()] {
        let job = start(&engine, folder.ledger(), vec![request(40, &method, &script.url("/"))]);
        assert!(drain(&job).single().ok, "{method}");
        assert_eq!(seen.lock().unwrap().pop(), Some(vec![40]), "{method}");
        std::fs::remove_file(folder.ledger()).unwrap();
    }
}

#[test]
fn test_what_may_be_repeated_is_not_noted() {
    let folder = Folder::new("idempotent");
    let (script, _) = reader(folder.ledger(), FINE);
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE];
    let requests = (0..).zip(&methods).map(|(index, method)| request(index, method, &script.url("/")));
    let engine = engine(Options::default());
    let job = start(&engine, folder.ledger(), requests.collect());
    drain(&job).assert_complete(6);
    assert!(!folder.ledger().exists(), "a job that notes nothing makes no file");
}

#[test]
fn test_a_request_is_noted_once_however_often_it_is_tried() {
    let folder = Folder::new("retried");
    let (script, _) = reader(folder.ledger(), BUSY);
    let mut options = quick_retries(2);
    options.retries.methods.push(Method::POST);
    let engine = engine(options);
    let job = start(&engine, folder.ledger(), vec![request(3, &Method::POST, &script.url("/"))]);
    assert_eq!(drain(&job).single().attempts, 3);
    assert_eq!((script.requests(), noted(&folder.ledger())), (3, vec![3]));
}

/// With a record's highest bit its request is struck out.
const STRUCK: u64 = 1 << 63;

#[test]
fn test_a_request_is_not_in_the_ledger_while_it_waits_for_a_host_that_refuses() {
    let folder = Folder::new("refused");
    let (script, seen) = reader(
        folder.ledger(),
        "HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    let engine = engine(Options::default());
    let job = start(&engine, folder.ledger(), vec![request(5, &Method::POST, &script.url("/"))]);
    common::wait_until("it waits", || noted(&folder.ledger()) == [5, STRUCK | 5]);
    common::wait_until("it was sent again", || script.requests() == 2);
    let second = seen.lock().unwrap().pop();
    assert_eq!(second, Some(vec![5, STRUCK | 5, 5]), "it is recorded again before it is sent again");
    drop(job);
}

#[test]
fn test_a_request_is_not_in_the_ledger_while_it_waits_for_a_host_that_is_down() {
    let folder = Folder::new("down");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    drop(socket);
    let engine = engine(Options::default());
    let job = start(&engine, folder.ledger(), vec![request(5, &Method::POST, &url)]);
    common::wait_until("it waits", || noted(&folder.ledger()) == [5, STRUCK | 5]);
    drop(job);
}

#[test]
fn test_a_request_stays_in_the_ledger_when_an_earlier_attempt_may_have_been_worked_on() {
    let folder = Folder::new("unknown");
    let script = Script::start(|number, peer| match number {
        _ if peer.request().is_none() => {}
        0 => peer.reset(),
        1 => peer.send("HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        _ => peer.send(FINE),
    });
    let mut options = quick_retries(2);
    options.retries.methods.push(Method::POST);
    let engine = engine(options);
    let job = start(&engine, folder.ledger(), vec![request(5, &Method::POST, &script.url("/"))]);
    let row = drain(&job).single();
    assert_eq!((row.status, row.attempts, row.throttled), (Some(200), 3, 1));
    assert_eq!(noted(&folder.ledger()), [5]);
}

#[test]
fn test_requests_of_many_threads_share_one_ledger() {
    let folder = Folder::new("threads");
    let (script, _) = reader(folder.ledger(), FINE);
    // Two names of one machine, each handled by its own thread.
    let urls = [script.url("/"), script.url("/").replace("127.0.0.1", "localhost")];
    let requests = (0..200).map(|index| request(index, &Method::POST, &urls[index as usize % 2]));
    let engine = engine(Options { threads: 4, ..Options::default() });
    let job = start(&engine, folder.ledger(), requests.collect());
    drain(&job).assert_complete(200);
    let mut found = noted(&folder.ledger());
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<u64>>());
}

#[test]
fn test_nothing_is_sent_that_could_not_be_noted() {
    let folder = Folder::new("unwritable");
    let script = Script::answer(FINE);
    let engine = engine(Options::default());
    let ledger = folder.0.join("missing").join("ledger");
    let job = start(&engine, ledger, (0..50).map(|n| request(n, &Method::POST, &script.url("/"))).collect());
    let rows = rows_until_failure(&job);
    assert!(rows.0.is_empty(), "{rows:?}");
    assert!(job.ledger_failure().unwrap().contains("could not be written"));
    assert_eq!(script.requests(), 0);
    assert!(!job.submit(vec![request(50, &Method::POST, &script.url("/"))]), "the job takes no more");
}

#[test]
fn test_what_is_in_flight_still_ends_when_the_ledger_fails() {
    let folder = Folder::new("in-flight");
    let script = Script::start(|_, peer| {
        if peer.request().is_some_and(|head| head.starts_with("GET")) {
            std::thread::sleep(Duration::from_millis(150));
            peer.send(FINE);
        }
    });
    let engine = engine(Options::default());
    let job = engine
        .job(JobOptions { ledger: Some(folder.0.join("missing").join("ledger")), ..JobOptions::default() })
        .unwrap();
    assert!(job.submit(vec![request(0, &Method::GET, &script.url("/"))]));
    common::wait_until("the GET is seen", || script.requests() == 1);
    assert!(job.submit(vec![request(1, &Method::POST, &script.url("/"))]));
    assert_eq!(rows_until_failure(&job).single().index, 0);
    assert_eq!(script.requests(), 1);
}

fn rows_until_failure(job: &Job) -> Rows {
    let (start, mut rows) = (Instant::now(), Vec::new());
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "the ledger did not fail");
        let failed = job.ledger_failure().is_some();
        match job.next_batch(Duration::from_millis(100)) {
            Next::Batch(batch) => rows.extend(batch.iter().map(common::Row::from)),
            Next::Pending if failed => return Rows(rows),
            Next::Pending => {}
            Next::Done => panic!("done, with {rows:?}"),
        }
    }
}
