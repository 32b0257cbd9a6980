//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, no handover, no buffer while it is
//! idle. A request costs one write and one read.

mod chunked;
mod head;
mod lenient;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes};
use http::Method;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

pub(crate) use self::head::{Framing, Head, Reading};
use self::head::{MAX_HEAD, Parsed, Stray};
use self::lenient::Tolerated;
use super::MAX_INTERIM;
use crate::connect::{Stream, tls_cause, tls_failure};
use crate::error::{Code, Failure};

#[cfg(any(test, feature = "fuzzing"))]
/// The parsers, which do no I/O.
pub(crate) mod fuzzing {
    pub(crate) use super::chunked::Chunked;
    pub(crate) use super::head::{Parsed, parse};
}

/// Bytes read at once, into memory that all connections of a shard share.
const SCRATCH: usize = 64 << 10;
/// Memory reserved at once for a body that declares its length: a false length must not cost more.
const MAX_RESERVE: usize = 1 << 20;
/// A body up to this size is sent in one write with its head.
const SMALL_BODY: usize = 16 << 10;
/// Memory of a request that is kept for the next.
const KEPT_REQUEST: usize = 2 << 10;

/// Memory to read into, shared by the connections of one thread: borrowed within one poll only.
#[derive(Clone)]
pub(crate) struct Scratch(Rc<RefCell<Vec<u8>>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Vec::with_capacity(SCRATCH))))
    }
}

/// A connection and its state.
pub(crate) struct H1 {
    stream: Stream,
    scratch: Scratch,
    /// Read, and not yet parsed.
    pending: Vec<u8>,
    /// The request: its head, and its body if that is small. And how much of it was written.
    request: Vec<u8>,
    written: usize,
    flushed: bool,
    /// The final response so far, as received, if that is kept.
    kept: Option<Vec<u8>>,
    /// What may follow the last response although nothing should.
    stray: Stray,
    /// The peer has closed or broken the connection.
    over: bool,
    pub(crate) remote: Option<IpAddr>,
    /// Requests it has served.
    pub(crate) served: u32,
}

/// The interim responses before a final one.
#[derive(Default)]
struct Interims {
    count: u32,
    tolerated: Tolerated,
}

/// Why there is no response head.
#[derive(Debug)]
pub(crate) struct NoHead {
    pub(crate) failure: Failure,
    /// Nothing of the request was written.
    pub(crate) unsent: bool,
    /// No byte of a response came: the connection ended, or brought what belongs to an earlier response.
    pub(crate) silence: bool,
}

impl H1 {
    pub(crate) fn new(stream: Stream, remote: Option<IpAddr>, scratch: Scratch) -> Self {
        let (pending, request) = (Vec::new(), Vec::new());
        let (written, flushed, stray, over) = (0, true, Stray::Nothing, false);
        Self {
            stream,
            scratch,
            pending,
            request,
            written,
            flushed,
            kept: None,
            stray,
            over,
            remote,
            served: 0,
        }
    }

    /// Whether it can take another request: it is open, and nothing unexpected has arrived.
    pub(crate) fn is_open(&self) -> bool {
        !self.over && self.pending.is_empty()
    }

    /// Whether it can take a request of this method. If the last response described a body that it must not have, that
    /// body may still come. In front of the next response it could pass for that response: only one to another HEAD
    /// has no body to confuse it with.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.is_open() && (*method == Method::HEAD || !matches!(self.stray, Stray::Body(_)))
    }

    /// It takes no further request: part of a body has not been read.
    pub(crate) fn give_up(&mut self) {
        self.over = true;
    }

    /// While it is idle: whether it can still be used. The task is woken when that changes.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        // Whether a response without a request arrives or the connection ends: no request may follow on it.
        if self.poll_fill(cx).is_ready() {
            self.over = true;
        }
        self.is_open()
    }

    /// Where to write the head of the next request.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.request.clear();
        self.written = 0;
        self.flushed = false;
        self.kept = None;
        &mut self.request
    }

    /// Keeps the response to the request that was begun, as received. Returns the request's head.
    pub(crate) fn keep(&mut self) -> &[u8] {
        self.kept = Some(Vec::new());
        &self.request
    }

    /// What was received since, complete or not.
    pub(crate) fn kept(&mut self) -> Option<&mut Vec<u8>> {
        self.kept.as_mut()
    }

    /// Sends the request that was begun, with `body`, and reads the head of the final response. A response that
    /// arrives before the whole request is sent counts; then the connection is not used again.
    ///
    /// # Cancel safety
    /// If it is dropped midway, the connection must not be used again.
    pub(crate) async fn response(&mut self, body: Bytes, reading: Reading) -> Result<Box<Head>, NoHead> {
        let body = if body.len() <= SMALL_BODY {
            self.request.extend_from_slice(&body);
            Bytes::new()
        } else {
            body
        };
        let mut interim = Interims::default();
        let response = poll_fn(|cx| self.poll_response(cx, &body, reading, &mut interim)).await;
        if self.request.capacity() > KEPT_REQUEST {
            self.request = Vec::new();
        }
        response
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        body: &[u8],
        reading: Reading,
        interim: &mut Interims,
    ) -> Poll<Result<Box<Head>, NoHead>> {
        let (all, mut broken) = (self.request.len() + body.len(), None);
        if self.served > 1 && self.written == 0 && self.poll_fill(cx).is_ready() {
            // The peer closed, or sent something unexpected (408), while the connection was idle: it cannot take this
            // request.
            self.over = true;
            let failure =
                Failure::new(Code::ProtocolEmpty, "the server had closed the kept-alive connection");
            return Poll::Ready(Err(NoHead { failure, unsent: true, silence: true }));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx, body) {
            // The peer may have sent the reason before it closed.
            broken = Some(error);
        }
        loop {
            let filled = ready!(self.poll_fill(cx));
            let parsed = match filled {
                Ok(0) => Err(self.no_head(broken.take(), reading)),
                Err(error) => Err(self.no_head(broken.take().or(Some(error)), reading)),
                Ok(read) if self.is_inside_line(read) => Ok(None),
                Ok(_) => self.take_head(reading, interim),
            };
            match parsed {
                Ok(None) => {}
                Ok(Some(mut head)) => {
                    head.keep_alive &= self.written == all;
                    self.over |= !head.keep_alive;
                    self.stray = head.stray;
                    return Poll::Ready(Ok(head));
                }
                Err(mut no_head) => {
                    // Bytes behind an earlier response that has no body are not the fault of this request.
                    no_head.silence |= self.stray != Stray::Nothing && interim.count == 0;
                    self.over = true;
                    return Poll::Ready(Err(no_head));
                }
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<io::Result<()>> {
        loop {
            let rest = match self.request.get(self.written..).filter(|rest| !rest.is_empty()) {
                Some(rest) => rest,
                None => body.get(self.written - self.request.len()..).unwrap_or_default(),
            };
            if rest.is_empty() {
                break;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, after what is pending. 0: the peer has closed.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = self.scratch.0.borrow_mut();
        scratch.clear();
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut *scratch))?;
        self.pending.extend_from_slice(&scratch);
        Poll::Ready(Ok(read))
    }

    /// Whether the last `read` bytes cannot have ended a head that began before them. So a head that drips in byte by
    /// byte is parsed once per line, not once per byte.
    fn is_inside_line(&self, read: usize) -> bool {
        let (before, new) = self.pending.split_at(self.pending.len().saturating_sub(read));
        !before.is_empty() && !new.contains(&b'\n') && self.pending.len() < MAX_HEAD
    }

    /// The final head, if it is complete; interim ones are skipped.
    fn take_head(&mut self, reading: Reading, interim: &mut Interims) -> Result<Option<Box<Head>>, NoHead> {
        let failed = |failure| NoHead { failure, unsent: false, silence: false };
        loop {
            match head::parse(&self.pending, reading).map_err(failed)? {
                Parsed::Partial => return Ok(None),
                Parsed::Final(mut head, length) => {
                    head.tolerate(interim.tolerated);
                    if self.may_be_stray(length) {
                        let detail = "a body followed the response to a HEAD";
                        return Err(failed(Failure::new(Code::ProtocolOther, detail)));
                    }
                    if let Some(kept) = &mut self.kept {
                        let head = self.pending.get(..length).unwrap_or_default();
                        let blank = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                        kept.extend_from_slice(head.get(blank..).unwrap_or_default());
                    }
                    self.pending.drain(..length);
                    return Ok(Some(head));
                }
                Parsed::Interim(tolerated, length) => {
                    self.pending.drain(..length);
                    interim.tolerated = interim.tolerated.and(tolerated);
                    interim.count += 1;
                    if interim.count > MAX_INTERIM {
                        return Err(failed(Failure::too_many_interim()));
                    }
                }
            }
        }
    }

    /// Whether a head of this length, in answer to a HEAD, may be the body that the response before described: then more
    /// of it follows at once, or it is exactly as long.
    fn may_be_stray(&self, length: usize) -> bool {
        matches!(self.stray, Stray::Body(body) if self.pending.len() > length || body == length as u64)
    }

    fn no_head(&self, error: Option<io::Error>, reading: Reading) -> NoHead {
        let silence = self.pending.is_empty();
        let failure = match error {
            // The bytes may not be HTTP at all: then that is a better reason than their end.
            _ if !silence => match head::parse(&self.pending, reading) {
                Err(failure) => failure,
                Ok(_) => Failure::new(Code::ProtocolEmpty, "the connection ended inside the response's head"),
            },
            Some(error) => classify(&error),
            None => Failure::new(Code::ProtocolEmpty, "the connection closed without a response"),
        };
        NoHead { failure, unsent: self.written == 0, silence }
    }

    /// Appends a piece of the body to `out`, of a body with a declared length at most `most` bytes. False: the body has
    /// ended.
    ///
    /// # Errors
    /// `truncated.*`, `protocol.chunk`, `protocol.header`.
    ///
    /// # Cancel safety
    /// If it is dropped midway, nothing is lost.
    pub(crate) async fn read_body(
        &mut self,
        framing: &mut Framing,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<bool, Failure> {
        let before = out.len();
        let read = poll_fn(|cx| self.poll_body(cx, framing, out, most)).await;
        if let (Some(kept), Framing::Length(_) | Framing::Close) = (&mut self.kept, framing) {
            kept.extend_from_slice(out.get(before..).unwrap_or_default());
        }
        if read.is_err() {
            self.over = true;
        }
        read
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        framing: &mut Framing,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Poll<Result<bool, Failure>> {
        match framing {
            Framing::Length(0) => Poll::Ready(Ok(false)),
            Framing::Length(left) => {
                let read = if self.pending.is_empty() {
                    // Read directly into `out`: this saves a copy of a large body.
                    let room = usize::try_from(*left).unwrap_or(usize::MAX).min(MAX_RESERVE).min(most);
                    out.reserve(room);
                    let mut room = (&mut *out).limit(room);
                    match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut room)) {
                        Ok(0) => return Poll::Ready(Err(cut_short(None))),
                        Err(error) => return Poll::Ready(Err(cut_short(Some(&error)))),
                        Ok(read) => read,
                    }
                } else {
                    self.take_pending(*left, out)
                };
                *left -= read as u64;
                Poll::Ready(Ok(*left > 0))
            }
            Framing::Chunked(chunked) => loop {
                let decoded = chunked.decode(&self.pending, out);
                let used = *decoded.as_ref().unwrap_or(&self.pending.len());
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(self.pending.get(..used).unwrap_or_default());
                }
                self.pending.drain(..used);
                if let Err(failure) = decoded {
                    return Poll::Ready(Err(failure));
                }
                let progressed = used > 0;
                if chunked.is_done() || progressed {
                    return Poll::Ready(Ok(!chunked.is_done()));
                }
                match ready!(self.poll_fill(cx)) {
                    Ok(0) => return Poll::Ready(Err(cut_short(None))),
                    Err(error) => return Poll::Ready(Err(cut_short(Some(&error)))),
                    Ok(_) => {}
                }
            },
            Framing::Close => {
                if self.pending.is_empty() {
                    match ready!(self.poll_fill(cx)) {
                        Ok(0) => return Poll::Ready(Ok(false)),
                        Err(error) => return Poll::Ready(Err(cut_short(Some(&error)))),
                        Ok(_) => {}
                    }
                }
                self.take_pending(u64::MAX, out);
                Poll::Ready(Ok(true))
            }
        }
    }

    /// Moves up to `most` pending bytes to `out`; without a copy if those are all, the common case.
    fn take_pending(&mut self, most: u64, out: &mut Vec<u8>) -> usize {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.pending.len());
        if out.capacity() == 0 && length == self.pending.len() {
            *out = std::mem::take(&mut self.pending);
        } else {
            out.extend(self.pending.drain(..length));
        }
        length
    }
}

/// Why a connection broke before a response came.
fn classify(error: &io::Error) -> Failure {
    if tls_cause(error).is_some() {
        return tls_failure(error);
    }
    let code = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Code::ConnectReset
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Code::ProtocolEmpty,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Code::ConnectUnreachable,
        _ => Code::ConnectFailed,
    };
    Failure::new(code, error.to_string())
}

/// Why a body is only a prefix. Without `close_notify` the end of a TLS connection proves nothing: anyone on the path
/// can cause it. Source: RFC 9112, section 9.8.
fn cut_short(error: Option<&io::Error>) -> Failure {
    match error {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Failure::new(Code::TruncatedTlsClose, "TLS ended without close_notify inside the body")
        }
        Some(error) => Failure::new(Code::TruncatedDisconnect, error.to_string()),
        None => Failure::new(Code::TruncatedDisconnect, "the connection closed inside the body"),
    }
}

const _: () = assert!(SCRATCH <= MAX_HEAD, "a head must be looked at before it can be too large");
