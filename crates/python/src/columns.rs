//! `Columns`: the rows of many batches as one set of columns, for outputs that write thousands of rows at a time.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::batch::Batch;
use crate::capsules;
use crate::lists::Texts;
use crate::table;

/// Columns that grow batch by batch. A batch is copied, so that its memory can be reused.
///
/// Names and values of headers are dictionary-encoded; everything else is as in a batch's own columns.
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

    /// Append a batch's rows.
    fn append(&self, py: Python<'_>, batch: &Bound<'_, Batch>) -> PyResult<()> {
        let batch = batch.get();
        let labels = batch.labels(py)?;
        let rows = Arc::clone(&batch.rows);
        py.detach(|| self.growing.lock().unwrap_or_else(PoisonError::into_inner).append(&rows, &labels));
        Ok(())
    }

    /// Return the rows, and start again with none.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // The requested schema may be ignored. Source: Arrow PyCapsule Interface.
        let _ = requested_schema;
        let grown = {
            let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
            // The next set of rows is likely as long: memory that grows by doubling is copied each time.
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
