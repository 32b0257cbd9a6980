//! `Batch`: finished rows, as Response objects or as columns; each is built only when it is used.

use std::sync::{Arc, Mutex, PoisonError};

use hurtle_engine::{RowView, is_idempotent};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::capsules;
use crate::exchange::Exchange;
use crate::job::Objects;
use crate::jsonl;
use crate::lists::Texts;
use crate::response::Response;
use crate::table;
use crate::values;

/// Finished rows. Iterate for `Response` objects, or take the columns through Arrow.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct Batch {
    pub(crate) rows: Arc<hurtle_engine::Batch>,
    /// The objects behind requests that are more than a URL.
    pub(crate) objects: Arc<Objects>,
}

impl Batch {
    pub(crate) fn new(rows: hurtle_engine::Batch, objects: Objects) -> Self {
        Self { rows: Arc::new(rows), objects: Arc::new(objects) }
    }

    /// The caller's ids and passthrough, by row, as text.
    pub(crate) fn labels(&self, py: Python<'_>) -> PyResult<table::Labels> {
        if self.objects.is_empty() {
            return Ok(table::Labels::default());
        }
        let mut labels = table::Labels::default();
        for (&index, object) in self.objects.iter() {
            let object = object.bind(py);
            let Ok(meta) = object.getattr("meta_json") else { continue };
            let id: Option<String> = object.getattr("id")?.extract()?;
            let meta = match meta.call0().and_then(|meta| meta.extract::<Option<String>>()) {
                Ok(meta) => meta,
                Err(error) if error.is_instance_of::<PyException>(py) => in_words(&object.getattr("meta")?),
                Err(error) => return Err(error),
            };
            labels.add(index, id, meta);
        }
        Ok(labels)
    }
}

/// What cannot be written as JSON is written as its `repr`: the row matters more.
fn in_words(meta: &Bound<'_, PyAny>) -> Option<String> {
    let words = meta.repr().ok()?.to_string_lossy().into_owned();
    serde_json::to_string(&words).ok()
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn __iter__(&self) -> BatchIterator {
        BatchIterator {
            objects: Arc::clone(&self.objects),
            rest: Mutex::new(Some((Arc::clone(&self.rows), 0))),
        }
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // The requested schema may be ignored. Source: Arrow PyCapsule Interface.
        let _ = requested_schema;
        let labels = self.labels(py)?;
        let rows = Arc::clone(&self.rows);
        let table = py.detach(move || table::record_batch(&rows, &labels));
        capsules::array_capsules(py, table.map_err(|error| capsules::raised(&error))?)
    }

    #[expect(clippy::unused_self, reason = "a method by the Arrow PyCapsule interface")]
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        capsules::schema_capsule(py, &table::schema(Texts::Plain))
    }

    /// Return the batches that have the rows, each with the places of the rows in it; none stands for all.
    fn pieces(this: Py<Self>) -> Vec<(Py<Self>, Option<Vec<usize>>)> {
        vec![(this, None)]
    }

    /// Return the columns behind those of the result table: a batch has none.
    #[expect(clippy::unused_self, reason = "a method of all rows")]
    fn added<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        PyDict::new(py)
    }

    /// Return which rows are written without their bodies: none.
    #[expect(clippy::unused_self, reason = "a method of all rows")]
    fn without_body(&self) -> Option<Vec<bool>> {
        None
    }

    /// Return the rows' positions in the input.
    fn indexes(&self) -> Vec<u64> {
        self.rows.iter().map(|view| view.row.index).collect()
    }

    /// Return, for each row, the bytes sent and received in its last attempt, redirects first; empty tuples unless
    /// the job keeps them.
    fn exchanges<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let exchanges = |view: RowView<'_>| view.row.extra.as_ref().map(|extra| extra.exchanges.clone());
        let of_row = |view| exchanges(view).unwrap_or_default().into_iter().map(Exchange::new);
        self.rows.iter().map(|view| PyTuple::new(py, of_row(view).collect::<Vec<_>>())).collect()
    }

    /// How many rows belong to requests that were sent and must not be sent again.
    #[getter]
    fn unrepeatable(&self) -> usize {
        self.rows.iter().filter(|view| view.row.attempts > 0 && !is_idempotent(&view.row.method)).count()
    }

    /// Return how much memory each row's body takes, in bytes.
    fn body_sizes(&self) -> Vec<usize> {
        self.rows.iter().map(|view| view.row.body_in_memory()).collect()
    }

    /// Return the length of all bodies that are on the disk, in bytes.
    #[getter]
    fn file_bytes(&self) -> u64 {
        self.rows.iter().filter_map(|view| view.row.file()).map(|file| file.bytes()).sum()
    }

    /// Return the positions in the input of the rows that are not ok.
    fn failures(&self) -> Vec<u64> {
        self.rows.iter().filter(|view| !view.row.ok()).map(|view| view.row.index).collect()
    }

    /// Memory that the rows hold, in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Return the values of rows, in the order of the table's columns: some of them, by their places, or all. The bodies of
    /// those that are marked are None.
    #[pyo3(signature = (places=None, without_body=None, *, with_flags=true))]
    fn values<'py>(
        &self,
        py: Python<'py>,
        places: Option<Vec<usize>>,
        without_body: Option<Vec<bool>>,
        with_flags: bool,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let labels = self.labels(py)?;
        values::values(py, &self.rows, &labels, places, &without_body.unwrap_or_default(), with_flags)
    }

    /// Return the rows as JSON lines, keys as in the result table; without `bodies` every body is null.
    #[pyo3(signature = (*, bodies=true))]
    fn to_jsonl<'py>(&self, py: Python<'py>, bodies: bool) -> PyResult<Bound<'py, PyBytes>> {
        let labels = self.labels(py)?;
        let lines = py.detach(|| jsonl::lines(&self.rows, &labels, bodies));
        Ok(PyBytes::new(py, &lines))
    }
}

/// Iterates over a batch, and creates each Response when its turn comes.
#[pyclass(frozen, module = "hurtle._engine")]
struct BatchIterator {
    objects: Arc<Objects>,
    /// The rows and the position of the next; none after the last row, which must not keep the others.
    rest: Mutex<Option<(Arc<hurtle_engine::Batch>, usize)>>,
}

#[pymethods]
impl BatchIterator {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> Option<Response> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, next) = rest.as_mut()?;
        let view = rows.get(*next)?;
        let body = view.large_body().ok_or_else(|| PyBytes::new(py, view.body()).unbind());
        let object = self.objects.get(&view.row.index).map(|object| object.clone_ref(py));
        let response = Response::new(py, rows.detach(*next)?, body, object);
        *next += 1;
        if *next == rows.len() {
            *rest = None;
        }
        Some(response)
    }
}
