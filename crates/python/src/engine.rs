//! `Engine`: threads, connections, DNS and TLS state.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hurtle_engine::{JobOptions, Spool};
use pyo3::prelude::*;

use crate::errors::{closed_error, forked_error, start_error};
use crate::job::Job;
use crate::options;

/// Threads, connections, DNS and TLS state. Jobs run on it at the same time.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct Engine {
    inner: Mutex<Option<Arc<hurtle_engine::Engine>>>,
    pid: u32,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, options: &Bound<'_, PyAny>) -> PyResult<Self> {
        let options = options::extract(options)?;
        let engine = py.detach(|| hurtle_engine::Engine::start(options));
        let engine = engine.map_err(|error| start_error(py, &error))?;
        Ok(Self { inner: Mutex::new(Some(Arc::new(engine))), pid: std::process::id() })
    }

    /// Open a job: one stream of requests in, one stream of batches out.
    #[pyo3(signature = (
        *, max_duration=None, ledger=None, records_exchanges=false, keeps_codings=false, body_folder=None,
        bodies_above=0, hashes_bodies=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords of the Python method")]
    fn job(
        &self,
        py: Python<'_>,
        max_duration: Option<f64>,
        ledger: Option<PathBuf>,
        records_exchanges: bool,
        keeps_codings: bool,
        body_folder: Option<PathBuf>,
        bodies_above: u64,
        hashes_bodies: bool,
    ) -> PyResult<Job> {
        if self.pid != std::process::id() {
            return Err(forked_error(py));
        }
        let engine = self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let max_duration = max_duration.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let spool = body_folder.map(|folder| Spool { folder, above: bodies_above, hashes: hashes_bodies });
        let options = JobOptions { max_duration, ledger, records_exchanges, keeps_codings, spool };
        match engine.map(|engine| engine.job(options)) {
            Some(Ok(job)) => Ok(Job::new(job)),
            _ => Err(closed_error(py)),
        }
    }

    /// Cancel every job and end the threads. Further calls raise `ClosedError`.
    fn close(&self, py: Python<'_>) {
        let engine = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = engine {
            if self.pid == std::process::id() {
                py.detach(|| engine.close());
            } else {
                std::mem::forget(engine);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In a forked child there is no thread to join: the wait would never end.
        if self.pid != std::process::id() {
            std::mem::forget(self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}
