//! What the tests of names and addresses share: a server at every loopback address, and a name server of ours.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hurtle_testserver::{Config, Hosts, Profile, Server};

use super::{Engine, Job, JobOptions};
use crate::connect::DnsConfig;
use crate::connect::fake_server::FakeServer;
use crate::error::Code;
use crate::job::Next;
use crate::options::Options;
use crate::outcome::AttemptEnd;
use crate::request::Submission;

/// Nothing that a test waits for takes longer.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// What a row says of its request.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) status: Option<u16>,
    pub(super) code: Option<Code>,
    pub(super) attempts: u32,
    pub(super) end: AttemptEnd,
    pub(super) remote: Option<String>,
}

/// A server at every loopback address, a name server, and what an engine is told of both.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) names: FakeServer,
}

impl Stage {
    pub(super) fn new(latency: Duration) -> Self {
        let profile = Profile { latency, ..Profile::default() };
        let config = Config { hosts: Hosts::AllLoopback, profile, ..Config::default() };
        Self { server: Server::start(config).unwrap(), names: FakeServer::start() }
    }

    pub(super) fn engine(&self, options: Options) -> Engine {
        Engine::start_with(options, self.dns()).unwrap()
    }

    pub(super) fn dns(&self) -> DnsConfig {
        let timeout = Duration::from_millis(300);
        DnsConfig { nameservers: vec![self.names.address()], timeout, ..DnsConfig::default() }
    }

    /// The URL of a path at a name.
    pub(super) fn url(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.server.addr().port())
    }

    /// The peak of requests in flight to each host.
    pub(super) fn peaks(&self) -> BTreeMap<String, u64> {
        self.server.host_stats().into_iter().map(|host| (host.host, host.max_in_flight)).collect()
    }
}

pub(super) fn start(engine: &Engine, urls: &[String]) -> Job {
    let job = engine.job(JobOptions::default()).unwrap();
    let submissions = urls.iter().zip(0..).map(|(url, index)| Submission::new(index, url, None, None));
    assert!(job.submit(submissions.collect()));
    job.finish();
    job
}

/// Takes all rows of a job, in the order of its requests.
pub(super) fn drain(job: &Job) -> Vec<Row> {
    let (start, mut rows) = (Instant::now(), BTreeMap::new());
    loop {
        assert!(start.elapsed() < LIMIT, "rows are missing: {:?}", job.progress());
        match job.next_batch(Duration::from_millis(100)) {
            Next::Batch(batch) => rows.extend(batch.iter().map(|view| {
                let row = &view.row;
                let remote = row.remote.map(|remote| remote.to_string());
                let (status, code, attempts, end) = (row.status, row.code, row.attempts, row.end);
                (row.index, Row { status, code, attempts, end, remote })
            })),
            Next::Pending => {}
            Next::Done => return rows.into_values().collect(),
        }
    }
}

pub(super) fn fetch(engine: &Engine, urls: &[String]) -> Vec<Row> {
    let rows = drain(&start(engine, urls));
    assert_eq!(rows.len(), urls.len());
    rows
}
