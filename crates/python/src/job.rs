//! `Job`: one stream of requests through an engine, and its counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hurtle_engine::{Latencies, Next};
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::errors::{forked_error, ledger_error, sink_error};
use crate::request::{Reading, Shared};

/// How often a consumer that waits looks for signals.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// The objects behind requests that are more than a URL, by index, until their rows come.
pub(crate) type Objects = HashMap<u64, Py<PyAny>>;

/// One stream of requests through an engine. Methods may be called from different threads.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct Job {
    inner: Arc<hurtle_engine::Job>,
    next_index: AtomicU64,
    objects: Mutex<Objects>,
    /// Rows that were about to be handed out when a signal came.
    held_back: Mutex<Option<hurtle_engine::Batch>>,
    pid: u32,
}

impl Drop for Job {
    fn drop(&mut self) {
        // In a forked child the other side is gone, and its locks may be held for ever: there it is never dropped.
        if self.pid != std::process::id() {
            std::mem::forget(Arc::clone(&self.inner));
        }
    }
}

impl Job {
    pub(crate) fn new(inner: hurtle_engine::Job) -> Self {
        Self {
            inner: Arc::new(inner),
            next_index: AtomicU64::new(0),
            objects: Mutex::default(),
            held_back: Mutex::default(),
            pid: std::process::id(),
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_back(&self) -> MutexGuard<'_, Option<hurtle_engine::Batch>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows with the objects behind them.
    fn with_objects(&self, batch: hurtle_engine::Batch) -> Batch {
        let mut objects = self.objects();
        let taken = if objects.is_empty() {
            Objects::new()
        } else {
            let indices = batch.iter().map(|view| view.row.index);
            indices.filter_map(|index| Some((index, objects.remove(&index)?))).collect()
        };
        Batch::new(batch, taken)
    }

    fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        if self.pid == std::process::id() { Ok(()) } else { Err(forked_error(py)) }
    }
}

#[pymethods]
impl Job {
    /// Queue requests; wait, without the GIL, while the look-ahead is full. False when the job takes no more.
    fn submit(&self, py: Python<'_>, requests: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.check_fork(py)?;
        let options = self.inner.options();
        let shared = Shared { params: options.params.as_deref(), timeout: options.timeout };
        // Taken out first: their number is how many indices they take, whatever Python code runs below.
        let requests = requests.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let first = self.next_index.fetch_add(requests.len() as u64, Ordering::Relaxed);
        let mut reading = Reading::default();
        for (item, index) in requests.iter().zip(first..) {
            reading.add(item, index, &shared)?;
        }
        let Reading { submissions, kept } = reading;
        if !kept.is_empty() {
            self.objects().extend(kept);
        }
        Ok(py.detach(|| self.inner.submit(submissions)))
    }

    /// Say that rows of `held_bytes` in all are kept until the row at `awaited` comes. They count as rows not taken.
    fn hold_back(&self, py: Python<'_>, held_bytes: u64, awaited: u64) {
        if self.check_fork(py).is_ok() {
            py.detach(|| self.inner.hold_back(held_bytes, awaited));
        }
    }

    /// Say that no more input comes.
    fn finish(&self) {
        self.inner.finish();
    }

    /// Wait, without the GIL and checking signals, for finished rows. None: done, or the timeout has passed.
    /// `LedgerError` or `SinkError`, after the last row: the job has stopped, because the ledger or a body could not be
    /// written.
    #[pyo3(signature = (timeout=None))]
    fn next_batch(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Batch>> {
        self.check_fork(py)?;
        let deadline = timeout.and_then(|timeout| {
            Instant::now().checked_add(Duration::try_from_secs_f64(timeout).unwrap_or_default())
        });
        if let Some(batch) = self.held_back().take() {
            return Ok(Some(self.with_objects(batch)));
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wait = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
            // Asked first: rows that were on their way come before it.
            let ledger_failure = self.inner.ledger_failure();
            let disk_failure = self.inner.disk_failure();
            match py.detach(|| self.inner.next_batch(wait)) {
                Next::Batch(batch) => {
                    // A handler that raises on the way out would take the rows with it.
                    if let Err(raised) = py.check_signals() {
                        *self.held_back() = Some(batch);
                        return Err(raised);
                    }
                    return Ok(Some(self.with_objects(batch)));
                }
                Next::Done => return Ok(None),
                Next::Pending => {
                    py.check_signals()?;
                    if let Some(words) = ledger_failure {
                        return Err(ledger_error(py, words));
                    }
                    if let Some(words) = disk_failure {
                        return Err(sink_error(py, &format!("bodies could not be written: {words}")));
                    }
                    if left.is_some_and(|left| left.is_zero()) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Drop what is queued and in flight. Idempotent.
    fn cancel(&self, py: Python<'_>) {
        if self.check_fork(py).is_ok() {
            py.detach(|| self.inner.cancel());
            self.objects().clear();
            self.held_back().take();
        }
    }

    /// Start nothing more: what is queued is dropped without a row, what is in flight goes on.
    fn stop(&self, py: Python<'_>) {
        if self.check_fork(py).is_ok() {
            py.detach(|| self.inner.stop());
        }
    }

    /// All input is finished and every row was taken, or the job was cancelled.
    #[getter]
    fn done(&self) -> bool {
        self.inner.is_done() && self.held_back().is_none()
    }

    /// Return the counters of this moment.
    fn progress(&self, py: Python<'_>) -> Progress {
        Progress::from(py.detach(|| self.inner.progress()))
    }
}

/// Counters of a job at one moment.
#[pyclass(frozen, get_all, module = "hurtle._engine")]
pub(crate) struct Progress {
    submitted: u64,
    done: u64,
    ok: u64,
    failed: u64,
    in_flight: u64,
    queued: u64,
    bytes_coming: u64,
    attempts: u64,
    bytes_wire: u64,
    bytes_body: u64,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<&'static str, u64>,
    first_byte: BTreeMap<&'static str, f64>,
    total: BTreeMap<&'static str, f64>,
    conns_opened: u64,
    limited_by: BTreeMap<&'static str, u64>,
    phases: BTreeMap<&'static str, f64>,
    throttled: u64,
    throttled_for: f64,
    throttled_by: Option<ThrottledBy>,
}

/// Host, status, refusals, the wait that it named last and the rate that it bears, in seconds and per second.
type ThrottledBy = (String, u16, u64, Option<f64>, Option<f64>);

impl From<hurtle_engine::Progress> for Progress {
    fn from(progress: hurtle_engine::Progress) -> Self {
        let stats = progress.stats;
        Self {
            submitted: progress.submitted,
            done: stats.done,
            ok: stats.ok,
            failed: stats.failed(),
            in_flight: progress.in_flight,
            queued: progress.queued,
            bytes_coming: progress.coming_bytes,
            attempts: stats.attempts,
            bytes_wire: stats.wire_bytes,
            bytes_body: stats.body_bytes,
            first_byte: quantiles(&stats.first_byte),
            total: quantiles(&stats.total),
            phases: stats.phases.by_name().map(|(name, spent)| (name, spent.as_secs_f64())).into(),
            limited_by: progress.limited_by.into_iter().collect(),
            statuses: stats.statuses,
            errors: stats.errors,
            conns_opened: progress.conns_opened,
            throttled: stats.throttled,
            throttled_for: stats.throttled_for.as_secs_f64(),
            throttled_by: progress.throttled_by.map(|host| {
                (
                    host.host,
                    host.status,
                    host.refusals,
                    host.wait.map(|wait| wait.as_secs_f64()),
                    host.rate_per_s,
                )
            }),
        }
    }
}

fn quantiles(latencies: &Latencies) -> BTreeMap<&'static str, f64> {
    let shares = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];
    shares.into_iter().filter_map(|(name, share)| Some((name, latencies.quantile(share)?))).collect()
}
