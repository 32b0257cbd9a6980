//! Reads the body of a response from its connection to where it will lie.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio_util::io::poll_read_buf;

use super::{Framing, H1, SCRATCH};
use crate::error::{Code, Failure};

/// Memory reserved at once for a body that declares its length: a false length must not cost more.
const MAX_RESERVE: usize = 1 << 20;

impl H1 {
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
                    ready!(self.poll_into(cx, *left, out, most))?
                } else {
                    self.take_pending(*left, out)
                };
                *left -= read as u64;
                Poll::Ready(Ok(*left > 0))
            }
            Framing::Chunked(chunked) => {
                if self.kept.is_none() && self.pending.is_empty() && chunked.left() >= SCRATCH as u64 {
                    let read = ready!(self.poll_into(cx, chunked.left(), out, most))?;
                    chunked.skip(read as u64);
                    return Poll::Ready(Ok(true));
                }
                let scratch = Rc::clone(&self.scratch.0);
                let mut new = scratch.borrow_mut();
                let pending = std::mem::take(&mut self.pending);
                let mut bytes = pending.as_slice();
                if bytes.is_empty() {
                    new.clear();
                    received(ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut *new)))?;
                    bytes = &new;
                }
                let decoded = chunked.decode(bytes, out);
                let (used, behind) =
                    bytes.split_at_checked(*decoded.as_ref().unwrap_or(&bytes.len())).unwrap_or((bytes, &[]));
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(used);
                }
                decoded?;
                self.pending = behind.to_vec();
                Poll::Ready(Ok(!chunked.is_done()))
            }
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

    /// Reads up to `left` bytes of a body to where it will lie, if possible at most `most`.
    fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        left: u64,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Poll<Result<usize, Failure>> {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(MAX_RESERVE).min(most);
        out.reserve(room);
        let mut room = out.limit(room);
        Poll::Ready(received(ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut room))))
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

/// How much of a body came; its end is known to be further on.
fn received(read: io::Result<usize>) -> Result<usize, Failure> {
    match read {
        Ok(0) => Err(cut_short(None)),
        Ok(read) => Ok(read),
        Err(error) => Err(cut_short(Some(&error))),
    }
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
