//! The exceptions and value types that are defined in Python, imported once.

use hurtle_engine::{Code, ConfigError, StartError};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// A name in one of hurtle's own Python modules, imported when first needed.
pub(crate) struct Imported {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyAny>>,
}

impl Imported {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, found: PyOnceLock::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let found = self
            .found
            .get_or_try_init(py, || PyResult::Ok(py.import(self.module)?.getattr(self.name)?.unbind()))?;
        Ok(found.bind(py))
    }
}

static CONFIG_ERROR: Imported = Imported::new("hurtle.errors", "ConfigError");
static CLOSED_ERROR: Imported = Imported::new("hurtle.errors", "ClosedError");
static LEDGER_ERROR: Imported = Imported::new("hurtle.errors", "LedgerError");
static SINK_ERROR: Imported = Imported::new("hurtle.errors", "SinkError");
static ERROR_FOR: Imported = Imported::new("hurtle.errors", "error_for");

fn raised(made: PyResult<Bound<'_, PyAny>>) -> PyErr {
    made.map_or_else(|error| error, PyErr::from_value)
}

/// `ConfigError`, naming the option.
pub(crate) fn config_error(py: Python<'_>, error: &ConfigError) -> PyErr {
    let make = || {
        let named = PyDict::new(py);
        named.set_item("option", error.option)?;
        CONFIG_ERROR.get(py)?.call((error.to_string(),), Some(&named))
    };
    raised(make())
}

/// The exception for an engine that did not start.
pub(crate) fn start_error(py: Python<'_>, error: &StartError) -> PyErr {
    match error {
        StartError::Config(error) => config_error(py, error),
        StartError::Thread(_) => PyOSError::new_err(error.to_string()),
    }
}

/// `ClosedError`.
pub(crate) fn closed_error(py: Python<'_>) -> PyErr {
    raised(CLOSED_ERROR.get(py).and_then(|class| class.call1(("the client is closed",))))
}

/// `LedgerError`.
pub(crate) fn ledger_error(py: Python<'_>, words: &str) -> PyErr {
    raised(LEDGER_ERROR.get(py).and_then(|class| class.call1((words,))))
}

/// `SinkError`.
pub(crate) fn sink_error(py: Python<'_>, words: &str) -> PyErr {
    raised(SINK_ERROR.get(py).and_then(|class| class.call1((words,))))
}

/// The `RequestError` of a failed row.
pub(crate) fn request_error<'py>(
    py: Python<'py>,
    code: Code,
    detail: &str,
    phase: Option<&str>,
    attempts: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let named = PyDict::new(py);
    named.set_item("phase", phase.unwrap_or("input"))?;
    named.set_item("retryable", code.retryable())?;
    named.set_item("attempts", attempts)?;
    ERROR_FOR.get(py)?.call((code.as_str(), detail), Some(&named))
}

/// The engine's threads do not survive a fork: the child's copy cannot work.
pub(crate) fn forked_error(py: Python<'_>) -> PyErr {
    let words = "this client was created before a fork: its threads are in the parent process; create a new client in this process";
    raised(CLOSED_ERROR.get(py).and_then(|class| class.call1((words,))))
}
