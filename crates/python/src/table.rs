//! The result table: a batch as Arrow columns. Nulls, never placeholders.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int16Builder, Int64Builder, LargeBinaryBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use hurtle_engine::{Batch, Code, RowView, Truncated};

use crate::lists::{HeaderLists, Redirects, Texts, headers_type, redirects_type};
use crate::shown::{phases, text_of_header, version_text};

/// The version of the table's format, in the metadata of every schema.
const VERSION: &str = "1";

/// What the caller gave for rows beyond their URL, by index.
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

static PLAIN: LazyLock<SchemaRef> = LazyLock::new(|| schema_with(Texts::Plain));
static DISTINCT: LazyLock<SchemaRef> = LazyLock::new(|| schema_with(Texts::Distinct));

fn schema_with(texts: Texts) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("index", DataType::Int64, false),
        ("id", DataType::Utf8, false),
        ("meta", DataType::Utf8, true),
        ("method", DataType::Utf8, false),
        ("url", DataType::Utf8, false),
        ("final_url", DataType::Utf8, false),
        ("redirects", redirects_type(), false),
        ("ok", DataType::Boolean, false),
        ("status", DataType::Int16, true),
        ("error", DataType::Utf8, true),
        ("error_detail", DataType::Utf8, true),
        ("attempts", DataType::Int16, false),
        ("throttled", DataType::Int16, true),
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
        ("headers", headers_type(texts), false),
        ("content_type", DataType::Utf8, true),
        ("content_encoding", DataType::Utf8, true),
        ("encoding_left", DataType::Utf8, true),
        ("body_encoding", DataType::Utf8, true),
        ("bytes_wire", DataType::Int64, false),
        ("bytes_body", DataType::Int64, false),
        ("body", DataType::LargeBinary, true),
        ("truncated", DataType::Utf8, true),
    ];
    let fields: Vec<_> =
        columns.into_iter().map(|(name, kind, nullable)| Field::new(name, kind, nullable)).collect();
    let metadata = HashMap::from([("hurtle.table_version".to_owned(), VERSION.to_owned())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// The table's schema.
pub(crate) fn schema(texts: Texts) -> SchemaRef {
    Arc::clone(match texts {
        Texts::Plain => &PLAIN,
        Texts::Distinct => &DISTINCT,
    })
}

/// The rows of one batch as columns.
///
/// # Errors
/// More than 2 GiB of text in one batch.
pub(crate) fn record_batch(batch: &Batch, labels: &Labels) -> Result<RecordBatch, ArrowError> {
    let bodies = batch.iter().map(|view| view.body().len()).sum();
    let mut columns = Columns::with_capacity(batch.len(), bodies);
    columns.append(batch, labels);
    columns.finish(Texts::Plain)
}

/// The first value of a header, as text.
pub(crate) fn header<'a>(view: &RowView<'a>, wanted: &str) -> Option<Cow<'a, str>> {
    view.headers().find(|(name, _)| *name == wanted).map(|(_, value)| text_of_header(value))
}

/// The body, as far as it is in memory. Only a response has one; without a response it is null, which is not the same as
/// empty.
pub(crate) fn body_of(view: RowView<'_>) -> Option<&[u8]> {
    (view.row.status.is_some() && view.row.file().is_none()).then(|| view.body())
}

/// Columns that grow batch by batch.
///
/// A row is read once and written to every column while it is in the CPU cache; one pass per column would read it
/// thirty times.
#[derive(Debug)]
pub(crate) struct Columns {
    index: Int64Builder,
    id: StringBuilder,
    meta: StringBuilder,
    method: StringBuilder,
    url: StringBuilder,
    final_url: StringBuilder,
    redirects: Redirects,
    ok: BooleanBuilder,
    status: Int16Builder,
    error: StringBuilder,
    error_detail: StringBuilder,
    attempts: Int16Builder,
    throttled: Int16Builder,
    fetched_at: TimestampMicrosecondBuilder,
    phases: [Float64Builder; 7],
    http_version: StringBuilder,
    remote_ip: Addresses,
    conn_reused: BooleanBuilder,
    headers: HeaderLists,
    content_type: StringBuilder,
    content_encoding: StringBuilder,
    encoding_left: StringBuilder,
    body_encoding: StringBuilder,
    bytes_wire: Int64Builder,
    bytes_body: Int64Builder,
    body: LargeBinaryBuilder,
    truncated: StringBuilder,
}

impl Columns {
    /// Columns with room for this many rows, and this many bytes of bodies in total.
    pub(crate) fn with_capacity(rows: usize, bodies: usize) -> Self {
        let texts = || StringBuilder::with_capacity(rows, 0);
        let integers = || Int64Builder::with_capacity(rows);
        Self {
            index: integers(),
            id: texts(),
            meta: texts(),
            method: texts(),
            url: texts(),
            final_url: texts(),
            redirects: Redirects::with_capacity(rows),
            ok: BooleanBuilder::with_capacity(rows),
            status: Int16Builder::with_capacity(rows),
            error: texts(),
            error_detail: texts(),
            attempts: Int16Builder::with_capacity(rows),
            throttled: Int16Builder::with_capacity(rows),
            fetched_at: TimestampMicrosecondBuilder::with_capacity(rows),
            phases: std::array::from_fn(|_| Float64Builder::with_capacity(rows)),
            http_version: texts(),
            remote_ip: Addresses { column: texts(), last: None },
            conn_reused: BooleanBuilder::with_capacity(rows),
            headers: HeaderLists::with_capacity(rows),
            content_type: texts(),
            content_encoding: texts(),
            encoding_left: texts(),
            body_encoding: texts(),
            bytes_wire: integers(),
            bytes_body: integers(),
            body: LargeBinaryBuilder::with_capacity(rows, bodies),
            truncated: texts(),
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Appends rows.
    fn append(&mut self, batch: &Batch, labels: &Labels) {
        for view in batch.iter() {
            self.append_row(view, labels, true);
        }
    }

    /// Appends a row, with or without its body.
    pub(crate) fn append_row(&mut self, view: RowView<'_>, labels: &Labels, with_body: bool) {
        self.append_request(view, labels);
        self.append_course(view);
        self.append_response(view, with_body);
    }

    fn append_request(&mut self, view: RowView<'_>, labels: &Labels) {
        let index = view.row.index;
        self.index.append_value(signed(index));
        match labels.id(index) {
            Some(id) => self.id.append_value(id),
            None => append_shown(&mut self.id, index),
        }
        self.meta.append_option(labels.meta(index));
        self.method.append_value(view.row.method.as_str());
        self.url.append_value(view.url());
        self.final_url.append_value(view.final_url());
        self.redirects.append(view.row.extra.as_ref().map(|extra| extra.hops.as_slice()).unwrap_or_default());
    }

    fn append_course(&mut self, view: RowView<'_>) {
        let row = view.row;
        self.ok.append_value(row.ok());
        self.status.append_option(row.status.map(u16::cast_signed));
        self.error.append_option(row.code.map(Code::as_str));
        // A complete response may have a remark.
        let detail = Some(view.detail()).filter(|detail| row.code.is_some() || !detail.is_empty());
        self.error_detail.append_option(detail);
        self.attempts.append_value(small(row.attempts));
        self.throttled.append_value(small(row.throttled));
        self.fetched_at.append_value(row.fetched_at_us);
        for (column, (_, seconds)) in self.phases.iter_mut().zip(phases(&row.timings)) {
            column.append_option(seconds);
        }
    }

    fn append_response(&mut self, view: RowView<'_>, with_body: bool) {
        let row = view.row;
        self.http_version.append_option(row.version.map(version_text));
        self.remote_ip.append(row.remote);
        self.conn_reused.append_value(row.conn_reused);
        self.headers.append(view.headers());
        self.content_type.append_option(self.headers.content_type());
        self.content_encoding.append_option(self.headers.content_encoding());
        self.encoding_left.append_option(view.encoding_left());
        self.body_encoding.append_option(view.body_encoding());
        self.bytes_wire.append_value(signed(row.wire_bytes));
        self.bytes_body.append_value(signed(row.body_len()));
        self.body.append_option(body_of(view).filter(|_| with_body));
        self.truncated.append_option(row.truncated.map(Truncated::as_str));
    }

    /// The rows as one batch of the table.
    ///
    /// # Errors
    /// More than 2 GiB of text.
    pub(crate) fn finish(mut self, texts: Texts) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.index.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.meta.finish()),
            Arc::new(self.method.finish()),
            Arc::new(self.url.finish()),
            Arc::new(self.final_url.finish()),
            self.redirects.finish()?,
            Arc::new(self.ok.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.error.finish()),
            Arc::new(self.error_detail.finish()),
            Arc::new(self.attempts.finish()),
            Arc::new(self.throttled.finish()),
            Arc::new(self.fetched_at.finish().with_timezone("UTC")),
        ];
        columns.extend(self.phases.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend([
            Arc::new(self.http_version.finish()) as ArrayRef,
            Arc::new(self.remote_ip.column.finish()),
            Arc::new(self.conn_reused.finish()),
            self.headers.finish(texts)?,
            Arc::new(self.content_type.finish()),
            Arc::new(self.content_encoding.finish()),
            Arc::new(self.encoding_left.finish()),
            Arc::new(self.body_encoding.finish()),
            Arc::new(self.bytes_wire.finish()),
            Arc::new(self.bytes_body.finish()),
            Arc::new(self.body.finish()),
            Arc::new(self.truncated.finish()),
        ]);
        RecordBatch::try_new(schema(texts), columns)
    }
}

fn small(count: u32) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Appends `value` as text, without a temporary string.
fn append_shown(out: &mut StringBuilder, value: impl Display) {
    // Writing to memory does not fail.
    write!(out, "{value}").unwrap_or_default();
    out.append_value("");
}

/// Peers as text. Rows that follow each other mostly have the same one, which is then formatted once.
#[derive(Debug)]
struct Addresses {
    column: StringBuilder,
    last: Option<(IpAddr, String)>,
}

impl Addresses {
    fn append(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return self.column.append_null() };
        match &self.last {
            Some((last, text)) if *last == address => self.column.append_value(text),
            _ => {
                let text = address.to_string();
                self.column.append_value(&text);
                self.last = Some((address, text));
            }
        }
    }
}
