//! The Arrow `PyCapsule` interface: batches and streams of batches, for any library that supports it.
//!
//! Source: <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

use crate::batch::Batch;
use crate::lists::Texts;
use crate::table;

/// An Arrow error as Python sees it.
pub(crate) fn raised(error: &ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A schema as a capsule.
pub(crate) fn schema_capsule<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyAny>> {
    let schema = FFI_ArrowSchema::try_from(schema).map_err(|error| raised(&error))?;
    Ok(PyCapsule::new_with_value(py, schema, c"arrow_schema")?.into_any())
}

/// Batches as a capsule of a stream.
pub(crate) fn stream_capsule(
    py: Python<'_>,
    batches: impl RecordBatchReader + Send + 'static,
) -> PyResult<Bound<'_, PyAny>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(batches));
    Ok(PyCapsule::new_with_value(py, stream, c"arrow_array_stream")?.into_any())
}

/// A batch as a pair of capsules, schema and array.
pub(crate) fn array_capsules(py: Python<'_>, batch: RecordBatch) -> PyResult<Bound<'_, PyTuple>> {
    let schema = schema_capsule(py, &batch.schema())?;
    let array = FFI_ArrowArray::new(&StructArray::from(batch).to_data());
    let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
    PyTuple::new(py, [schema, array.into_any()])
}

/// The result table's schema.
#[pyclass(frozen, name = "Schema", module = "hurtle._engine")]
pub(crate) struct ResultSchema;

#[pymethods]
impl ResultSchema {
    #[expect(clippy::unused_self, reason = "a method by the Arrow PyCapsule interface")]
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        schema_capsule(py, &table::schema(Texts::Plain))
    }
}

/// Return the result table's schema: an object with `__arrow_c_schema__`.
#[pyfunction(name = "arrow_schema")]
pub(crate) fn result_schema() -> ResultSchema {
    ResultSchema
}

/// Batches as one Arrow stream. It can be read once.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct ArrowStream {
    batches: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl ArrowStream {
    /// `batches` is an iterator of `Batch`.
    #[new]
    fn new(batches: Py<PyAny>) -> Self {
        Self { batches: Mutex::new(Some(batches)) }
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // The requested schema may be ignored.
        let _ = requested_schema;
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = batches.ok_or_else(|| PyRuntimeError::new_err("the stream was already read"))?;
        stream_capsule(py, Reader { batches })
    }

    #[expect(clippy::unused_self, reason = "a method by the Arrow PyCapsule interface")]
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        schema_capsule(py, &table::schema(Texts::Plain))
    }
}

/// Reads the Python iterator whenever the other side of the stream asks for more.
struct Reader {
    batches: Py<PyAny>,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = Python::attach(|py| {
            let mut batches = self.batches.bind(py).try_iter()?;
            let Some(batch) = batches.next().transpose()? else { return Ok(None) };
            let batch = batch.cast::<Batch>()?.get();
            PyResult::Ok(Some((Arc::clone(&batch.rows), batch.labels(py)?)))
        });
        match taken {
            Ok(taken) => taken.map(|(rows, labels)| table::record_batch(&rows, &labels)),
            Err(error) => Some(Err(ArrowError::CDataInterface(error.to_string()))),
        }
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        table::schema(Texts::Plain)
    }
}
