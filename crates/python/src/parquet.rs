//! Parquet files: rows are encoded here, column by column, and files are joined without decoding them.
//!
//! The bytes go back to Python, which writes them: an output has one way to open, to sync and to fail.

mod reader;
mod values;

use std::fs::File;
use std::io::Cursor;
use std::mem::take;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, ProjectionMask, encode_arrow_schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

pub(crate) use self::reader::ParquetReader;
use crate::batch::Batch;
use crate::lists::Texts;
use crate::table;

/// zstd's fastest level but those that compress little.
const LEVEL: i32 = 1;
/// Columns worth a dictionary: few values are different. One of bodies or URLs would be abandoned after a page anyway.
const FEW_VALUES: [&[&str]; 14] = [
    &["method"],
    &["status"],
    &["error"],
    &["http_version"],
    &["remote_ip"],
    &["content_type"],
    &["content_encoding"],
    &["encoding_left"],
    &["body_encoding"],
    &["truncated"],
    &["change"],
    &["body_run"],
    &["headers", "list", "element", "name"],
    &["headers", "list", "element", "value"],
];
/// Columns with minimum and maximum in the footer, which let a reader skip row groups.
const WITH_BOUNDS: [&str; 8] =
    ["index", "status", "error", "attempts", "fetched_at", "t_total", "t_first_byte", "bytes_body"];

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
    writer: SerializedFileWriter<Vec<u8>>,
    /// What is encoded: header texts are in dictionaries, which no reader sees.
    schema: SchemaRef,
    rows: table::Columns,
    added: Vec<Added>,
}

/// A Parquet file in the making: takes rows, and returns the bytes that come next in the file.
#[pyclass(frozen, module = "hurtle._engine")]
pub(crate) struct ParquetFile {
    open: Mutex<Open>,
}

#[pymethods]
impl ParquetFile {
    /// `added`: name, kind ("text" or "integer") and whether it may be null, of each column behind those of the table.
    #[new]
    fn new(added: Vec<(String, String, bool)>) -> PyResult<Self> {
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
        let open = Open::new(&with(Texts::Plain), with(Texts::Distinct));
        Ok(Self { open: Mutex::new(open.map_err(|error| raised(&error))?) })
    }

    /// Begin a file with the columns of another one.
    #[staticmethod]
    fn like(path: PathBuf) -> PyResult<Self> {
        let file = File::open(path)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| raised(&error))?;
        let schema = builder.schema();
        let open = Open::new(schema, Arc::clone(schema));
        Ok(Self { open: Mutex::new(open.map_err(|error| raised(&error))?) })
    }

    /// How many rows wait for the next row group.
    fn __len__(&self) -> usize {
        self.open().rows.len()
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
        let Open { rows: columns, added: own, .. } = &mut *open;
        for column in own {
            let values = added.get_item(&column.name)?;
            for at in start..end {
                match &values {
                    Some(values) => column.append(&values.get_item(at)?)?,
                    None => column.append(&py.None().into_bound(py))?,
                }
            }
        }
        py.detach(|| {
            for (at, place) in places.into_iter().enumerate() {
                let is_without = without_body.get(start + at).copied().unwrap_or_default();
                if let Some(view) = rows.get(place) {
                    columns.append_row(view, &labels, !is_without);
                }
            }
        });
        Ok(end)
    }

    /// Encode the rows so far as a row group; no bytes if there are none.
    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.bytes(py, Open::flush)
    }

    /// Encode the rows of an Arrow IPC stream as a row group.
    fn write_stream<'py>(&self, py: Python<'py>, stream: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
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
    ) -> PyResult<Bound<'py, PyBytes>> {
        let file = File::open(path)?;
        self.bytes(py, |open| open.copy(file, group, hidden))
    }

    /// End the file. Nothing more can be written.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
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
    ) -> PyResult<Bound<'py, PyBytes>> {
        let written = py.detach(|| {
            let mut open = self.open();
            write(&mut open)?;
            open.writer.flush()?;
            Ok(take(open.writer.inner_mut()))
        });
        Ok(PyBytes::new(py, &written.map_err(|error| raised(&error))?))
    }
}

impl Open {
    /// `shown`: the Arrow types that readers find, which have no dictionaries.
    fn new(shown: &Schema, schema: SchemaRef) -> Result<Self, ParquetError> {
        let converter = ArrowSchemaConverter::new().with_coerce_types(true).schema_root("schema");
        let columns = converter.convert(&schema)?;
        let mut noted: Vec<_> =
            shown.metadata().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        noted.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(shown)));
        let mut properties = WriterProperties::builder()
            .set_coerce_types(true)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_key_value_metadata(Some(noted));
        for path in FEW_VALUES {
            let path = ColumnPath::new(path.iter().map(|&part| part.to_owned()).collect());
            properties = properties.set_column_dictionary_enabled(path, true);
        }
        for name in WITH_BOUNDS {
            let path = ColumnPath::new(vec![name.to_owned()]);
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
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
            SerializedFileWriter::new(Vec::new(), columns.root_schema_ptr(), Arc::new(properties.build()))?;
        Ok(Self { writer, schema, rows: table::Columns::with_capacity(0, 0), added })
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows.len() == 0 {
            return Ok(());
        }
        // The next row group is likely as long: memory that grows by doubling is copied each time.
        let next = table::Columns::with_capacity(self.rows.len(), self.rows.body_bytes());
        let rows = std::mem::replace(&mut self.rows, next);
        let (_, mut columns, _) = rows.finish(Texts::Distinct)?.into_parts();
        columns.extend(self.added.iter_mut().map(Added::finish));
        let schema = Arc::clone(&self.schema);
        self.encode(&schema, columns.into_iter().map(|column| vec![column]))
    }

    /// Encodes columns, each in pieces, as a row group. A column is dropped when it is encoded.
    fn encode(
        &mut self,
        schema: &SchemaRef,
        columns: impl Iterator<Item = Vec<ArrayRef>>,
    ) -> Result<(), ParquetError> {
        let factory = ArrowRowGroupWriterFactory::new(&self.writer, Arc::clone(schema));
        let mut writers = factory.create_column_writers(self.writer.flushed_row_groups().len())?.into_iter();
        let mut group = self.writer.next_row_group()?;
        for (field, pieces) in schema.fields().iter().zip(columns) {
            let mut of_field = Vec::new();
            for piece in pieces {
                for (at, leaf) in compute_leaves(field, &piece)?.into_iter().enumerate() {
                    if at == of_field.len() {
                        of_field.extend(writers.next());
                    }
                    if let Some(writer) = of_field.get_mut(at) {
                        writer.write(&leaf)?;
                    }
                }
            }
            for writer in of_field {
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
        self.encode(&schema, columns.into_iter())
    }

    fn copy(&mut self, file: File, group: usize, hidden: &[u8]) -> Result<(), ParquetError> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
        let wanted =
            if hidden.is_empty() { None } else { Some(wanted_of(file.try_clone()?, group, hidden)?) };
        let (some, all) = wanted.as_ref().map_or((true, true), |wanted| {
            let count = wanted.true_count();
            (count > 0, count == wanted.len())
        });
        if !some {
            return Ok(());
        }
        if !all || metadata.file_metadata().schema_descr() != self.writer.schema_descr() {
            let rows = rows_of(&metadata, group)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_row_groups(vec![group]);
            let mut batches = reader.with_batch_size(rows).build()?.collect::<Result<Vec<_>, _>>()?;
            if let (Some(wanted), [batch]) = (&wanted, batches.as_mut_slice()) {
                *batch = filter_record_batch(batch, wanted)?;
            }
            return self.encode_fitted(batches);
        }
        let found = metadata.row_groups().get(group).ok_or_else(|| no_group(group))?;
        let mut copy = self.writer.next_row_group()?;
        for column in found.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().cast_unsigned(),
                rows_written: found.num_rows().cast_unsigned(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copy.append_column(&file, close)?;
        }
        copy.close()?;
        Ok(())
    }
}

/// Which rows of a row group are wanted, by their positions.
fn wanted_of(file: File, group: usize, hidden: &[u8]) -> Result<BooleanArray, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = rows_of(builder.metadata(), group)?;
    let index = ProjectionMask::columns(builder.parquet_schema(), ["index"]);
    let reader = builder.with_row_groups(vec![group]).with_projection(index).with_batch_size(rows).build()?;
    let mut wanted = Vec::with_capacity(rows);
    for batch in reader {
        let batch = batch?;
        let positions =
            batch.column_by_name("index").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let positions = positions.ok_or_else(|| ParquetError::General("there is no index".to_owned()))?;
        wanted.extend(positions.values().iter().map(|&position| {
            let byte = usize::try_from(position >> 3).ok().and_then(|byte| hidden.get(byte));
            byte.is_none_or(|byte| byte >> (position & 7) & 1 == 0)
        }));
    }
    Ok(BooleanArray::from(wanted))
}

/// The field with the type that readers find.
fn plain(field: &Field) -> Field {
    let known = table::schema(Texts::Plain);
    known.field_with_name(field.name()).unwrap_or(field).clone()
}

fn rows_of(metadata: &ParquetMetaData, group: usize) -> Result<usize, ParquetError> {
    let found = metadata.row_groups().get(group).ok_or_else(|| no_group(group))?;
    Ok(usize::try_from(found.num_rows()).unwrap_or_default().max(1))
}

fn no_group(group: usize) -> ParquetError {
    ParquetError::General(format!("there is no row group {group}"))
}

/// A Parquet error as Python sees it: a file that cannot be read is not a file that is damaged.
fn raised(error: &ParquetError) -> PyErr {
    if let ParquetError::External(cause) = error
        && let Some(cause) = cause.downcast_ref::<std::io::Error>()
        && let Some(code) = cause.raw_os_error()
    {
        return PyOSError::new_err((code, cause.to_string()));
    }
    PyValueError::new_err(error.to_string())
}
