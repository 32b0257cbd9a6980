//! One shard's end of a job: the rows being collected, and the requests that wait for the consumer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::flight::{Course, Flight};
use crate::error::Failure;
use crate::job::{Batch, Draft, Extra, Gate, JobState, Row};
use crate::outcome::{AttemptEnd, Outcome};
use crate::timings::WallClock;

/// A batch is full at this many rows or bytes.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// A consumer that waits gets a batch of this many rows at once; fewer come with the next flush.
const STARVED_ROWS: usize = 64;

/// A shard's end of a job: the batch being filled, and requests that wait for the consumer.
pub(super) struct LocalJob {
    pub(super) state: Arc<JobState>,
    pub(super) gate: Gate,
    open: RefCell<Batch>,
    /// Requests that would start if the consumer were not behind.
    pub(super) parked: RefCell<VecDeque<Flight>>,
    /// Rows that wait for hosts that have only ever refused, when it was last looked.
    pub(super) refused: Cell<u64>,
}

impl LocalJob {
    pub(super) fn new(state: Arc<JobState>) -> Self {
        let open = RefCell::new(state.recycler.batch());
        let gate = Gate::new(Arc::clone(&state));
        Self { state, gate, open, parked: RefCell::default(), refused: Cell::new(0) }
    }

    /// Whether rows wait for the next flush.
    pub(super) fn has_rows(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// Turns the end of a flight into its row.
    pub(super) fn land(&self, mut flight: Flight, mut outcome: Outcome, wall: &WallClock) {
        let mut course = flight.take_course();
        course.settle_wait(&outcome);
        let asked = course.asked.as_deref().unwrap_or(&flight.request);
        let mut row = Row::new(asked.index, asked.method().clone());
        row.attempts = course.earlier.len() as u32 + u32::from(outcome.was_sent());
        row.wait_us = course.wait_us;
        let refused = course.earlier.iter().filter(|attempt| attempt.end == AttemptEnd::Refused).count();
        row.throttled = refused as u32 + u32::from(outcome.end == AttemptEnd::Refused);
        row.throttled_for =
            course.first_refused.map(|first| outcome.started.saturating_duration_since(first));
        row.end = outcome.end;
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
        let (encoding_left, body_encoding) = (received.encoding_left.take(), received.body_encoding.take());
        let file = received.file.take();
        let extra = Extra { hops, earlier, exchanges, encoding_left, body_encoding, file };
        row.extra = extra.is_needed().then(|| Box::new(extra));
        let url = asked.asked();
        let remark = received.remark.take().unwrap_or_default();
        // Shared, not copied, by all rows that have it.
        let body = Bytes::from(std::mem::take(&mut received.body));
        // A fragment or another spelling by the caller is not a redirect: only a hop changes the final URL.
        let redirected = course.asked.is_some();
        let draft = |url, body| Draft {
            url,
            final_url: if redirected { flight.request.target.as_str() } else { url },
            reason: received.reason.as_deref().unwrap_or_default(),
            detail: outcome.failure.as_ref().map_or(&*remark, |failure| &failure.detail),
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
            self.push(row, draft(twin.asked.as_deref().unwrap_or(url), body.clone()));
        }
        self.push(row, draft(url, body));
    }

    /// A row for a request that was never sent.
    pub(super) fn refuse(&self, mut row: Row, url: &str, failure: &Failure) {
        row.code = Some(failure.code);
        let (detail, body) = (&*failure.detail, Bytes::new());
        self.push(row, Draft { url, final_url: url, reason: b"", detail, headers: None, body });
    }

    fn push(&self, row: Row, draft: Draft<'_>) {
        let mut open = self.open.borrow_mut();
        let before = open.bytes();
        open.push(row, draft);
        self.state.buffer(open.bytes() - before);
        let enough = if self.state.is_starved() { STARVED_ROWS } else { BATCH_ROWS };
        if open.len() >= enough || open.bytes() >= BATCH_BYTES {
            drop(open);
            self.flush();
        }
    }

    /// Hands over the rows so far.
    pub(super) fn flush(&self) {
        let mut open = self.open.borrow_mut();
        if !open.is_empty() {
            let full = std::mem::replace(&mut *open, self.state.recycler.batch());
            self.state.publish(full);
        }
    }
}
