//! What the socket tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hurtle_engine::{AttemptRecord, Code, Engine, Hop, Job, Next, Options, RowView, Submission, Truncated};
use hurtle_testserver::{Config, Server};

/// No test takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A row, copied out.
#[derive(Debug)]
pub struct Row {
    pub index: u64,
    pub url: String,
    pub final_url: String,
    pub status: Option<u16>,
    pub code: Option<Code>,
    pub detail: String,
    pub ok: bool,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub version: Option<http::Version>,
    pub truncated: Option<Truncated>,
    pub attempts: u32,
    pub hops: Vec<Hop>,
    pub earlier: Vec<AttemptRecord>,
    pub conn_reused: bool,
    pub timings: hurtle_engine::Timings,
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
            body: view.body().to_vec(),
            version: view.row.version,
            truncated: view.row.truncated,
            attempts: view.row.attempts,
            hops: extra.hops,
            earlier: extra.earlier,
            conn_reused: view.row.conn_reused,
            timings: view.row.timings,
        }
    }
}

impl Row {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// Rows in order of completion.
#[derive(Debug)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// Each of `count` requests has exactly one row.
    pub fn assert_complete(&self, count: u64) {
        let seen: HashSet<u64> = self.0.iter().map(|row| row.index).collect();
        assert_eq!((self.0.len() as u64, seen.len() as u64), (count, count));
        assert!(seen.iter().all(|&index| index < count));
    }

    /// The only row.
    pub fn single(mut self) -> Row {
        assert_eq!(self.0.len(), 1);
        self.0.remove(0)
    }
}

pub fn server() -> Server {
    Server::start(Config::default()).unwrap()
}

pub fn engine(options: Options) -> Engine {
    Engine::start(options).unwrap()
}

/// No retries, so that a fault is seen as it comes.
pub fn one_attempt() -> Options {
    let mut options = Options::default();
    options.retries.total = 0;
    options
}

/// Quick retries.
pub fn quick_retries(total: u32) -> Options {
    let mut options = Options::default();
    options.retries.total = total;
    options.retries.backoff = Duration::from_millis(5);
    options
}

pub fn fetch<T: AsRef<str>>(engine: &Engine, urls: &[T]) -> Rows {
    let job = engine.job(None).unwrap();
    let params = engine.options().params.clone();
    let all = urls
        .iter()
        .zip(0..)
        .map(|(url, index)| Submission::new(index, url.as_ref(), None, params.as_deref()))
        .collect();
    assert!(job.submit(all));
    job.finish();
    drain(&job)
}

pub fn fetch_one(engine: &Engine, url: &str) -> Row {
    fetch(engine, &[url]).single()
}

/// Sends one request with what differs from a plain GET.
pub fn send(engine: &Engine, url: &str, spec: hurtle_engine::Spec) -> Row {
    let job = engine.job(None).unwrap();
    assert!(job.submit(vec![Submission::new(0, url, Some(Box::new(spec)), None)]));
    job.finish();
    drain(&job).single()
}

/// Takes all rows of a job.
pub fn drain(job: &Job) -> Rows {
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
