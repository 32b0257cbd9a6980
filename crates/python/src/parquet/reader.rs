//! The rows of a Parquet file, in batches of bounded size: as dicts, or as Arrow.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::{raised, values};
use crate::capsules::{schema_capsule, stream_capsule};

/// A Parquet file that is read. Its memory is that of the footer and, while rows are read, of one batch, and of one page
/// of each column.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct ParquetReader {
    file: File,
    /// With the types that the writer had in Arrow.
    footer: ArrowReaderMetadata,
    size: Size,
}

/// How large a batch may be.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    /// About so many.
    bytes: usize,
}

#[pymethods]
impl ParquetReader {
    /// Read the footer. A batch ends at so many rows, or at about so many bytes.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, batch_rows: usize, batch_bytes: usize) -> PyResult<Self> {
        let file = File::open(path)?;
        let footer = py.detach(|| unharmed(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())));
        let footer = footer.map_err(|error| raised(&error))?;
        Ok(Self { file, footer, size: Size { rows: batch_rows, bytes: batch_bytes } })
    }

    /// The number of rows in each row group.
    #[getter]
    fn groups(&self) -> Vec<i64> {
        self.footer.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).collect()
    }

    /// The names of the columns.
    #[getter]
    fn names(&self) -> Vec<String> {
        let columns = self.footer.parquet_schema().root_schema().get_fields();
        columns.iter().map(|column| column.name().to_owned()).collect()
    }

    /// Read rows as dicts with some columns, from a row group on; a column that the file lacks is None.
    #[pyo3(signature = (columns, group=0))]
    fn rows(&self, columns: Vec<Py<PyString>>, group: usize) -> PyResult<ParquetRows> {
        // The types that Parquet itself knows are few, and do not depend on the writer.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = ArrowReaderMetadata::try_new(self.footer.metadata().clone(), options);
        let footer = footer.map_err(|error| raised(&error))?;
        let wanted = Python::attach(|py| -> Vec<String> {
            columns.iter().map(|name| name.bind(py).to_string_lossy().into_owned()).collect()
        });
        let batches = Batches::new(&self.file, footer, Some(&wanted), group, self.size)?;
        Ok(ParquetRows { columns, batches: Mutex::new(batches) })
    }

    /// Return all rows as an Arrow stream.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // The requested schema may be ignored.
        let _ = requested_schema;
        stream_capsule(py, Batches::new(&self.file, self.footer.clone(), None, 0, self.size)?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        schema_capsule(py, self.footer.schema())
    }
}

/// Iterates over the rows of a file, a list of dicts at a time.
#[pyclass(frozen, module = "hurtle._engine")]
struct ParquetRows {
    columns: Vec<Py<PyString>>,
    batches: Mutex<Batches>,
}

#[pymethods]
impl ParquetRows {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let batch = py.detach(|| self.batches.lock().unwrap_or_else(PoisonError::into_inner).next_batch());
        let batch = batch.map_err(|error| raised(&error))?;
        batch.map(|batch| values::rows(py, &batch, &self.columns)).transpose()
    }
}

/// Reads row group after row group.
struct Batches {
    file: File,
    footer: ArrowReaderMetadata,
    columns: ProjectionMask,
    size: Size,
    next_group: usize,
    group: Option<ParquetRecordBatchReader>,
}

impl Batches {
    fn new(
        file: &File,
        footer: ArrowReaderMetadata,
        columns: Option<&[String]>,
        group: usize,
        size: Size,
    ) -> PyResult<Self> {
        let mask = match columns {
            None => ProjectionMask::all(),
            Some(names) => ProjectionMask::columns(footer.parquet_schema(), names.iter().map(String::as_str)),
        };
        Ok(Self { file: file.try_clone()?, footer, columns: mask, size, next_group: group, group: None })
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ParquetError> {
        unharmed(|| {
            loop {
                if let Some(batch) = self.group.as_mut().and_then(Iterator::next) {
                    return Ok(Some(batch?));
                }
                // Before the next group is opened, the pages of this one go.
                self.group = None;
                let Some(group) = self.footer.metadata().row_groups().get(self.next_group) else {
                    return Ok(None);
                };
                let rows = rows_at_a_time(group, &self.columns, self.size);
                let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
                    self.file.try_clone()?,
                    self.footer.clone(),
                );
                let reader = reader
                    .with_row_groups(vec![self.next_group])
                    .with_projection(self.columns.clone())
                    .with_batch_size(rows);
                self.group = Some(reader.build()?);
                self.next_group += 1;
            }
        })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(ArrowError::from).transpose()
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.footer.schema().clone()
    }
}

/// How many rows of a group make a batch: fewer where they are large.
fn rows_at_a_time(group: &RowGroupMetaData, columns: &ProjectionMask, size: Size) -> usize {
    let read = group.columns().iter().enumerate().filter(|(at, _)| columns.leaf_included(*at));
    let bytes: i64 = read.map(|(_, column)| column.uncompressed_size()).sum();
    let of_row = usize::try_from(bytes / group.num_rows().max(1)).unwrap_or_default();
    (size.bytes / of_row.max(1)).clamp(1, size.rows.max(1))
}

/// A reader of damaged bytes may panic: that is an error like any other.
fn unharmed<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("its bytes contradict each other".to_owned())))
}
