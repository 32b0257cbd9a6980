//! Finished rows in columns of fixed width, their bytes in one arena.
//!
//! A row's bytes are contiguous: URL, final URL, reason, error detail, headers, body. So a row leaves its batch with
//! one copy, and a batch can be reused. Bodies from `OWN_BODY` up keep a buffer of their own.

use std::mem::size_of;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};

use crate::error::Code;
use crate::headers::{HeaderBlock, Headers};
use crate::outcome::{AttemptEnd, AttemptRecord, Exchange, Hop, Truncated};
use crate::spool::BodyFile;
use crate::timings::Timings;

/// A body of this size or more moves into its row without a copy.
const OWN_BODY: usize = 4 << 10;
/// Arenas kept for reuse, and the largest that is kept.
const KEPT_ARENAS: usize = 8;
const KEPT_ARENA_BYTES: usize = 2 << 20;

/// What only few rows have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Redirects that were followed, in order.
    pub hops: Vec<Hop>,
    /// Every attempt but the last, in order.
    pub earlier: Vec<AttemptRecord>,
    /// The bytes sent and received in the last attempt, redirects first; empty unless the job keeps them.
    pub exchanges: Vec<Exchange>,
    /// The content codings that are still on the body, and stay there.
    pub encoding_left: Option<Box<str>>,
    /// The content codings that are still on the body, and are undone when it is read.
    pub body_encoding: Option<Box<str>>,
    /// The body, if it is on the disk.
    pub file: Option<Arc<BodyFile>>,
}

impl Extra {
    /// Whether the row has anything of it.
    pub(crate) fn is_needed(&self) -> bool {
        let Self { hops, earlier, exchanges, encoding_left, body_encoding, file } = self;
        let is_plain = hops.is_empty() && earlier.is_empty() && exchanges.is_empty();
        !is_plain || encoding_left.is_some() || body_encoding.is_some() || file.is_some()
    }
}

/// The fixed part of a row; the variable part is in the arena.
#[derive(Clone, Debug)]
pub struct Row {
    /// Position in the input.
    pub index: u64,
    /// Status, if a response came.
    pub status: Option<u16>,
    /// Why there is no whole response.
    pub code: Option<Code>,
    /// The phase in which the request failed, unless it was refused before it started.
    pub phase: Option<&'static str>,
    /// The method of the request.
    pub method: Method,
    /// Attempts, including the first; 0 when nothing was sent.
    pub attempts: u32,
    /// Attempts that its host refused.
    pub throttled: u32,
    /// From the first refusal to the last attempt; None: it was sent again after none.
    pub throttled_for: Option<Duration>,
    /// What is known of the last attempt.
    pub end: AttemptEnd,
    /// HTTP version of the response.
    pub version: Option<Version>,
    /// The peer.
    pub remote: Option<IpAddr>,
    /// Whether the connection had served an earlier request.
    pub conn_reused: bool,
    /// It repeats the answer of another row's request: nothing was sent for it.
    pub is_copy: bool,
    /// Why the body is a prefix.
    pub truncated: Option<Truncated>,
    /// Start of the last attempt, microseconds since 1970-01-01 UTC.
    pub fetched_at_us: i64,
    /// Wait before the last attempt, microseconds.
    pub wait_us: u64,
    /// Phases of the last attempt.
    pub timings: Timings,
    /// Bytes of the body as received, before decoding.
    pub wire_bytes: u64,
    /// Redirects and earlier attempts.
    pub extra: Option<Box<Extra>>,
    own_body: Option<Bytes>,
    start: u32,
    url_end: u32,
    final_url_end: u32,
    reason_end: u32,
    detail_end: u32,
    headers_end: u32,
    body_end: u32,
}

impl Row {
    /// The response is complete and its status is below 400.
    pub fn ok(&self) -> bool {
        self.code.is_none() && self.truncated.is_none() && self.status.is_some_and(|status| status < 400)
    }

    /// How much of the body is in memory, decoded.
    pub fn body_in_memory(&self) -> usize {
        self.own_body.as_ref().map_or((self.body_end - self.headers_end) as usize, Bytes::len)
    }

    /// The body's length, decoded.
    pub fn body_len(&self) -> u64 {
        self.file().map_or(self.body_in_memory() as u64, |file| file.bytes())
    }

    /// The body, if it is on the disk.
    pub fn file(&self) -> Option<&Arc<BodyFile>> {
        self.extra.as_ref()?.file.as_ref()
    }
}

/// The bytes of a row before they are laid out.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) url: &'a str,
    pub(crate) final_url: &'a str,
    pub(crate) reason: &'a [u8],
    pub(crate) detail: &'a str,
    pub(crate) headers: Option<&'a HeaderBlock>,
    pub(crate) body: Bytes,
}

impl Row {
    /// A row with its request and nothing else.
    pub(crate) fn new(index: u64, method: Method) -> Self {
        Self {
            index,
            status: None,
            code: None,
            phase: None,
            method,
            attempts: 0,
            throttled: 0,
            throttled_for: None,
            end: AttemptEnd::Unsent,
            version: None,
            remote: None,
            conn_reused: false,
            is_copy: false,
            truncated: None,
            fetched_at_us: 0,
            wait_us: 0,
            timings: Timings::default(),
            wire_bytes: 0,
            extra: None,
            own_body: None,
            start: 0,
            url_end: 0,
            final_url_end: 0,
            reason_end: 0,
            detail_end: 0,
            headers_end: 0,
            body_end: 0,
        }
    }
}

/// A row with its bytes, in a batch or detached.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    /// The fixed part.
    pub row: &'a Row,
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> RowView<'a> {
    fn part(&self, from: u32, to: u32) -> &'a [u8] {
        self.head.get(from as usize..to as usize).unwrap_or_default()
    }

    fn text(&self, from: u32, to: u32) -> &'a str {
        std::str::from_utf8(self.part(from, to)).unwrap_or_default()
    }

    /// The requested URL.
    pub fn url(&self) -> &'a str {
        self.text(0, self.row.url_end)
    }

    /// The URL after redirects.
    pub fn final_url(&self) -> &'a str {
        if self.row.final_url_end == self.row.url_end {
            return self.url();
        }
        self.text(self.row.url_end, self.row.final_url_end)
    }

    /// The reason phrase, if it is not the standard one.
    pub fn reason(&self) -> &'a [u8] {
        self.part(self.row.final_url_end, self.row.reason_end)
    }

    /// The failure as text.
    pub fn detail(&self) -> &'a str {
        self.text(self.row.reason_end, self.row.detail_end)
    }

    /// The headers in order, duplicates kept.
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.part(self.row.detail_end, self.row.headers_end))
    }

    /// The content codings that are still on the body, as Content-Encoding would list them: unknown ones, and those that
    /// were not asked for.
    pub fn encoding_left(&self) -> Option<&'a str> {
        self.row.extra.as_ref()?.encoding_left.as_deref()
    }

    /// The content codings that a job keeps on the body, as Content-Encoding would list them: `decode_body` undoes them.
    pub fn body_encoding(&self) -> Option<&'a str> {
        self.row.extra.as_ref()?.body_encoding.as_deref()
    }

    /// A large body, shared with the batch; None: it is not large, or the row has left its batch.
    pub fn large_body(&self) -> Option<Bytes> {
        self.row.own_body.clone()
    }

    /// The body, decoded; empty if it is on the disk.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// A row that has left its batch.
#[derive(Clone, Debug)]
pub struct OwnedRow {
    /// Not inline: it is moved several times on its way to Python.
    row: Box<Row>,
    head: Box<[u8]>,
}

impl OwnedRow {
    /// The fixed part.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// The row with its bytes; the body is empty, the caller keeps it elsewhere.
    pub fn view(&self) -> RowView<'_> {
        RowView { row: &self.row, head: &self.head, body: &[] }
    }
}

/// Finished rows of one job.
#[derive(Debug, Default)]
pub struct Batch {
    rows: Vec<Row>,
    arena: Vec<u8>,
    own_bytes: usize,
    recycler: Option<Arc<Recycler>>,
}

impl Batch {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory that the rows use.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.own_bytes + self.rows.len() * size_of::<Row>()
    }

    /// Memory that they use at their consumer, who gets a copy of each large body.
    pub(super) fn bytes_in_use(&self) -> usize {
        self.bytes() + self.own_bytes
    }

    /// The rows in order of completion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowView<'_>> {
        self.rows.iter().map(|row| self.view(row))
    }

    /// One row.
    pub fn get(&self, position: usize) -> Option<RowView<'_>> {
        self.rows.get(position).map(|row| self.view(row))
    }

    /// Takes a row out with a copy of everything except its body.
    pub fn detach(&self, position: usize) -> Option<OwnedRow> {
        let row = self.rows.get(position)?;
        let start = row.start as usize;
        let head = self.arena.get(start..start + row.headers_end as usize)?;
        // Without the body: cloning a large one would be wasted.
        let row =
            Box::new(Row { own_body: None, extra: row.extra.clone(), method: row.method.clone(), ..*row });
        Some(OwnedRow { row, head: head.into() })
    }

    fn view<'a>(&'a self, row: &'a Row) -> RowView<'a> {
        let (start, split) = (row.start as usize, row.headers_end as usize);
        let bytes = self.arena.get(start..start + row.body_end as usize).unwrap_or_default();
        let (head, body) = bytes.split_at_checked(split).unwrap_or_default();
        RowView { row, head, body: row.own_body.as_deref().unwrap_or(body) }
    }

    /// Lays out a row's bytes behind those already there.
    pub(crate) fn push(&mut self, mut row: Row, draft: Draft<'_>) {
        let Draft { url, final_url, reason, detail, headers, body } = draft;
        let exchanges = row.extra.iter().flat_map(|extra| &extra.exchanges);
        self.own_bytes += exchanges.map(Exchange::bytes).sum::<usize>();
        let start = self.arena.len();
        let arena = &mut self.arena;
        let mark = |arena: &Vec<u8>| u32::try_from(arena.len() - start).unwrap_or(u32::MAX);
        arena.extend_from_slice(url.as_bytes());
        row.url_end = mark(arena);
        if final_url != url {
            arena.extend_from_slice(final_url.as_bytes());
        }
        row.final_url_end = mark(arena);
        arena.extend_from_slice(reason);
        row.reason_end = mark(arena);
        arena.extend_from_slice(detail.as_bytes());
        row.detail_end = mark(arena);
        arena.extend_from_slice(headers.map_or(&[], HeaderBlock::as_bytes));
        row.headers_end = mark(arena);
        if body.len() >= OWN_BODY {
            self.own_bytes += body.len();
            row.own_body = Some(body);
        } else {
            arena.extend_from_slice(&body);
        }
        row.body_end = mark(arena);
        row.start = u32::try_from(start).unwrap_or(u32::MAX);
        self.rows.push(row);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(recycler) = self.recycler.take() {
            recycler.give_back(std::mem::take(&mut self.rows), std::mem::take(&mut self.arena));
        }
    }
}

/// Keeps the memory of used batches: fresh pages cost more than the copy into them.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    spent: Mutex<Vec<(Vec<Row>, Vec<u8>)>>,
}

impl Recycler {
    /// An empty batch, with used memory where there is some.
    pub(crate) fn batch(self: &Arc<Self>) -> Batch {
        let (rows, arena) =
            self.spent.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        Batch { rows, arena, own_bytes: 0, recycler: Some(Arc::clone(self)) }
    }

    fn give_back(&self, mut rows: Vec<Row>, mut arena: Vec<u8>) {
        if arena.capacity() > KEPT_ARENA_BYTES || arena.capacity() == 0 {
            return;
        }
        rows.clear();
        arena.clear();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() < KEPT_ARENAS {
            spent.push((rows, arena));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn push(batch: &mut Batch, index: u64, body: &[u8]) {
        let mut headers = HeaderBlock::default();
        headers.push(b"x-a", b"1");
        headers.push(b"x-a", b"\xff2");
        let draft = Draft {
            url: "http://a/1",
            final_url: if index == 0 { "http://a/1" } else { "http://b/2" },
            reason: b"Fine",
            detail: "",
            headers: Some(&headers),
            body: body.to_vec().into(),
        };
        batch.push(Row::new(index, Method::GET), draft);
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut batch = Batch::default();
        push(&mut batch, 0, b"small");
        push(&mut batch, 1, &vec![7; OWN_BODY]);
        let first = batch.get(0).unwrap();
        assert_eq!(
            (first.url(), first.final_url(), first.body()),
            ("http://a/1", "http://a/1", &b"small"[..])
        );
        let second = batch.get(1).unwrap();
        assert_eq!((second.final_url(), second.body().len()), ("http://b/2", OWN_BODY));
        let headers: Vec<_> = second.headers().collect();
        assert_eq!(headers, [("x-a", &b"1"[..]), ("x-a", &b"\xff2"[..])]);
        assert!(batch.get(2).is_none());
        assert!(batch.bytes() > OWN_BODY);
    }

    #[test]
    fn a_detached_row_needs_its_batch_no_more() {
        let mut batch = Batch::default();
        push(&mut batch, 0, b"");
        push(&mut batch, 1, b"");
        let row = batch.detach(1).unwrap();
        drop(batch);
        assert_eq!(row.view().final_url(), "http://b/2");
        assert_eq!(row.view().reason(), b"Fine");
        assert_eq!(row.view().headers().count(), 2);
    }

    #[test]
    fn spent_memory_is_used_again_and_comes_back_empty() {
        let recycler = Arc::new(Recycler::default());
        let mut batch = recycler.batch();
        push(&mut batch, 0, b"");
        let memory = batch.arena.as_ptr();
        drop(batch);
        let batch = recycler.batch();
        assert!(batch.is_empty());
        assert_eq!(batch.arena.as_ptr(), memory);
    }
}
