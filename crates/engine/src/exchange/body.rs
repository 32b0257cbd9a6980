//! Reads a response's body, within its limits, and decodes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::timeout;

use super::classify;
use super::decode::{Decoder, Limits};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::gate::Gate;
use crate::options::OnOversize;
use crate::outcome::{Body, Truncated};
use crate::pool::Driver;
use crate::timings::Phase;

/// Memory set aside at once for a body that declares its length: a lie must not cost more.
const MAX_RESERVE: u64 = 1 << 20;

/// What is read of a body that nobody will see, so that its connection can be used again, and for how long.
const MAX_SKIPPED: u64 = 64 << 10;
const SKIP_TIME: Duration = Duration::from_secs(1);

/// What may come.
pub(crate) struct BodyRules<'a> {
    /// The largest body, as received and decoded.
    pub(crate) max_bytes: u64,
    /// What to do with a larger one.
    pub(crate) on_oversize: OnOversize,
    /// The body of a response that leads on does not matter.
    pub(crate) follow_redirects: bool,
    /// Where to wait while the consumer is far behind.
    pub(crate) gate: &'a Gate,
    /// The shard's decoder.
    pub(crate) decoder: &'a RefCell<Decoder>,
}

/// A body, or what came of it.
pub(super) struct Read {
    pub(super) body: Body,
    pub(super) wire_bytes: u64,
    /// It was read to its end.
    pub(super) whole: bool,
    pub(super) failure: Option<Failure>,
}

/// Reads `incoming`; over HTTP/1.1 `driver` moves its connection.
pub(super) async fn read(
    mut incoming: Incoming,
    mut driver: Option<&mut Driver>,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Read {
    let declared = incoming.size_hint().exact();
    if let Some(length) = declared
        && length > rules.max_bytes
        && rules.on_oversize == OnOversize::Error
    {
        let detail = format!("the response declares {length} bytes, over max_body_size of {}", rules.max_bytes);
        return Pieces::default().end(false, Some(Failure::new(Code::TooLargeDeclared, detail)));
    }
    let mut pieces = Pieces::default();
    while !incoming.is_end_stream() {
        if rules.gate.is_closed() {
            let stopped = clock.stop();
            rules.gate.passed().await;
            clock.resume(stopped);
        }
        let data = match next_frame(&mut incoming, driver.as_deref_mut()).await {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                return pieces.end(false, Some(classify::failure(&error, Phase::Body)));
            }
        };
        clock.progressed();
        let room = rules.max_bytes - pieces.length;
        if data.len() as u64 > room {
            if rules.on_oversize == OnOversize::Truncate {
                pieces.add(data.slice(..room as usize), None);
                return pieces.end(false, None);
            }
            let detail = format!("the response grew past max_body_size of {}", rules.max_bytes);
            return pieces.end(false, Some(Failure::new(Code::TooLargeBody, detail)));
        }
        pieces.add(data, declared);
    }
    pieces.end(true, None)
}

/// Reads a body that nobody will see, whatever is wrong with it. It is whole if the connection may be used again.
pub(super) async fn skip(mut incoming: Incoming, mut driver: Option<&mut Driver>) -> Read {
    if incoming.size_hint().lower() > MAX_SKIPPED {
        return Pieces::default().end(false, None);
    }
    let mut length = 0;
    let read = async {
        while !incoming.is_end_stream() && length <= MAX_SKIPPED {
            match next_frame(&mut incoming, driver.as_deref_mut()).await {
                None => break,
                Some(Ok(frame)) => length += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) => return false,
            }
        }
        length <= MAX_SKIPPED
    };
    let whole = timeout(SKIP_TIME, read).await.unwrap_or(false);
    Read { body: Body::default(), wire_bytes: length, whole, failure: None }
}

async fn next_frame(incoming: &mut Incoming, driver: Option<&mut Driver>) -> Option<hyper::Result<Frame<Bytes>>> {
    let frame = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
    match driver {
        Some(driver) => driver.drive(frame).await,
        None => frame.await,
    }
}

/// A body in the making. A single piece, the common case, is never copied here.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    joined: Vec<u8>,
    length: u64,
}

impl Pieces {
    fn add(&mut self, piece: Bytes, declared: Option<u64>) {
        if self.length == 0 {
            self.first = piece;
        } else {
            if self.joined.is_empty() {
                let reserve = declared.unwrap_or(0).min(MAX_RESERVE).max(self.length + piece.len() as u64);
                self.joined.reserve_exact(reserve as usize);
                self.joined.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            self.joined.extend_from_slice(&piece);
            self.length = self.joined.len() as u64;
            return;
        }
        self.length = self.first.len() as u64;
    }

    fn end(self, whole: bool, failure: Option<Failure>) -> Read {
        let body = if self.joined.is_empty() { Body::Slice(self.first) } else { Body::Owned(self.joined) };
        Read { body, wire_bytes: self.length, whole, failure }
    }
}

/// The body after its content codings, and whether it was cut. `encodings` are the values of Content-Encoding;
/// `partial`: the body as it came is a prefix.
///
/// # Errors
/// Those of [`Decoder::decode`].
pub(super) fn decoded<'a>(
    encodings: impl Iterator<Item = &'a [u8]>,
    body: Body,
    partial: bool,
    rules: &BodyRules<'_>,
) -> Result<(Body, Option<Truncated>), Failure> {
    let mut encodings = encodings.peekable();
    if encodings.peek().is_none() || body.as_bytes().is_empty() {
        return Ok((body, partial.then_some(Truncated::Length)));
    }
    let bytes = match body {
        Body::Slice(bytes) => bytes.into(),
        Body::Owned(bytes) => bytes,
    };
    let limits = Limits { cap: rules.max_bytes, on_oversize: rules.on_oversize, partial };
    let decoded = rules.decoder.borrow_mut().decode(encodings, bytes, limits)?;
    Ok((Body::Owned(decoded.body), decoded.truncated.then_some(Truncated::Length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_piece_is_not_copied() {
        let piece = Bytes::from(vec![1; 1000]);
        let mut pieces = Pieces::default();
        pieces.add(piece.clone(), Some(1000));
        let read = pieces.end(true, None);
        assert_eq!(read.body.as_bytes().as_ptr(), piece.as_ptr());
        assert_eq!(read.wire_bytes, 1000);
    }

    #[test]
    fn pieces_join_in_order_whatever_length_was_declared() {
        for declared in [None, Some(6), Some(u64::MAX)] {
            let mut pieces = Pieces::default();
            for piece in [&b"ab"[..], b"cd", b"ef"] {
                pieces.add(Bytes::from_static(piece), declared);
            }
            let read = pieces.end(true, None);
            assert_eq!((read.body.as_bytes(), read.wire_bytes), (&b"abcdef"[..], 6));
        }
    }
}
