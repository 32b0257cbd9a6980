//! The state of a job that the consumer's thread and the shards' threads share. Only the consumer and the submitter
//! ever wait here, never a shard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Batch, Recycler};
use super::bodies::{Bodies, Room};
use super::bottleneck::{Look, Seen};
use super::buffer::Buffer;
use super::look_ahead::{Load, LookAhead};
use super::{Keeps, Ledger, Stats, ThrottledHosts};
use crate::spool::BodyFolder;

/// With this many batches waiting, the consumer is slower than the engine.
const MANY_BATCHES: usize = 4;
/// Rows are few that are at most this part of all.
const FEW_PART: u64 = 10;
/// Requests that may wait for another attempt. When there are more, the last attempt is final.
const MAX_RETRYING: i64 = 16_384;

/// What a consumer gets.
#[derive(Debug)]
pub enum Next {
    /// Finished rows.
    Batch(Batch),
    /// Nothing yet.
    Pending,
    /// All rows were taken, or the job was cancelled.
    Done,
}

#[derive(Debug, Default)]
struct Output {
    batches: VecDeque<Batch>,
    submitted: u64,
    /// Rows from the shards, and those of them that the consumer took.
    published: u64,
    taken: u64,
    finished: bool,
    cancelled: bool,
}

/// The shared state of a job.
#[derive(Debug)]
pub(crate) struct JobState {
    pub(crate) id: u64,
    output: Mutex<Output>,
    /// Signals a batch, the end of input, or cancellation.
    batch_ready: Condvar,
    /// The consumer waits for rows: batches should not.
    starved: AtomicBool,
    /// Bytes that wait for the consumer.
    pub(super) buffer: Buffer,
    /// Bodies that are being read.
    pub(super) bodies: Bodies,
    cancelled: AtomicBool,
    /// Nothing more may start.
    stopping: AtomicBool,
    /// Requests submitted and not yet started.
    look_ahead: LookAhead,
    /// Requests that wait for another attempt.
    retrying: AtomicI64,
    /// Rows of requests whose hosts are down.
    suspended: AtomicU64,
    /// Requests that are in flight as probes of such hosts, and their rows.
    probes: AtomicI64,
    probe_rows: AtomicU64,
    /// Rows that wait for hosts that refuse, and have never served.
    refused: AtomicU64,
    /// When a request was last served, in microseconds since the job began.
    gained_us: AtomicU64,
    began: Instant,
    in_flight: AtomicI64,
    conns_opened: AtomicU64,
    pub(crate) recycler: Arc<Recycler>,
    stats: Mutex<Stats>,
    limited_by: Seen,
    /// Hosts that refused.
    pub(crate) throttled: ThrottledHosts,
    pub(crate) expires: Option<Instant>,
    /// Records the requests that must not be sent twice.
    pub(crate) ledger: Option<Ledger>,
    /// What rows keep of what came.
    pub(crate) keeps: Keeps,
    /// Where large bodies are written to.
    pub(crate) folder: Option<BodyFolder>,
    /// Bytes of bodies that were cut and wait for another attempt.
    pub(super) kept: AtomicU64,
    /// Jobs of the engine that have not been dropped, this one included.
    open_jobs: Arc<AtomicUsize>,
}

impl JobState {
    pub(crate) fn new(
        id: u64,
        max_buffer: u64,
        expires: Option<Instant>,
        ledger: Option<Ledger>,
        keeps: Keeps,
        folder: Option<BodyFolder>,
        open_jobs: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            id,
            output: Mutex::default(),
            batch_ready: Condvar::new(),
            starved: AtomicBool::new(false),
            buffer: Buffer::new(max_buffer),
            bodies: Bodies::new(),
            cancelled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            look_ahead: LookAhead::new(),
            retrying: AtomicI64::new(0),
            suspended: AtomicU64::new(0),
            probes: AtomicI64::new(0),
            probe_rows: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            gained_us: AtomicU64::new(0),
            began: Instant::now(),
            in_flight: AtomicI64::new(0),
            conns_opened: AtomicU64::new(0),
            recycler: Arc::default(),
            stats: Mutex::default(),
            limited_by: Seen::default(),
            throttled: ThrottledHosts::default(),
            expires,
            ledger,
            keeps,
            folder,
            kept: AtomicU64::new(0),
            open_jobs,
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for more requests, then counts some in, which will end as `rows` rows. False: the job
    /// accepts no more.
    pub(crate) fn admit(&self, requests: Load, rows: usize) -> bool {
        let mut output =
            self.look_ahead.wait_for_room(self.output(), |output| output.cancelled || self.starts_nothing());
        if output.cancelled || output.finished || self.starts_nothing() {
            return false;
        }
        output.submitted += rows as u64;
        self.look_ahead.enter(requests);
        true
    }

    /// One request has left its queue. Called by shards.
    pub(crate) fn left_queue(&self, request: Load) {
        if self.look_ahead.leave(request) {
            self.wake_submitter();
        }
    }

    /// A request that had left its queue waits in one again. Called by shards.
    pub(crate) fn return_to_queue(&self, request: Load) {
        self.look_ahead.enter(request);
    }

    /// None of the requests that wait may go, and others might: looks further ahead. Called by shards.
    pub(crate) fn look_further(&self) {
        if self.look_ahead.widen() {
            self.wake_submitter();
        }
    }

    #[cold]
    fn wake_submitter(&self) {
        self.look_ahead.wake(&self.output());
    }

    /// A request begins to wait for another attempt. False: too many do already. Called by shards.
    pub(crate) fn begin_retry_wait(&self) -> bool {
        let room = self.retrying.fetch_add(1, Ordering::Relaxed) < MAX_RETRYING;
        if !room {
            self.end_retry_wait();
        }
        room
    }

    /// It does not wait any longer. Called by shards.
    pub(crate) fn end_retry_wait(&self) {
        self.retrying.fetch_sub(1, Ordering::Relaxed);
    }

    /// Rows begin to wait for a host that is down. Called by shards.
    pub(crate) fn suspend(&self, rows: u64) {
        self.suspended.fetch_add(rows, Ordering::SeqCst);
    }

    /// Rows no longer wait for a host that is down. Called by shards.
    pub(crate) fn unsuspend(&self, rows: u64) {
        self.suspended.fetch_sub(rows, Ordering::SeqCst);
    }

    /// A request for a host that is down is sent as its probe. Called by shards.
    pub(crate) fn probe_began(&self, rows: u64) {
        self.probe_rows.fetch_add(rows, Ordering::SeqCst);
        self.probes.fetch_add(1, Ordering::SeqCst);
    }

    /// It has ended. Called by shards.
    pub(crate) fn probe_ended(&self, rows: u64) {
        self.probe_rows.fetch_sub(rows, Ordering::SeqCst);
        self.probes.fetch_sub(1, Ordering::SeqCst);
    }

    /// On one shard so many rows wait for hosts that refuse and have never served; it were `before`. Called by shards.
    pub(crate) fn refused(&self, before: u64, now: u64) {
        self.refused.fetch_add(now.wrapping_sub(before), Ordering::SeqCst);
    }

    /// A request was served at `when`. Called by shards.
    pub(crate) fn gained(&self, when: Instant) {
        let since_us = when.saturating_duration_since(self.began).as_micros();
        self.gained_us.fetch_max(u64::try_from(since_us).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When a request was last served; when the job began, if none was.
    pub(crate) fn gained_at(&self) -> Instant {
        self.began + Duration::from_micros(self.gained_us.load(Ordering::Relaxed))
    }

    /// Until when it is worth waiting for the few rows whose hosts refuse everything: as long again as the job took for
    /// the others, and at least `floor`. None: they are not few.
    pub(crate) fn gain_ends(&self, floor: Duration) -> Option<Instant> {
        let few = self.refused.load(Ordering::SeqCst).saturating_mul(FEW_PART) <= self.submitted();
        let gained = self.gained_at();
        few.then(|| gained + gained.saturating_duration_since(self.began).max(floor))
    }

    /// Whether all requests so far wait for origins that are down, or for hosts that have only ever refused. More input may come, but it may also depend on
    /// these rows: a crawler's does, and so does an input that is read no further ahead than its rows are written.
    pub(crate) fn is_stuck(&self) -> bool {
        let apart = [&self.suspended, &self.probe_rows, &self.refused];
        let suspended: u64 = apart.into_iter().map(|rows| rows.load(Ordering::SeqCst)).sum();
        if suspended == 0 || !self.only_probes() {
            return false;
        }
        let output = self.output();
        output.submitted == output.published + suspended
    }

    /// Whether nothing is in flight but probes of hosts that are down.
    pub(crate) fn only_probes(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == self.probes.load(Ordering::SeqCst)
    }

    /// A request has got its permits. Called by shards.
    pub(crate) fn started(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    /// A request has given its permits back. Called by shards.
    pub(crate) fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// A connection was opened. Called by shards.
    pub(crate) fn opened(&self) {
        self.conns_opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that hold their permits.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed).max(0) as u64
    }

    /// Connections opened.
    pub(crate) fn conns_opened(&self) -> u64 {
        self.conns_opened.load(Ordering::Relaxed)
    }

    /// Requests submitted and not yet started.
    pub(crate) fn waiting(&self) -> u64 {
        self.look_ahead.waiting()
    }

    pub(crate) fn submitted(&self) -> u64 {
        self.output().submitted
    }

    pub(crate) fn finish(&self) {
        self.output().finished = true;
        self.batch_ready.notify_all();
    }

    /// Hands finished rows to the consumer. Called by shards.
    pub(crate) fn publish(&self, batch: Batch) {
        if self.is_cancelled() {
            return;
        }
        let mut output = self.output();
        output.published += batch.len() as u64;
        output.batches.push_back(batch);
        drop(output);
        if self.starved.load(Ordering::SeqCst) {
            self.batch_ready.notify_one();
        }
    }

    /// Whether the consumer waits for rows.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed)
    }

    /// Counts bytes that now wait for the consumer.
    pub(crate) fn buffer(&self, bytes: usize) {
        self.buffer.add(bytes);
    }

    /// What is held besides bodies.
    pub(super) fn room(&self) -> Room {
        self.buffer.room(self.has_others())
    }

    /// There may be more room for bodies: those that wait look again.
    pub(crate) fn settle_bodies(&self) {
        self.bodies.settle(|| self.room());
    }

    /// The consumer keeps rows of `bytes` until the row at `awaited` comes. True: shards that have stopped may continue.
    pub(crate) fn hold_back(&self, bytes: u64, awaited: u64) -> bool {
        let resume = self.buffer.hold_back(bytes, awaited);
        self.settle_bodies();
        resume
    }

    /// Whether the consumer needs the row at `index` before it can use those that it keeps.
    pub(crate) fn awaits(&self, index: u64) -> bool {
        self.buffer.awaits(index)
    }

    /// Whether there is another job.
    fn has_others(&self) -> bool {
        self.open_jobs.load(Ordering::SeqCst) > 1
    }

    /// Whether the consumer is too far behind for further requests. If so, the shards will be told when that changes.
    pub(crate) fn must_wait(&self) -> bool {
        self.buffer.stops_starts()
    }

    /// Whether the consumer is too far behind even to read the responses to requests in flight.
    ///
    /// Never while there is another job: a body that is not read keeps its permits, and the other job may need them,
    /// perhaps before this one's consumer continues (a loop over one job that starts another).
    pub(crate) fn must_stop_reading(&self) -> bool {
        self.buffer.stops_reading() && !self.has_others()
    }

    /// Waits up to `timeout` for finished rows. True: shards that have stopped may continue.
    pub(crate) fn next(&self, timeout: Duration) -> (Next, bool) {
        let deadline = Instant::now() + timeout;
        self.buffer.begin_wait();
        self.settle_bodies();
        let mut output = self.output();
        let batch = loop {
            if output.cancelled {
                return (Next::Done, false);
            }
            if let Some(batch) = output.batches.pop_front() {
                break batch;
            }
            if output.finished && output.taken == output.submitted {
                return (Next::Done, false);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (Next::Pending, false);
            }
            self.starved.store(true, Ordering::SeqCst);
            output = self.batch_ready.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
            self.starved.store(false, Ordering::SeqCst);
        };
        output.taken += batch.len() as u64;
        drop(output);
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).add(&batch);
        self.buffer.hand_over(batch.bytes_in_use());
        let resume = self.buffer.take(batch.bytes());
        self.settle_bodies();
        (Next::Batch(batch), resume)
    }

    /// All rows were taken, or the job was cancelled.
    pub(crate) fn is_done(&self) -> bool {
        let output = self.output();
        output.cancelled || (output.finished && output.taken == output.submitted)
    }

    /// From now on nothing starts; requests in flight continue.
    pub(crate) fn stop(&self) {
        let output = self.output();
        self.stopping.store(true, Ordering::SeqCst);
        self.look_ahead.wake(&output);
    }

    /// Whether no further request may start: the job was stopped or cancelled.
    pub(crate) fn starts_nothing(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || self.is_cancelled()
    }

    /// True the first time.
    pub(crate) fn cancel(&self) -> bool {
        let mut output = self.output();
        let first = !std::mem::replace(&mut output.cancelled, true);
        output.batches.clear();
        self.cancelled.store(true, Ordering::SeqCst);
        self.batch_ready.notify_all();
        self.look_ahead.wake(&output);
        first
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Counts what holds the job up, from one shard's point of view. Called by shards.
    pub(crate) fn look(&self, of_shard: Look) {
        let output = self.output();
        let (behind, finished) = (output.batches.len() >= MANY_BATCHES, output.finished);
        drop(output);
        let look = Look {
            consumer_is_behind: behind || self.buffer.is_full(),
            queued: self.waiting() > 0 || self.retrying.load(Ordering::Relaxed) > 0,
            in_flight: self.in_flight() > 0,
            input_ended: finished,
            ..of_shard
        };
        if let Some(bottleneck) = look.bottleneck() {
            self.limited_by.count(bottleneck);
        }
    }

    /// How often each bottleneck was seen.
    pub(crate) fn limited_by(&self) -> Vec<(&'static str, u64)> {
        self.limited_by.counts()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
