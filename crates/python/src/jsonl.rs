//! The result table as JSON lines: the same keys in the same order, including nulls.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use hurtle_engine::{Batch, Code, Headers, Hop, RowView, Truncated};
use serde::ser::{Serialize, Serializer};

use crate::json_text::{Inert, push_inert, push_string, to_json};
use crate::shown::{phases, text_of_header, version_text};
use crate::table::{Labels, header};

/// One line per row; without `bodies` every body is null.
pub(crate) fn lines(batch: &Batch, labels: &Labels, bodies: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(if bodies { batch.bytes() * 2 } else { batch.len() * 1024 });
    let mut lines = Lines { out: &mut out, headers: b"", shown: 0..0, instants: Instants::default() };
    for view in batch.iter() {
        lines.push(view, labels, bodies);
    }
    out
}

/// Lines, and what most of them share with the one before.
struct Lines<'a, 'b> {
    out: &'a mut Vec<u8>,
    /// The headers of the row before, and where their JSON is.
    headers: &'b [u8],
    shown: Range<usize>,
    instants: Instants,
}

impl<'b> Lines<'_, 'b> {
    fn push(&mut self, view: RowView<'b>, labels: &Labels, bodies: bool) {
        let row = view.row;
        let hops: &[_] = row.extra.as_ref().map(|extra| extra.hops.as_slice()).unwrap_or_default();
        self.value("{\"index\":", row.index);
        if let Some(id) = labels.id(row.index) {
            self.text(",\"id\":", Some(id));
        } else {
            self.value(",\"id\":\"", row.index);
            self.raw("\"");
        }
        self.raw(",\"meta\":");
        push_inert(self.out, labels.meta(row.index).unwrap_or("null"));
        self.text(",\"method\":", Some(row.method.as_str()));
        self.text(",\"url\":", Some(view.url()));
        self.text(",\"final_url\":", Some(view.final_url()));
        self.value(",\"redirects\":", Redirects(hops));
        self.value(",\"ok\":", row.ok());
        self.value(",\"status\":", row.status);
        self.text(",\"error\":", row.code.map(Code::as_str));
        // A complete response may have a remark.
        let detail = Some(view.detail()).filter(|detail| row.code.is_some() || !detail.is_empty());
        self.text(",\"error_detail\":", detail);
        self.value(",\"attempts\":", row.attempts);
        self.value(",\"throttled\":", row.throttled);
        self.raw(",\"fetched_at\":");
        match self.instants.shown(row.fetched_at_us) {
            Some(instant) => {
                self.out.push(b'"');
                self.out.extend_from_slice(instant.as_bytes());
                self.out.push(b'"');
            }
            None => self.raw("null"),
        }
        for (name, seconds) in phases(&row.timings) {
            self.raw(",\"t_");
            self.raw(name);
            self.value("\":", seconds);
        }
        self.text(",\"http_version\":", row.version.map(version_text));
        self.value(",\"remote_ip\":", row.remote);
        self.value(",\"conn_reused\":", row.conn_reused);
        self.headers(view.headers());
        self.text(",\"content_type\":", header(&view, "content-type").as_deref());
        self.text(",\"content_encoding\":", header(&view, "content-encoding").as_deref());
        self.text(",\"encoding_left\":", view.encoding_left());
        self.text(",\"body_encoding\":", view.body_encoding());
        self.value(",\"bytes_wire\":", row.wire_bytes);
        self.value(",\"bytes_body\":", row.body_len());
        match (row.status.is_some() && row.file().is_none() && bodies)
            .then(|| std::str::from_utf8(view.body()))
        {
            None => self.raw(",\"body\":null"),
            Some(Ok(text)) => self.text(",\"body\":", Some(text)),
            Some(Err(_)) => {
                self.raw(",\"body_base64\":\"");
                self.raw(&STANDARD.encode(view.body()));
                self.raw("\"");
            }
        }
        self.text(",\"truncated\":", row.truncated.map(Truncated::as_str));
        self.raw("}\n");
    }

    fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A key as JSON, with what comes before it, and a text.
    fn text(&mut self, key: &str, text: Option<&str>) {
        self.raw(key);
        match text {
            Some(text) => push_string(self.out, text),
            None => self.raw("null"),
        }
    }

    fn value(&mut self, key: &str, value: impl Serialize) {
        self.raw(key);
        to_json(self.out, Inert, &value);
    }

    /// The headers, which are mostly those of the row before.
    fn headers(&mut self, headers: Headers<'b>) {
        self.raw(",\"headers\":");
        let (block, start) = (headers.as_bytes(), self.out.len());
        if block == self.headers && !self.shown.is_empty() {
            self.out.extend_from_within(self.shown.clone());
        } else {
            to_json(self.out, Inert, &HeaderList(headers));
            self.headers = block;
        }
        self.shown = start..self.out.len();
    }
}

/// Instants in ISO 8601 in UTC, to the microsecond. Those that follow each other mostly differ only in these.
#[derive(Default)]
pub(crate) struct Instants {
    second: i64,
    text: String,
}

impl Instants {
    /// The instant, in microseconds since 1970; None: there is no such date.
    pub(crate) fn shown(&mut self, micros: i64) -> Option<&str> {
        const DIGITS: usize = "000000Z".len();
        let second = micros.div_euclid(1_000_000);
        if self.text.is_empty() || second != self.second {
            self.text.clear();
            self.text = DateTime::from_timestamp(second, 0)?.to_rfc3339_opts(SecondsFormat::Micros, true);
            self.second = second;
        }
        self.text.truncate(self.text.len().saturating_sub(DIGITS));
        let mut rest = micros.rem_euclid(1_000_000);
        let mut place = 100_000;
        while place > 0 {
            self.text.push(char::from(b'0' + (rest / place) as u8));
            rest %= place;
            place /= 10;
        }
        self.text.push('Z');
        Some(&self.text)
    }
}

/// Redirects, as a list of objects.
pub(crate) struct Redirects<'a>(pub(crate) &'a [Hop]);

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

/// Headers, as a list of objects.
pub(crate) struct HeaderList<'a>(pub(crate) Headers<'a>);

impl Serialize for HeaderList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Shown<'a> {
            name: &'a str,
            value: std::borrow::Cow<'a, str>,
        }
        let shown = self.0.clone().map(|(name, value)| Shown { name, value: text_of_header(value) });
        serializer.collect_seq(shown)
    }
}
