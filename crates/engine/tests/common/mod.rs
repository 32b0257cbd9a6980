//! What the socket tests share.
#![allow(dead_code, unused_imports)]

mod frames;
mod proxy;
mod script;
mod secure;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use hurtle_engine::{
    AttemptEnd, AttemptRecord, Code, Engine, Hop, Job, JobOptions, Next, Options, RowView, Spec, Submission,
    Timings, Truncated,
};
use hurtle_testserver::{Config, Hosts, Profile, Server};

pub(crate) use frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, OK, PADDED, PING, PUSH_PROMISE,
    RST_STREAM, SETTINGS, data, field, frame, goaway, head, read_frame, reset,
};
pub(crate) use proxy::{Proxy, Refusal};
pub(crate) use script::{Peer, Script};
pub(crate) use secure::{Secure, Session};

/// The longest that a test waits for anything.
const LIMIT: Duration = Duration::from_secs(40);

/// A copy of a row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) url: String,
    pub(crate) final_url: String,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<Code>,
    pub(crate) detail: String,
    pub(crate) ok: bool,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) version: Option<http::Version>,
    pub(crate) truncated: Option<Truncated>,
    pub(crate) attempts: u32,
    pub(crate) throttled: u32,
    pub(crate) end: AttemptEnd,
    pub(crate) hops: Vec<Hop>,
    pub(crate) earlier: Vec<AttemptRecord>,
    pub(crate) encoding_left: Option<String>,
    pub(crate) wire_bytes: u64,
    pub(crate) conn_reused: bool,
    pub(crate) timings: Timings,
}

impl From<RowView<'_>> for Row {
    fn from(view: RowView<'_>) -> Self {
        let extra = view.row.extra.as_deref().cloned().unwrap_or_default();
        Self {
            index: view.row.index,
            url: view.url().to_owned(),
            final_url: view.final_url().to_owned(),
            status: view.row.status,
            code: view.row.code,
            detail: view.detail().to_owned(),
            ok: view.row.ok(),
            headers: view.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            body: view
                .row
                .file()
                .map_or_else(|| view.body().to_vec(), |file| std::fs::read(file.path()).unwrap()),
            version: view.row.version,
            truncated: view.row.truncated,
            attempts: view.row.attempts,
            throttled: view.row.throttled,
            end: view.row.end,
            hops: extra.hops,
            earlier: extra.earlier,
            encoding_left: view.encoding_left().map(str::to_owned),
            wire_bytes: view.row.wire_bytes,
            conn_reused: view.row.conn_reused,
            timings: view.row.timings,
        }
    }
}

impl Row {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// Rows in order of completion.
#[derive(Debug)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl Rows {
    /// Each of `count` requests has exactly one row.
    pub(crate) fn assert_complete(&self, count: u64) {
        let seen: HashSet<u64> = self.0.iter().map(|row| row.index).collect();
        assert_eq!((self.0.len() as u64, seen.len() as u64), (count, count));
        assert!(seen.iter().all(|&index| index < count));
    }

    /// The only row.
    pub(crate) fn single(mut self) -> Row {
        assert_eq!(self.0.len(), 1);
        self.0.remove(0)
    }
}

pub(crate) fn server() -> Server {
    Server::start(Config::default()).unwrap()
}

/// A server that answers every address of 127.0.0.0/8, after `latency`.
pub(crate) fn many_hosts(latency: Duration) -> Server {
    let profile = Profile { latency, ..Profile::default() };
    Server::start(Config { hosts: Hosts::AllLoopback, profile, ..Config::default() }).unwrap()
}

/// The URL of a path of the `host`-th of them.
pub(crate) fn url(server: &Server, host: usize, path: &str) -> String {
    let port = server.addr().port();
    format!("http://127.{}.{}.{}:{port}{path}", host / 62_500, host / 250 % 250, host % 250 + 1)
}

pub(crate) fn engine(options: Options) -> Engine {
    Engine::start(options).unwrap()
}

/// No retries, so that a test sees the fault itself.
pub(crate) fn one_attempt() -> Options {
    let mut options = Options::default();
    options.retries.total = 0;
    options.retries.patience = None;
    options
}

/// Quick retries.
pub(crate) fn quick_retries(total: u32) -> Options {
    let mut options = Options::default();
    options.retries.total = total;
    options.retries.patience = None;
    options.retries.backoff = Duration::from_millis(5);
    options
}

/// Requests for `urls`, as a caller of the engine makes them.
pub(crate) fn submissions<T: AsRef<str>>(urls: &[T], params: Option<&str>) -> Vec<Submission> {
    urls.iter().zip(0..).map(|(url, index)| Submission::new(index, url.as_ref(), None, params)).collect()
}

/// Starts a job for `urls` and declares its input finished.
pub(crate) fn start<T: AsRef<str>>(engine: &Engine, urls: &[T]) -> Job {
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(job.submit(submissions(urls, engine.options().params.as_deref())));
    job.finish();
    job
}

pub(crate) fn fetch<T: AsRef<str>>(engine: &Engine, urls: &[T]) -> Rows {
    drain(&start(engine, urls))
}

pub(crate) fn fetch_one(engine: &Engine, url: &str) -> Row {
    fetch(engine, &[url]).single()
}

/// Sends one request with what differs from a plain GET.
pub(crate) fn send(engine: &Engine, url: &str, spec: Spec) -> Row {
    let job = engine.job(JobOptions::default()).unwrap();
    assert!(job.submit(vec![Submission::new(0, url, Some(Box::new(spec)), None)]));
    job.finish();
    drain(&job).single()
}

pub(crate) fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// Takes all rows of a job.
pub(crate) fn drain(job: &Job) -> Rows {
    let start = Instant::now();
    let mut rows = Vec::new();
    loop {
        assert!(start.elapsed() < LIMIT, "rows are missing: {:?}", job.progress());
        match job.next_batch(Duration::from_millis(100)) {
            Next::Batch(batch) => rows.extend(batch.iter().map(Row::from)),
            Next::Pending => {}
            Next::Done => return Rows(rows),
        }
    }
}

/// Waits until something holds, or says what did not.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a number has not changed for `calm`, and returns it.
pub(crate) fn settled(calm: Duration, number: impl Fn() -> u64) -> u64 {
    let (end, mut last, mut since) = (Instant::now() + LIMIT, number(), Instant::now());
    while since.elapsed() < calm {
        assert!(Instant::now() < end, "still changing at {last}");
        std::thread::sleep(Duration::from_millis(1));
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}
