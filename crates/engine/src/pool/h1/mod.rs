//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, no handover, no buffer while it is
//! idle. A request costs one write and one read.

mod body;
mod chunked;
mod head;
mod lenient;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
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
    /// It leads to a proxy that takes requests in the clear: they name their whole URL, and have these lines.
    pub(crate) to_proxy: Option<Arc<[u8]>>,
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
            to_proxy: None,
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

    /// Its port is to be free as soon as it is dropped.
    pub(crate) fn leave_at_once(&self) {
        self.stream.leave_at_once();
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
    pub(crate) async fn response(&mut self, body: Bytes, reading: Reading) -> Result<Head, NoHead> {
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
    ) -> Poll<Result<Head, NoHead>> {
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
            match ready!(self.poll_head(cx, reading, interim, &mut broken)) {
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

    /// Reads once, and looks for the final head. The usual head comes whole, and is read where it lies in the shared
    /// memory; of the rest only a body is copied. `broken`: why the request could not be sent, which explains a missing head
    /// better than what follows.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reading: Reading,
        interim: &mut Interims,
        broken: &mut Option<io::Error>,
    ) -> Poll<Result<Option<Head>, NoHead>> {
        let scratch = Rc::clone(&self.scratch.0);
        let mut new = scratch.borrow_mut();
        new.clear();
        match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut *new)) {
            Ok(0) => return Poll::Ready(Err(self.no_head(broken.take(), reading))),
            Err(error) => return Poll::Ready(Err(self.no_head(broken.take().or(Some(error)), reading))),
            Ok(_) => {}
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut bytes = new.as_slice();
        if !pending.is_empty() {
            pending.extend_from_slice(bytes);
            if !bytes.contains(&b'\n') && pending.len() < MAX_HEAD {
                // These bytes cannot have ended the head: so one that drips in byte by byte is parsed once per line.
                self.pending = pending;
                return Poll::Ready(Ok(None));
            }
            bytes = &pending;
        }
        Poll::Ready(self.take_head(bytes, reading, interim))
    }

    /// The final head, if it is complete; interim ones are skipped. What is behind it, or is incomplete, is pending.
    fn take_head(
        &mut self,
        mut bytes: &[u8],
        reading: Reading,
        interim: &mut Interims,
    ) -> Result<Option<Head>, NoHead> {
        let failed = |failure| NoHead { failure, unsent: false, silence: false };
        loop {
            match head::parse(bytes, reading).map_err(failed)? {
                Parsed::Partial => {
                    self.pending = bytes.to_vec();
                    return Ok(None);
                }
                Parsed::Final(mut head, length) => {
                    head.tolerate(interim.tolerated);
                    if self.may_be_stray(length, bytes.len()) {
                        let detail = "a body followed the response to a HEAD";
                        return Err(failed(Failure::new(Code::ProtocolOther, detail)));
                    }
                    let (text, behind) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                    if let Some(kept) = &mut self.kept {
                        let blank = text.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                        kept.extend_from_slice(text.get(blank..).unwrap_or_default());
                    }
                    self.begin_body(&head.framing, behind);
                    return Ok(Some(head));
                }
                Parsed::Interim(tolerated, length) => {
                    bytes = bytes.get(length..).unwrap_or_default();
                    interim.tolerated = interim.tolerated.and(tolerated);
                    interim.count += 1;
                    if interim.count > MAX_INTERIM {
                        return Err(failed(Failure::too_many_interim()));
                    }
                }
            }
        }
    }

    /// Keeps the bytes behind a head, with room for the rest of a small body.
    fn begin_body(&mut self, framing: &Framing, bytes: &[u8]) {
        if !bytes.is_empty() {
            let room = match framing {
                Framing::Length(length) => usize::try_from(*length).unwrap_or(SCRATCH).min(SCRATCH),
                _ => 0,
            };
            self.pending = Vec::with_capacity(room.max(bytes.len()));
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Whether a head of this length, in answer to a HEAD, may be the body that the response before described: then more
    /// of it follows at once, or it is exactly as long. `came`: how much came with it.
    fn may_be_stray(&self, length: usize, came: usize) -> bool {
        matches!(self.stray, Stray::Body(body) if came > length || body == length as u64)
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

const _: () = assert!(SCRATCH <= MAX_HEAD, "a head must be looked at before it can be too large");
