//! The result table: a batch as Arrow columns. Nulls, never placeholders.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int16Builder, Int64Builder, LargeBinaryBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Int16Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use hurtle_engine::{Batch, Code, Hop, Row, RowView, Truncated};

use crate::response::{phases, text_of_header, version_text};

/// The version of the table, in the metadata of every schema.
const VERSION: &str = "1";

/// What the caller said of rows beyond their URL, by index.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    by_index: HashMap<u64, (Option<String>, Option<String>)>,
}

impl Labels {
    pub(crate) fn add(&mut self, index: u64, id: Option<String>, meta: Option<String>) {
        self.by_index.insert(index, (id, meta));
    }

    /// The caller's id, if there is one.
    pub(crate) fn id(&self, index: u64) -> Option<&str> {
        self.by_index.get(&index)?.0.as_deref()
    }

    /// The caller's passthrough as JSON, if there is some.
    pub(crate) fn meta(&self, index: u64) -> Option<&str> {
        self.by_index.get(&index)?.1.as_deref()
    }
}

static HOP_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new("url", DataType::Utf8, false), Field::new("status", DataType::Int16, false)])
});

static HEADER_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)])
});

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let list = |fields: &Fields| DataType::new_list(DataType::Struct(fields.clone()), false);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("index", DataType::Int64, false),
        ("id", DataType::Utf8, false),
        ("meta", DataType::Utf8, true),
        ("method", DataType::Utf8, false),
        ("url", DataType::Utf8, false),
        ("final_url", DataType::Utf8, false),
        ("redirects", list(&HOP_FIELDS), false),
        ("ok", DataType::Boolean, false),
        ("status", DataType::Int16, true),
        ("error", DataType::Utf8, true),
        ("error_detail", DataType::Utf8, true),
        ("attempts", DataType::Int16, false),
        ("fetched_at", time, false),
        ("t_queue", DataType::Float64, true),
        ("t_dns", DataType::Float64, true),
        ("t_connect", DataType::Float64, true),
        ("t_tls", DataType::Float64, true),
        ("t_first_byte", DataType::Float64, true),
        ("t_body", DataType::Float64, true),
        ("t_total", DataType::Float64, true),
        ("http_version", DataType::Utf8, true),
        ("remote_ip", DataType::Utf8, true),
        ("conn_reused", DataType::Boolean, false),
        ("headers", list(&HEADER_FIELDS), false),
        ("content_type", DataType::Utf8, true),
        ("content_encoding", DataType::Utf8, true),
        ("bytes_wire", DataType::Int64, false),
        ("bytes_body", DataType::Int64, false),
        ("body", DataType::LargeBinary, true),
        ("truncated", DataType::Utf8, true),
    ];
    let fields: Vec<_> =
        columns.into_iter().map(|(name, kind, nullable)| Field::new(name, kind, nullable)).collect();
    let metadata = HashMap::from([("hurtle.table_version".to_owned(), VERSION.to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
});

/// The table's schema.
pub(crate) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The rows of `batch` as columns.
///
/// # Errors
/// More than 2 GiB of text in one batch.
pub(crate) fn record_batch(batch: &Batch, labels: &Labels) -> Result<RecordBatch, ArrowError> {
    let t_columns =
        (0..7).map(|phase| floats(batch, |row| phases(&row.timings).get(phase).and_then(|&(_, t)| t)));
    let mut columns: Vec<ArrayRef> = vec![
        integers(batch, |view| view.row.index),
        texts(batch, |view, out| match labels.id(view.row.index) {
            Some(id) => out.append_value(id),
            None => out.append_value(view.row.index.to_string()),
        }),
        texts(batch, |view, out| out.append_option(labels.meta(view.row.index))),
        texts(batch, |view, out| out.append_value(view.row.method.as_str())),
        texts(batch, |view, out| out.append_value(view.url())),
        texts(batch, |view, out| out.append_value(view.final_url())),
        redirects(batch)?,
        booleans(batch, Row::ok),
        statuses(batch),
        texts(batch, |view, out| out.append_option(view.row.code.map(Code::as_str))),
        texts(batch, |view, out| {
            // A response may be whole and leave something to say.
            let detail = view.detail();
            out.append_option((view.row.code.is_some() || !detail.is_empty()).then_some(detail));
        }),
        attempts(batch),
        fetched_at(batch),
    ];
    columns.extend(t_columns);
    columns.extend([
        texts(batch, |view, out| out.append_option(view.row.version.map(version_text))),
        texts(batch, |view, out| out.append_option(view.row.remote.map(|address| address.to_string()))),
        booleans(batch, |row| row.conn_reused),
        headers(batch)?,
        texts(batch, |view, out| out.append_option(header(&view, "content-type"))),
        texts(batch, |view, out| out.append_option(header(&view, "content-encoding"))),
        integers(batch, |view| view.row.wire_bytes),
        integers(batch, |view| view.body().len() as u64),
        bodies(batch),
        texts(batch, |view, out| out.append_option(view.row.truncated.map(Truncated::as_str))),
    ]);
    RecordBatch::try_new(schema(), columns)
}

/// The first value of a header, as text.
pub(crate) fn header<'a>(view: &RowView<'a>, wanted: &str) -> Option<std::borrow::Cow<'a, str>> {
    view.headers().find(|(name, _)| *name == wanted).map(|(_, value)| text_of_header(value))
}

fn integers(batch: &Batch, value: impl Fn(RowView<'_>) -> u64) -> ArrayRef {
    let mut out = Int64Builder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_value(i64::try_from(value(view)).unwrap_or(i64::MAX)));
    Arc::new(out.finish())
}

fn texts(batch: &Batch, append: impl Fn(RowView<'_>, &mut StringBuilder)) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(batch.len(), 0);
    batch.iter().for_each(|view| append(view, &mut out));
    Arc::new(out.finish())
}

fn booleans(batch: &Batch, value: impl Fn(&Row) -> bool) -> ArrayRef {
    let mut out = BooleanBuilder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_value(value(view.row)));
    Arc::new(out.finish())
}

fn floats(batch: &Batch, value: impl Fn(&Row) -> Option<f64>) -> ArrayRef {
    let mut out = Float64Builder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_option(value(view.row)));
    Arc::new(out.finish())
}

fn statuses(batch: &Batch) -> ArrayRef {
    let mut out = Int16Builder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_option(view.row.status.map(u16::cast_signed)));
    Arc::new(out.finish())
}

fn attempts(batch: &Batch) -> ArrayRef {
    let mut out = Int16Builder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_value(i16::try_from(view.row.attempts).unwrap_or(i16::MAX)));
    Arc::new(out.finish())
}

fn fetched_at(batch: &Batch) -> ArrayRef {
    let mut out = TimestampMicrosecondBuilder::with_capacity(batch.len());
    batch.iter().for_each(|view| out.append_value(view.row.fetched_at_us));
    Arc::new(out.finish().with_timezone("UTC"))
}

fn bodies(batch: &Batch) -> ArrayRef {
    let bytes = batch.iter().map(|view| view.body().len()).sum();
    let mut out = LargeBinaryBuilder::with_capacity(batch.len(), bytes);
    for view in batch.iter() {
        // A body is what a response has; without one there is none, which is not the same as an empty one.
        out.append_option(view.row.status.map(|_| view.body()));
    }
    Arc::new(out.finish())
}

fn redirects(batch: &Batch) -> Result<ArrayRef, ArrowError> {
    let hops = |view: RowView<'_>| -> Vec<Hop> {
        view.row.extra.as_ref().map(|extra| extra.hops.clone()).unwrap_or_default()
    };
    let per_row: Vec<Vec<Hop>> = batch.iter().map(hops).collect();
    let all = || per_row.iter().flatten();
    let urls = StringArray::from_iter_values(all().map(|hop| &*hop.url));
    let statuses = Int16Array::from_iter_values(all().map(|hop| hop.status.cast_signed()));
    list(&HOP_FIELDS, vec![Arc::new(urls), Arc::new(statuses)], per_row.iter().map(Vec::len))
}

fn headers(batch: &Batch) -> Result<ArrayRef, ArrowError> {
    let (mut names, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(batch.len());
    for view in batch.iter() {
        let mut length = 0;
        for (name, value) in view.headers() {
            names.append_value(name);
            values.append_value(text_of_header(value));
            length += 1;
        }
        lengths.push(length);
    }
    list(&HEADER_FIELDS, vec![Arc::new(names.finish()), Arc::new(values.finish())], lengths.into_iter())
}

/// A column of lists: `columns` hold the elements of all rows, `lengths` how many each row has.
fn list(
    fields: &Fields,
    columns: Vec<ArrayRef>,
    lengths: impl Iterator<Item = usize>,
) -> Result<ArrayRef, ArrowError> {
    let mut end = 0_i32;
    let ends = lengths.map(|length| {
        end = end.saturating_add(i32::try_from(length).unwrap_or(i32::MAX));
        end
    });
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let elements = StructArray::try_new(fields.clone(), columns, None)?;
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(elements), None)?))
}
