//! The engine as its users see it: requests go in by the list, finished rows come out by the batch. Neither side
//! waits for the other, and nothing here knows what a request looks like on the wire.

#[cfg(test)]
mod by_address_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod name_tests;
#[cfg(test)]
mod stage;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use crate::connect::{Descriptors, DnsConfig, Guard, TlsContext};
use crate::error::ConfigError;
use crate::exchange::Heads;
use crate::job::Stats;
use crate::job::{JobState, Keeps, Ledger, Load, Next, ThrottledHost};
use crate::limits::LimitTable;
use crate::options::{Concurrency, Options};
use crate::politeness::Pace;
use crate::pool::ProxyHealth;
use crate::request::Submission;
use crate::shard::Permits;
use crate::shard::Router;
use crate::shard::{Capacity, most_idle, most_loans};
use crate::shard::{Core, Message, Shard, h2_window};
use crate::spool::{BodyFolder, Spool};
use crate::timings::WallClock;

/// The options of one job.
#[derive(Clone, Debug, Default)]
pub struct JobOptions {
    /// After this time its requests end as `timeout.job`.
    pub max_duration: Option<Duration>,
    /// The index of each request whose method is not idempotent is on the disk, in this file, before the first byte
    /// is sent: 8 bytes, little-endian. An existing file is appended to.
    pub ledger: Option<PathBuf>,
    /// Rows keep their bytes as sent and received.
    pub records_exchanges: bool,
    /// Bodies in memory keep the content codings that would be undone: see `RowView::body_encoding`.
    pub keeps_codings: bool,
    /// Where large bodies are written to while they come; None: all bodies stay in memory.
    pub spool: Option<Spool>,
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option has an invalid value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system provided no thread or no event queue.
    #[error("cannot start a thread of the engine: {0}")]
    Thread(#[from] io::Error),
}

/// The engine was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine is closed")]
pub struct Closed;

/// Threads, connections, DNS answers and TLS sessions. Jobs run on it at the same time.
pub struct Engine {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    jobs: Mutex<Vec<Weak<JobState>>>,
    next_job: AtomicU64,
    closed: AtomicBool,
}

impl Engine {
    /// Starts the threads. Opens no connection and reads no certificate yet.
    ///
    /// # Errors
    /// An option has an invalid value, or the system provides no thread.
    pub fn start(options: Options) -> Result<Self, StartError> {
        Self::start_with(options, DnsConfig::default())
    }

    fn start_with(options: Options, dns: DnsConfig) -> Result<Self, StartError> {
        options.validate()?;
        let descriptors = Descriptors::of_process();
        let shards = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let (limit, capacity) = match options.concurrency {
            Concurrency::Fixed(limit) => (limit.min(descriptors.in_flight), None),
            Concurrency::Auto => {
                let capacity = Capacity::new(descriptors.in_flight);
                (capacity.limit(), Some(capacity))
            }
        };
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| unbounded_channel()).unzip();
        let core = Arc::new(Core {
            heads: Heads::new(&options.headers, &options.keep_on_redirect.headers),
            tls: TlsContext::new(&options.verify, options.http2)?,
            permits: Permits::new(limit, shards),
            most_loans: most_loans(&options, descriptors),
            most_idle: most_idle(&options, descriptors, shards),
            pace: Pace::new(options.rate_limit, Instant::now()).map(|pace| Arc::new(Mutex::new(pace))),
            capacity: capacity.map(Mutex::new),
            router: Router::new(shards, LimitTable::new(&options)),
            wall: WallClock::now(),
            open_jobs: Arc::default(),
            h2_window: h2_window(&options),
            mailboxes,
            dns,
            guard: Guard::new(options.block_private, &options.allow_private),
            proxies: ProxyHealth::new(options.routes.proxies.len(), Instant::now()),
            options,
        });
        let engine = Self {
            core,
            threads: Mutex::default(),
            jobs: Mutex::default(),
            next_job: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        for (at, inbox) in inboxes.into_iter().enumerate() {
            let thread = start_shard(at, Arc::clone(&engine.core), inbox)?;
            engine.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(engine)
    }

    /// The options it was started with.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// Opens a job.
    ///
    /// # Errors
    /// The engine is closed.
    pub fn job(&self, options: JobOptions) -> Result<Job, Closed> {
        let JobOptions { max_duration, ledger, records_exchanges, keeps_codings, spool } = options;
        let expires = max_duration.map(|limit| Instant::now() + limit);
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let open_jobs = Arc::clone(&self.core.open_jobs);
        let ledger = ledger.map(Ledger::new);
        let max_buffer = self.core.options.max_buffer;
        let folder = spool.map(BodyFolder::new);
        let keeps = Keeps { exchanges: records_exchanges, codings: keeps_codings };
        let state = JobState::new(id, max_buffer, expires, ledger, keeps, folder, open_jobs);
        let state = Arc::new(state);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::SeqCst) {
            return Err(Closed);
        }
        jobs.retain(|job| job.strong_count() > 0);
        jobs.push(Arc::downgrade(&state));
        if self.core.open_jobs.fetch_add(1, Ordering::SeqCst) > 0 {
            self.core.tell_all(|| Message::OpenGates);
            jobs.iter().filter_map(Weak::upgrade).for_each(|job| job.settle_bodies());
        }
        Ok(Job { core: Arc::clone(&self.core), state })
    }

    /// Cancels every job and ends the threads. Idempotent.
    pub fn close(&self) {
        let jobs = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            self.closed.store(true, Ordering::SeqCst);
            std::mem::take(&mut *jobs)
        };
        for job in jobs.iter().filter_map(Weak::upgrade) {
            job.cancel();
        }
        self.core.tell_all(|| Message::Close);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A shard that panicked has already been reported.
            thread.join().unwrap_or_default();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

fn start_shard(at: usize, core: Arc<Core>, inbox: UnboundedReceiver<Message>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name(format!("hurtle-{at}")).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async move { Shard::new(at, core).serve(inbox).await });
        // Connections and requests in flight end here, while the runtime can still close them.
        let context = runtime.enter();
        drop(local);
        drop(context);
        // Does not wait for a name that the system's library is still resolving.
        runtime.shutdown_background();
    })
}

/// One stream of requests in, one stream of batches out. Cancelled when dropped.
pub struct Job {
    core: Arc<Core>,
    state: Arc<JobState>,
}

impl Job {
    /// Queues requests; blocks while too many are queued. False: the job accepts no more.
    pub fn submit(&self, submissions: Vec<Submission>) -> bool {
        if submissions.is_empty() {
            return !self.state.is_cancelled();
        }
        let rows = submissions.iter().map(Submission::rows).sum();
        let load = submissions.iter().map(|submission| Load::of_one(submission.bytes_waiting())).sum();
        if !self.state.admit(load, rows) {
            return false;
        }
        let shards = self.core.mailboxes.len();
        if shards == 1 {
            self.core.tell(0, Message::Submit(Arc::clone(&self.state), submissions));
            return true;
        }
        let mut dealt: Vec<Vec<Submission>> = (0..shards).map(|_| Vec::new()).collect();
        for submission in submissions {
            let shard = match &submission {
                Submission::Send(request) => self.core.router.deal(&request.target),
                Submission::Refuse { .. } => 0,
            };
            if let Some(hand) = dealt.get_mut(shard) {
                hand.push(submission);
            }
        }
        for (shard, hand) in dealt.into_iter().enumerate().filter(|(_, hand)| !hand.is_empty()) {
            self.core.tell(shard, Message::Submit(Arc::clone(&self.state), hand));
        }
        true
    }

    /// Declares the input finished: no more requests will be submitted.
    pub fn finish(&self) {
        self.state.finish();
    }

    /// Waits up to `timeout` for finished rows.
    pub fn next_batch(&self, timeout: Duration) -> Next {
        let (next, resume) = self.state.next(timeout);
        if resume {
            self.core.tell_all(|| Message::Resume(self.state.id));
        }
        next
    }

    /// The consumer keeps rows of `bytes` in all, because it can use none of them before the row at `awaited`. They count
    /// as rows not taken; the awaited row may always be read.
    pub fn hold_back(&self, bytes: u64, awaited: u64) {
        if self.state.hold_back(bytes, awaited) {
            self.core.tell_all(|| Message::Resume(self.state.id));
        }
    }

    /// Starts nothing more: queued requests are dropped without a row, requests in flight continue. Idempotent.
    pub fn stop(&self) {
        self.state.stop();
    }

    /// Drops queued requests and those in flight. Idempotent.
    pub fn cancel(&self) {
        self.state.cancel();
        self.core.tell_all(|| Message::Cancel(self.state.id));
    }

    /// Whether every row was taken, or the job was cancelled.
    pub fn is_done(&self) -> bool {
        self.state.is_done()
    }

    /// Why the ledger could not be written. The job has stopped by itself; this is None until nothing is in flight:
    /// the rows of requests that were in flight can still be taken.
    pub fn ledger_failure(&self) -> Option<&str> {
        let ledger = self.state.ledger.as_ref().filter(|_| self.state.in_flight() == 0)?;
        ledger.failure()
    }

    /// Why bodies could not be written to the disk, as [`Self::ledger_failure`].
    pub fn disk_failure(&self) -> Option<String> {
        let folder = self.state.folder.as_ref().filter(|_| self.state.in_flight() == 0)?;
        folder.failure()
    }

    /// The options of the engine.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// The counters of this moment.
    pub fn progress(&self) -> Progress {
        Progress {
            submitted: self.state.submitted(),
            in_flight: self.state.in_flight(),
            queued: self.state.waiting(),
            coming_bytes: self.state.coming_bytes(),
            conns_opened: self.state.conns_opened(),
            limited_by: self.state.limited_by(),
            throttled_by: self.state.throttled.worst(),
            stats: self.state.stats(),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
        self.core.open_jobs.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The counters of a job at one moment.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Requests handed in.
    pub submitted: u64,
    /// Requests that hold a slot.
    pub in_flight: u64,
    /// Requests that wait for a slot for the first time.
    pub queued: u64,
    /// Bytes that have come of large bodies which are still being read.
    pub coming_bytes: u64,
    /// Connections opened.
    pub conns_opened: u64,
    /// How often each bottleneck was seen, by its name.
    pub limited_by: Vec<(&'static str, u64)>,
    /// The host that refused the most requests.
    pub throttled_by: Option<ThrottledHost>,
    /// What is known of the rows taken so far.
    pub stats: Stats,
}
