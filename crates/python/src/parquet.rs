//! Parquet files: rows are encoded here, column by column, and files are joined without decoding them.
//!
//! The bytes go back to Python, which writes them: an output has one way to open, to sync and to fail.

mod bodies;
mod copied;
mod reader;
mod settings;
mod values;

use std::fs::File;
use std::io::{self, Cursor, Write};
use std::mem::take;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};

pub(crate) use self::reader::ParquetReader;
use crate::batch::Batch;
use crate::body;
use crate::lists::Texts;
use crate::table;

use bodies::BodyColumn;

const BODY: &str = "body";

/// Rows, but for their bodies, are encoded in pieces of so many: their memory is used again for the next piece, where that
/// of a whole row group would go back to the system and be faulted in again.
const PIECE_ROWS: usize = 512;
/// What is written is handed over in pieces of up to so many bytes, for the same reason.
const JOINED_BYTES: usize = 64 << 10;

/// A column that some runs have behind those of the table.
struct Added {
    name: String,
    values: Values,
}

enum Values {
    Text(StringBuilder),
    Integer(Int64Builder),
}

impl Added {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match &mut self.values {
            Values::Text(texts) => texts.append_option(value.extract::<Option<String>>()?),
            Values::Integer(integers) => integers.append_option(value.extract()?),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Text(texts) => Arc::new(texts.finish()),
            Values::Integer(integers) => Arc::new(integers.finish()),
        }
    }
}

/// A file that is being written, and the rows of its next row group.
struct Open {
    writer: SerializedFileWriter<Written>,
    /// What is encoded: header texts are in dictionaries, which no reader sees.
    schema: SchemaRef,
    rows: table::Columns,
    added: Vec<Added>,
    bodies: BodyColumn,
    /// The row group that is being encoded, and how many rows it has.
    group: Vec<ArrowColumnWriter>,
    in_group: usize,
}

/// What was written, in the pieces in which it came; small ones are joined.
#[derive(Default)]
struct Written(Vec<Vec<u8>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.last_mut() {
            Some(last) if last.len() + bytes.len() <= JOINED_BYTES => last.extend_from_slice(bytes),
            _ => self.0.push(bytes.to_vec()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Parquet file in the making: takes rows, and returns the bytes that come next in the file, in pieces.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct ParquetFile {
    open: Mutex<Open>,
}

#[pymethods]
impl ParquetFile {
    /// `added`: name, kind ("text" or "integer") and whether it may be null, of each column behind those of the table.
    #[new]
    fn new(added: Vec<(String, String, bool)>, compression: &str) -> PyResult<Self> {
        let added = added.into_iter().map(|(name, kind, nullable)| {
            let kind = if kind == "integer" { DataType::Int64 } else { DataType::Utf8 };
            Arc::new(Field::new(name, kind, nullable))
        });
        let added: Vec<_> = added.collect();
        let with = |texts| {
            let base = table::schema(texts);
            let fields: Vec<_> = base.fields().iter().chain(&added).cloned().collect();
            Arc::new(Schema::new_with_metadata(fields, base.metadata().clone()))
        };
        let open = Open::new(&with(Texts::Plain), with(Texts::Distinct), compression);
        Ok(Self { open: Mutex::new(open.map_err(|error| raised(&error))?) })
    }

    /// Begin a file with the columns of another one.
    #[staticmethod]
    fn like(path: PathBuf, compression: &str) -> PyResult<Self> {
        let file = File::open(path)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| raised(&error))?;
        let schema = builder.schema();
        let open = Open::new(schema, Arc::clone(schema), compression);
        Ok(Self { open: Mutex::new(open.map_err(|error| raised(&error))?) })
    }

    /// How many rows wait for the next row group.
    fn __len__(&self) -> usize {
        let open = self.open();
        open.in_group + open.rows.len()
    }

    /// Add rows to the next row group: some of a batch, by their places in it, or all; with the values of the added
    /// columns, and without the bodies of those that are marked.
    #[pyo3(signature = (batch, places, added, without_body, start=0))]
    fn append(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, Batch>,
        places: Option<Vec<usize>>,
        added: &Bound<'_, PyDict>,
        without_body: Option<Vec<bool>>,
        start: usize,
    ) -> PyResult<usize> {
        let batch = batch.get();
        let labels = batch.labels(py)?;
        let rows = Arc::clone(&batch.rows);
        let places = places.unwrap_or_else(|| (0..rows.len()).collect());
        let without_body = without_body.unwrap_or_default();
        let end = start + places.len();
        let mut open = self.open();
        for column in &mut open.added {
            let values = added.get_item(&column.name)?;
            for at in start..end {
                match &values {
                    Some(values) => column.append(&values.get_item(at)?)?,
                    None => column.append(&py.None().into_bound(py))?,
                }
            }
        }
        let open = &mut *open;
        let encoded = py.detach(|| {
            for (at, place) in places.into_iter().enumerate() {
                let is_without = without_body.get(start + at).copied().unwrap_or_default();
                if let Some(view) = rows.get(place) {
                    open.rows.append_row(view, &labels, false);
                    open.bodies.append(table::body_of(view).filter(|_| !is_without))?;
                }
                // Added columns have the values of all of these rows already.
                if open.added.is_empty() {
                    open.encode_piece()?;
                }
            }
            open.encode_piece()
        });
        encoded.map_err(|error| raised(&error))?;
        Ok(end)
    }

    /// Encode the rows so far as a row group; no bytes if there are none.
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyMemoryView>>> {
        self.bytes(py, Open::flush)
    }

    /// Encode the rows of an Arrow IPC stream as a row group.
    fn write_stream<'py>(&self, py: Python<'py>, stream: &[u8]) -> PyResult<Vec<Bound<'py, PyMemoryView>>> {
        self.bytes(py, |open| {
            let reader = StreamReader::try_new(Cursor::new(stream), None)?;
            let batches = reader.collect::<Result<Vec<_>, _>>()?;
            open.encode_fitted(batches)
        })
    }

    /// Copy a row group of a file: as it is encoded there, if it has the same columns and all rows are wanted.
    ///
    /// `hidden`: one bit for each position, lowest first; it is set if the row is not wanted.
    fn copy<'py>(
        &self,
        py: Python<'py>,
        path: PathBuf,
        group: usize,
        hidden: &[u8],
    ) -> PyResult<Vec<Bound<'py, PyMemoryView>>> {
        let file = File::open(path)?;
        self.bytes(py, |open| open.copy(file, group, hidden))
    }

    /// End the file. Nothing more can be written.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyMemoryView>>> {
        self.bytes(py, |open| {
            open.flush()?;
            open.writer.finish().map(|_| ())
        })
    }
}

impl ParquetFile {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, and returns what was written.
    fn bytes<'py>(
        &self,
        py: Python<'py>,
        write: impl Send + FnOnce(&mut Open) -> Result<(), ParquetError>,
    ) -> PyResult<Vec<Bound<'py, PyMemoryView>>> {
        let written = py.detach(|| {
            let mut open = self.open();
            write(&mut open)?;
            open.writer.flush()?;
            Ok(take(open.writer.inner_mut()))
        });
        let Written(pieces) = written.map_err(|error| raised(&error))?;
        pieces.into_iter().map(|piece| body::view(py, piece.into())).collect()
    }
}

impl Open {
    /// `shown`: the Arrow types that readers find, which have no dictionaries.
    fn new(shown: &Schema, schema: SchemaRef, compression: &str) -> Result<Self, ParquetError> {
        let converter = ArrowSchemaConverter::new().with_coerce_types(true).schema_root("schema");
        let columns = converter.convert(&schema)?;
        let mut noted: Vec<_> =
            shown.metadata().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        noted.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(shown)));
        let compression = settings::compression(compression)?;
        let properties = settings::properties(compression, noted);
        let added = schema.fields().iter().skip(table::schema(Texts::Plain).fields().len());
        let added = added.map(|field| Added {
            name: field.name().clone(),
            values: match field.data_type() {
                DataType::Int64 => Values::Integer(Int64Builder::new()),
                _ => Values::Text(StringBuilder::new()),
            },
        });
        let added = added.collect();
        let writer =
            SerializedFileWriter::new(Written::default(), columns.root_schema_ptr(), Arc::new(properties))?;
        let rows = table::Columns::with_capacity(0, 0);
        let bodies = BodyColumn::new(compression);
        Ok(Self { writer, schema, rows, added, bodies, group: Vec::new(), in_group: 0 })
    }

    /// Encodes the rows so far, if they are enough for a piece.
    fn encode_piece(&mut self) -> Result<(), ParquetError> {
        if self.rows.len() >= PIECE_ROWS { self.encode_rows() } else { Ok(()) }
    }

    fn encode_rows(&mut self) -> Result<(), ParquetError> {
        let count = self.rows.len();
        // The next piece is likely as long: memory that grows by doubling is copied each time.
        let next = table::Columns::with_capacity(count, 0);
        let rows = std::mem::replace(&mut self.rows, next);
        let (_, mut columns, _) = rows.finish(Texts::Distinct)?.into_parts();
        columns.extend(self.added.iter_mut().map(Added::finish));
        let schema = Arc::clone(&self.schema);
        self.encode(&schema, columns.into_iter().map(|column| vec![column]))?;
        self.in_group += count;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows.len() > 0 {
            self.encode_rows()?;
        }
        self.end_group()
    }

    /// Encodes columns, each in pieces, behind what the row group has so far. A column is dropped when it is encoded.
    fn encode(
        &mut self,
        schema: &SchemaRef,
        columns: impl Iterator<Item = Vec<ArrayRef>>,
    ) -> Result<(), ParquetError> {
        if self.group.is_empty() {
            let factory = ArrowRowGroupWriterFactory::new(&self.writer, Arc::clone(schema));
            self.group = factory.create_column_writers(self.writer.flushed_row_groups().len())?;
        }
        let mut first = 0;
        for (field, pieces) in schema.fields().iter().zip(columns) {
            let mut leaves = 0;
            if field.name() == BODY && !self.bodies.is_empty() {
                first += 1;
                continue;
            }
            for piece in pieces {
                leaves = 0;
                for leaf in compute_leaves(field, &piece)? {
                    if let Some(writer) = self.group.get_mut(first + leaves) {
                        writer.write(&leaf)?;
                    }
                    leaves += 1;
                }
            }
            first += leaves;
        }
        Ok(())
    }

    /// Writes the row group that was encoded, if there is one.
    fn end_group(&mut self) -> Result<(), ParquetError> {
        self.in_group = 0;
        let writers = take(&mut self.group);
        if writers.is_empty() {
            return Ok(());
        }
        let columns = self.writer.schema_descr().columns().to_vec();
        let mut group = self.writer.next_row_group()?;
        for (column, writer) in columns.into_iter().zip(writers) {
            if column.path().parts() == [BODY] && !self.bodies.is_empty() {
                let (pages, close) = self.bodies.finish(column)?;
                group.append_column(&pages, close)?;
            } else {
                writer.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// Encodes batches, whose columns may be fewer, as a row group.
    fn encode_fitted(&mut self, batches: Vec<RecordBatch>) -> Result<(), ParquetError> {
        let Some(first) = batches.first() else { return Ok(()) };
        let found = first.schema();
        let fields = self.schema.fields().iter().map(|field| {
            found.column_with_name(field.name()).map_or_else(
                || Arc::new(plain(field).with_nullable(true)),
                |(_, found)| Arc::new(found.clone().with_nullable(field.is_nullable())),
            )
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns: Vec<Vec<ArrayRef>> = schema
            .fields()
            .iter()
            .map(|field| {
                let of = |batch: &RecordBatch| match batch.column_by_name(field.name()) {
                    Some(column) => Arc::clone(column),
                    None => new_null_array(field.data_type(), batch.num_rows()),
                };
                batches.iter().map(of).collect()
            })
            .collect();
        drop(batches);
        self.encode(&schema, columns.into_iter())?;
        self.end_group()
    }
}

/// The field with the type that readers find.
fn plain(field: &Field) -> Field {
    let known = table::schema(Texts::Plain);
    known.field_with_name(field.name()).unwrap_or(field).clone()
}

/// A Parquet error as Python sees it: a file that cannot be read is not a file that is damaged.
fn raised(error: &ParquetError) -> PyErr {
    if let ParquetError::External(cause) = error
        && let Some(cause) = cause.downcast_ref::<io::Error>()
        && let Some(code) = cause.raw_os_error()
    {
        return PyOSError::new_err((code, cause.to_string()));
    }
    PyValueError::new_err(error.to_string())
}
