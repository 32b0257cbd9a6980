//! The result table as JSON lines: the same keys in the same order, including nulls.

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use hurtle_engine::{Batch, Code, Headers, Hop, RowView, Truncated};
use serde::ser::{Serialize, Serializer};
use serde_json::ser::{self, Formatter};

use crate::shown::{phases, text_of_header, version_text};
use crate::table::{Labels, header};

/// One line per row; without `bodies` every body is null.
pub(crate) fn lines(batch: &Batch, labels: &Labels, bodies: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(if bodies { batch.bytes() * 2 } else { batch.len() * 1024 });
    for view in batch.iter() {
        line(&mut out, view, labels, bodies);
    }
    out
}

fn line(out: &mut Vec<u8>, view: RowView<'_>, labels: &Labels, bodies: bool) {
    let row = view.row;
    let hops: &[_] = row.extra.as_ref().map(|extra| extra.hops.as_slice()).unwrap_or_default();
    let mut object = Object::begin(out);
    object.field("index", row.index);
    object.field("id", labels.id(row.index).map_or_else(|| row.index.to_string(), str::to_owned));
    object.raw("meta", labels.meta(row.index).unwrap_or("null"));
    object.field("method", row.method.as_str());
    object.field("url", view.url());
    object.field("final_url", view.final_url());
    object.field("redirects", Redirects(hops));
    object.field("ok", row.ok());
    object.field("status", row.status);
    object.field("error", row.code.map(Code::as_str));
    // A complete response may have a remark.
    let detail = Some(view.detail()).filter(|detail| row.code.is_some() || !detail.is_empty());
    object.field("error_detail", detail);
    object.field("attempts", row.attempts);
    object.field("throttled", row.throttled);
    object.field("fetched_at", timestamp(row.fetched_at_us));
    for (name, seconds) in phases(&row.timings) {
        object.prefixed("t_", name, seconds);
    }
    object.field("http_version", row.version.map(version_text));
    object.field("remote_ip", row.remote);
    object.field("conn_reused", row.conn_reused);
    object.field("headers", HeaderList(view.headers()));
    object.field("content_type", header(&view, "content-type"));
    object.field("content_encoding", header(&view, "content-encoding"));
    object.field("encoding_left", view.encoding_left());
    object.field("body_encoding", view.body_encoding());
    object.field("bytes_wire", row.wire_bytes);
    object.field("bytes_body", row.body_len());
    match (row.status.is_some() && row.file().is_none() && bodies).then(|| std::str::from_utf8(view.body())) {
        None => object.raw("body", "null"),
        Some(Ok(text)) => object.field("body", text),
        Some(Err(_)) => object.field("body_base64", STANDARD.encode(view.body())),
    }
    object.field("truncated", row.truncated.map(Truncated::as_str));
    object.end();
}

/// ISO 8601 in UTC, to the microsecond.
fn timestamp(micros: i64) -> Option<String> {
    DateTime::from_timestamp_micros(micros).map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

struct Redirects<'a>(&'a [Hop]);

impl Serialize for Redirects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Shown<'a> {
            status: u16,
            url: &'a str,
        }
        serializer.collect_seq(self.0.iter().map(|hop| Shown { status: hop.status, url: &hop.url }))
    }
}

struct HeaderList<'a>(Headers<'a>);

impl Serialize for HeaderList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Shown<'a> {
            name: &'a str,
            value: Cow<'a, str>,
        }
        let shown = self.0.clone().map(|(name, value)| Shown { name, value: text_of_header(value) });
        serializer.collect_seq(shown)
    }
}

/// JSON in which characters that control a terminal or change the direction of its text are escaped, so that it is
/// safe to print what a server sends. Every JSON parser gets them back.
struct Inert;

impl Formatter for Inert {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_inert(writer, fragment)
    }
}

/// Writes what stands in a string of JSON, or JSON as a whole: what is escaped stands in strings only.
fn write_inert<W: ?Sized + Write>(writer: &mut W, json: &str) -> io::Result<()> {
    if harmless(json) {
        return writer.write_all(json.as_bytes());
    }
    let mut rest = json;
    while let Some((at, steering)) = rest.char_indices().find(|&(_, char)| steers(char)) {
        let (before, behind) = rest.split_at(at);
        writer.write_all(before.as_bytes())?;
        write!(writer, "\\u{:04x}", u32::from(steering))?;
        rest = behind.get(steering.len_utf8()..).unwrap_or_default();
    }
    writer.write_all(rest.as_bytes())
}

/// Whether a text cannot contain a control character: all of them come after the visible characters of ASCII.
///
/// The greatest byte is found many bytes at a time; checking each character takes ten times as long.
fn harmless(text: &str) -> bool {
    text.bytes().fold(0, u8::max) < 0x7f
}

/// DEL, the C1 controls, and the marks that change the direction of text (Unicode Standard Annex 9).
fn steers(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One JSON object on one line, written key by key: its order is the table's.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, prefix: &str, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn field(&mut self, key: &str, value: impl Serialize) {
        self.prefixed("", key, value);
    }

    fn prefixed(&mut self, prefix: &str, key: &str, value: impl Serialize) {
        self.key(prefix, key);
        let mut serializer = ser::Serializer::with_formatter(&mut *self.out, Inert);
        // Writing to memory does not fail.
        value.serialize(&mut serializer).unwrap_or_default();
    }

    /// A value that is already JSON.
    fn raw(&mut self, key: &str, json: &str) {
        self.key("", key);
        // Writing to memory does not fail.
        write_inert(&mut *self.out, json).unwrap_or_default();
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }
}
