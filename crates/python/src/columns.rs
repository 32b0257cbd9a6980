//! `Columns`: the rows of many batches as one run of columns, for outputs that write them by the thousand.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::batch::Batch;
use crate::capsules;
use crate::lists::Texts;
use crate::table;

/// Columns that grow by one batch after the other. A batch is copied, so that its memory can be used again.
///
/// Names and values of headers lie in dictionaries; all else is as in a batch's own columns.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct Columns {
    growing: Mutex<table::Columns>,
}

#[pymethods]
impl Columns {
    #[new]
    fn new() -> Self {
        Self { growing: Mutex::new(table::Columns::with_capacity(0, 0)) }
    }

    fn __len__(&self) -> usize {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Put a batch's rows behind those that are there.
    fn append(&self, py: Python<'_>, batch: &Bound<'_, Batch>) -> PyResult<()> {
        let batch = batch.get();
        let labels = batch.labels(py)?;
        let rows = Arc::clone(&batch.rows);
        py.detach(|| self.growing.lock().unwrap_or_else(PoisonError::into_inner).append(&rows, &labels));
        Ok(())
    }

    /// Hand out the rows; what is appended from then on begins anew.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // Another schema may be asked for; the one there is may be given. Source: Arrow PyCapsule Interface.
        let _ = requested_schema;
        let grown = {
            let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
            // The next run of rows is likely as long: memory that doubles again and again is copied as often.
            let next = table::Columns::with_capacity(growing.len(), growing.body_bytes());
            std::mem::replace(&mut *growing, next)
        };
        let grown = py.detach(|| grown.finish(Texts::Distinct));
        capsules::array_capsules(py, grown.map_err(|error| capsules::raised(&error))?)
    }

    #[expect(clippy::unused_self, reason = "a method by the Arrow PyCapsule interface")]
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        capsules::schema_capsule(py, &table::schema(Texts::Distinct))
    }
}
