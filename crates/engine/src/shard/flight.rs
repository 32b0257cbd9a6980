//! A request on its way through one shard, and the shard's end of its job.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::Failure;
use crate::job::Gate;
use crate::job::JobState;
use crate::job::{Batch, Draft, Extra, Row};
use crate::outcome::{AttemptRecord, Exchange, Hop, Outcome};
use crate::politeness::HostId;
use crate::pool::OriginId;
use crate::request::Request;
use crate::timings::WallClock;

/// A batch is full at this many rows or bytes.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// A consumer that waits gets its rows from this many on; fewer come with the next flush.
const STARVED_ROWS: usize = 64;

/// What happened to a request before its present attempt. Most have none.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Attempts that ended, redirects not counted.
    pub(crate) earlier: Vec<AttemptRecord>,
    /// Redirects followed in the present attempt, and what went over the wire for them.
    pub(crate) hops: Vec<Hop>,
    pub(crate) exchanges: Vec<Exchange>,
    /// A hop left the origin: the caller's headers stay behind.
    pub(crate) left_origin: bool,
    /// Sent again because a kept-alive connection had gone; not an attempt.
    pub(crate) resent: u32,
    /// The wait before the present attempt, in microseconds.
    pub(crate) wait_us: u64,
    /// The request before any redirect, for the next attempt and the row.
    pub(crate) asked: Option<Box<Request>>,
    /// How the attempt before ended: what the row says if there is no other attempt.
    pub(crate) last: Option<Box<Outcome>>,
    /// It asks for robots.txt on behalf of a shard's origin, and ends as no row.
    pub(crate) robots: Option<Errand>,
}

/// Who waits for a robots.txt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand {
    pub(crate) shard: usize,
    pub(crate) origin: OriginId,
}

/// What can go to another shard.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) job: Arc<JobState>,
    pub(crate) request: Request,
    pub(crate) arrived: Instant,
    pub(crate) course: Option<Box<Course>>,
    pub(crate) retrying: bool,
    noted: bool,
}

impl Transfer {
    /// The request, arrived at the shard of its host.
    pub(crate) fn into_flight(self, job: Rc<LocalJob>, host: HostId, origin: OriginId) -> Flight {
        let Self { request, arrived, course, retrying, noted, .. } = self;
        let retrying = retrying && job.state.begin_retry_wait();
        let flight = Flight::new(job, request, host, origin, Instant::now());
        Flight { arrived, course, retrying, counted: false, noted: Cell::new(noted), ..flight }
    }
}

/// A request on its way.
pub(crate) struct Flight {
    pub(crate) job: Rc<LocalJob>,
    pub(crate) request: Request,
    pub(crate) host: HostId,
    pub(crate) origin: OriginId,
    /// When it came to the engine.
    pub(crate) arrived: Instant,
    /// When it came to its present queue.
    pub(crate) queued: Instant,
    pub(crate) course: Option<Box<Course>>,
    /// It counts as waiting in its job's look-ahead.
    pub(crate) counted: bool,
    /// It counts among those that wait for another attempt.
    pub(crate) retrying: bool,
    /// It counts among those that wait for a host that is down.
    pub(crate) suspended: bool,
    /// It stands in the ledger of its job.
    noted: Cell<bool>,
}

impl Course {
    /// The attempt before, made the last one again.
    pub(crate) fn take_last(&mut self) -> Option<Outcome> {
        let outcome = self.last.take()?;
        self.wait_us = self.earlier.pop().map_or(0, |record| record.wait_us);
        Some(*outcome)
    }
}

impl Flight {
    /// A request that has just come to the queue of its host.
    pub(crate) fn new(
        job: Rc<LocalJob>,
        request: Request,
        host: HostId,
        origin: OriginId,
        now: Instant,
    ) -> Self {
        Self {
            job,
            request,
            host,
            origin,
            arrived: now,
            queued: now,
            course: None,
            counted: true,
            retrying: false,
            suspended: false,
            noted: Cell::new(false),
        }
    }

    /// A request that the engine sends for itself, so that `other` can go on. It ends as no row.
    pub(crate) fn on_errand(other: &Self, request: Request, errand: Errand) -> Self {
        let course = Course { robots: Some(errand), ..Course::default() };
        Self {
            arrived: other.arrived,
            counted: false,
            course: Some(Box::new(course)),
            ..Self::new(Rc::clone(&other.job), request, other.host, other.origin, Instant::now())
        }
    }

    pub(crate) fn course(&mut self) -> &mut Course {
        self.course.get_or_insert_default()
    }

    /// The number of the present attempt, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.course.as_ref().map_or(1, |course| course.earlier.len() as u32 + 1)
    }

    /// How many rows it ends as.
    fn rows(&self) -> u64 {
        match self.course.as_ref().and_then(|course| course.robots) {
            Some(_) => 0,
            None => 1 + self.asked().copies().len() as u64,
        }
    }

    /// Its host is down, or is not any more.
    pub(crate) fn set_suspended(&mut self, suspended: bool) {
        if suspended != std::mem::replace(&mut self.suspended, suspended) {
            let count = if suspended { JobState::suspend } else { JobState::unsuspend };
            count(&self.job.state, self.rows());
        }
    }

    /// It waits no longer, whatever for.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.job.state.left_queue();
        }
        if std::mem::take(&mut self.retrying) {
            self.job.state.end_retry_wait();
        }
        self.set_suspended(false);
    }

    /// The request as the caller made it, before any redirect.
    pub(crate) fn asked(&self) -> &Request {
        self.course.as_ref().and_then(|course| course.asked.as_deref()).unwrap_or(&self.request)
    }

    /// Whether it may be sent. One that must not be sent twice is noted first; once, however often it is tried.
    ///
    /// False: it could not be noted, and its job starts nothing more.
    pub(crate) async fn is_on_record(&self) -> bool {
        let Some(ledger) = &self.job.state.ledger else { return true };
        if self.noted.get() || self.request.method().is_idempotent() {
            return true;
        }
        let noted = ledger.note(self.asked().index).await;
        self.noted.set(noted);
        if !noted {
            self.job.state.stop();
        }
        noted
    }

    /// Notes an attempt that is not the last, and sets the request back to what was asked.
    pub(crate) fn take_attempt(&mut self, outcome: Outcome, wait: Duration, wall: &WallClock) {
        let before = self.course.take().map(|course| *course).unwrap_or_default();
        if let Some(asked) = before.asked {
            self.request = *asked;
        }
        let mut earlier = before.earlier;
        earlier.push(AttemptRecord {
            status: outcome.status(),
            code: outcome.failure.as_ref().map(|failure| failure.code),
            started_us: wall.micros_at(outcome.started),
            duration_us: outcome.timings.total.unwrap_or_default().as_micros() as u64,
            wait_us: before.wait_us,
        });
        let wait_us = wait.as_micros() as u64;
        let (last, robots) = (Some(Box::new(outcome)), before.robots);
        self.course = Some(Box::new(Course { earlier, wait_us, last, robots, ..Course::default() }));
    }

    pub(crate) fn into_transfer(mut self) -> Transfer {
        let retrying = self.retrying;
        self.leave();
        Transfer {
            job: Arc::clone(&self.job.state),
            request: self.request,
            arrived: self.arrived,
            course: self.course,
            retrying,
            noted: self.noted.get(),
        }
    }
}

/// A shard's end of a job: the batch being filled, and requests that wait for the consumer.
pub(crate) struct LocalJob {
    pub(crate) state: Arc<JobState>,
    pub(crate) gate: Gate,
    open: RefCell<Batch>,
    /// Requests that would start if the consumer were not behind.
    pub(crate) parked: RefCell<VecDeque<Flight>>,
}

impl LocalJob {
    pub(crate) fn new(state: Arc<JobState>) -> Self {
        let open = RefCell::new(state.recycler.batch());
        let gate = Gate::new(Arc::clone(&state));
        Self { state, gate, open, parked: RefCell::default() }
    }

    /// Whether rows wait for the next flush.
    pub(crate) fn has_rows(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// Turns the end of a flight into its row.
    pub(crate) fn land(&self, mut flight: Flight, mut outcome: Outcome, wall: &WallClock) {
        let course = flight.course.take().map(|course| *course).unwrap_or_default();
        let asked = course.asked.as_deref().unwrap_or(&flight.request);
        let mut row = Row::new(asked.index, asked.method().clone());
        row.attempts = course.earlier.len() as u32 + u32::from(outcome.was_sent());
        row.wait_us = course.wait_us;
        row.fetched_at_us = wall.micros_at(outcome.started);
        let last = outcome.take_exchange(flight.request.target.as_str(), row.fetched_at_us);
        row.timings = outcome.timings;
        row.remote = outcome.via.remote;
        row.conn_reused = outcome.via.reused;
        row.code = outcome.failure.as_ref().map(|failure| failure.code);
        row.phase = row.code.map(|_| outcome.phase.as_str());
        let mut received = outcome.received.unwrap_or_default();
        if received.status != 0 {
            row.status = Some(received.status);
            row.version = Some(received.version);
        }
        row.truncated = received.truncated;
        row.wire_bytes = received.wire_bytes;
        let Course { hops, earlier, mut exchanges, .. } = course;
        exchanges.extend(last);
        if !hops.is_empty() || !earlier.is_empty() || !exchanges.is_empty() {
            row.extra = Some(Box::new(Extra { hops, earlier, exchanges }));
        }
        let url = asked.asked();
        let remark = outcome.remark.as_deref().unwrap_or_default();
        // Shared, not copied, by all the rows that have it.
        let body = Bytes::from(std::mem::take(&mut received.body));
        // The fragment and other things the caller wrote are no redirect: only a hop changes where it ended.
        let redirected = course.asked.is_some();
        let draft = |row, url, body| Draft {
            row,
            url,
            final_url: if redirected { flight.request.target.as_str() } else { url },
            reason: received.reason.as_deref().unwrap_or_default(),
            detail: outcome.failure.as_ref().map_or(remark, |failure| &failure.detail),
            headers: Some(&received.headers),
            body,
        };
        for twin in asked.copies() {
            let mut row = row.clone();
            row.index = twin.index;
            row.is_copy = true;
            if let Some(extra) = &mut row.extra {
                extra.exchanges.clear();
            }
            self.push(draft(row, twin.asked.as_deref().unwrap_or(url), body.clone()));
        }
        self.push(draft(row, url, body));
    }

    /// A row for a request that was never sent.
    pub(crate) fn refuse(&self, mut row: Row, url: &str, failure: &Failure) {
        row.code = Some(failure.code);
        let (detail, body) = (&*failure.detail, Bytes::new());
        self.push(Draft { row, url, final_url: url, reason: b"", detail, headers: None, body });
    }

    fn push(&self, draft: Draft<'_>) {
        let mut open = self.open.borrow_mut();
        let before = open.bytes();
        open.push(draft);
        self.state.buffer(open.bytes() - before);
        let enough = if self.state.is_starved() { STARVED_ROWS } else { BATCH_ROWS };
        if open.len() >= enough || open.bytes() >= BATCH_BYTES {
            drop(open);
            self.flush();
        }
    }

    /// Hands over the rows so far.
    pub(crate) fn flush(&self) {
        let mut open = self.open.borrow_mut();
        if !open.is_empty() {
            let full = std::mem::replace(&mut *open, self.state.recycler.batch());
            self.state.publish(full);
        }
    }
}
