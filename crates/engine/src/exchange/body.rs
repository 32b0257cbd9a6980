//! Reads a response's body, within its limits, and decodes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body as _;
use tokio::time::timeout;

use super::accepted::Accepted;
use super::classify;
use super::decode::{Decoded, Decoder, Limits};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::job::Gate;
use crate::options::OnOversize;
use crate::outcome::Truncated;
use crate::pool::{Framing, H1};
use crate::timings::Phase;

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
    /// What goes over the wire is kept as it is.
    pub(crate) records_exchanges: bool,
    /// Where to wait while the consumer is far behind.
    pub(crate) gate: &'a Gate,
    /// Which content codings are undone.
    pub(crate) accepted: Accepted,
    /// The shard's decoder.
    pub(crate) decoder: &'a RefCell<Decoder>,
}

/// A body on its way.
pub(super) enum Incoming<'a> {
    Http1 { connection: &'a mut H1, framing: Framing },
    Http2 { incoming: hyper::body::Incoming, kept: Option<Vec<u8>> },
}

impl Incoming<'_> {
    /// How long it says that it is.
    fn declared(&self) -> Option<u64> {
        match self {
            Self::Http1 { framing: Framing::Length(length), .. } => Some(*length),
            Self::Http1 { .. } => None,
            Self::Http2 { incoming, .. } => incoming.size_hint().exact(),
        }
    }

    /// Whether nothing more comes, as far as is known without waiting.
    fn is_at_end(&self) -> bool {
        match self {
            Self::Http1 { framing, .. } => *framing == Framing::Length(0),
            Self::Http2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    /// Appends a piece to `out`. False: there is no more.
    async fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, Failure> {
        match self {
            Self::Http1 { connection, framing } => connection.read_body(framing, out).await,
            Self::Http2 { incoming, kept } => {
                match poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await {
                    // A reset with NO_ERROR ends hyper's body as END_STREAM does, whatever is missing. One that comes
                    // after the declared length cuts nothing off. Source: RFC 9113, section 8.1.
                    None if incoming.is_end_stream() || incoming.size_hint().exact() == Some(0) => Ok(false),
                    None => Err(Failure::new(
                        Code::TruncatedH2Reset,
                        "the stream was closed without an error before the body ended",
                    )),
                    Some(Ok(frame)) => {
                        let data = frame.data_ref().map_or(&[][..], |data| data);
                        out.extend_from_slice(data);
                        if let Some(kept) = kept {
                            kept.extend_from_slice(data);
                        }
                        Ok(true)
                    }
                    Some(Err(error)) => Err(classify::failure(&error, Phase::Body)),
                }
            }
        }
    }

    /// The response so far, as it came, if that is kept.
    pub(super) fn kept(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Http1 { connection, .. } => connection.kept(),
            Self::Http2 { kept, .. } => kept.as_mut(),
        }
    }

    /// A connection on which part of a body is still to come cannot be used for anything else.
    pub(super) fn close_unless_whole(self, read: &Read) {
        if let Self::Http1 { connection, .. } = self
            && !(read.whole && read.failure.is_none())
        {
            connection.give_up();
        }
    }
}

/// A body, or what came of it.
#[derive(Default)]
pub(super) struct Read {
    pub(super) body: Vec<u8>,
    pub(super) wire_bytes: u64,
    /// It was read to its end.
    pub(super) whole: bool,
    pub(super) failure: Option<Failure>,
}

impl Read {
    /// Why what came is a prefix; None: it is whole.
    pub(super) fn cut(&self) -> Option<Truncated> {
        match self.failure.as_ref().map(|failure| failure.code) {
            None if self.whole => None,
            None | Some(Code::TooLargeDeclared | Code::TooLargeBody) => Some(Truncated::Length),
            Some(_) => Some(Truncated::Disconnect),
        }
    }
}

/// Reads a body to its end or to the limit.
pub(super) async fn read(incoming: &mut Incoming<'_>, rules: &BodyRules<'_>, clock: &PhaseClock) -> Read {
    let mut read = Read::default();
    let refuses = rules.on_oversize == OnOversize::Error;
    if let Some(length) = incoming.declared().filter(|&length| refuses && length > rules.max_bytes) {
        let detail =
            format!("the response declares {length} bytes, over max_body_size of {}", rules.max_bytes);
        read.failure = Some(Failure::new(Code::TooLargeDeclared, detail));
        return read;
    }
    while !incoming.is_at_end() {
        if rules.gate.is_closed() {
            let stopped = clock.stop();
            rules.gate.passed().await;
            clock.resume(stopped);
        }
        let more = match incoming.read(&mut read.body).await {
            Ok(more) => more,
            Err(failure) => {
                read.failure = Some(failure);
                break;
            }
        };
        clock.progressed();
        read.wire_bytes = read.body.len() as u64;
        if read.wire_bytes > rules.max_bytes {
            if refuses {
                let detail = format!("the response grew past max_body_size of {}", rules.max_bytes);
                read.failure = Some(Failure::new(Code::TooLargeBody, detail));
            } else {
                read.body.truncate(usize::try_from(rules.max_bytes).unwrap_or(usize::MAX));
                read.wire_bytes = rules.max_bytes;
            }
            return read;
        }
        if !more {
            break;
        }
    }
    read.whole = read.failure.is_none();
    read
}

/// Reads a body that nobody will see, whatever is wrong with it. It is whole if the connection may be used again.
pub(super) async fn skip(incoming: &mut Incoming<'_>) -> Read {
    let mut read = Read::default();
    if incoming.declared().is_some_and(|length| length > MAX_SKIPPED) {
        return read;
    }
    let mut piece = Vec::new();
    let reading = async {
        while !incoming.is_at_end() && read.wire_bytes <= MAX_SKIPPED {
            let more = incoming.read(&mut piece).await;
            read.wire_bytes += piece.len() as u64;
            piece.clear();
            match more {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return false,
            }
        }
        read.wire_bytes <= MAX_SKIPPED
    };
    let whole = timeout(SKIP_TIME, reading).await.unwrap_or(false);
    Read { whole, ..read }
}

/// The body after its content codings. `encodings` are the values of Content-Encoding; `partial`: the body as it came is
/// a prefix.
///
/// # Errors
/// Those of [`Decoder::decode`].
pub(super) fn decoded<'a>(
    encodings: impl Iterator<Item = &'a [u8]>,
    body: Vec<u8>,
    partial: bool,
    rules: &BodyRules<'_>,
) -> Result<Decoded, Failure> {
    let mut encodings = encodings.peekable();
    if body.is_empty() || encodings.peek().is_none() {
        return Ok(Decoded { body, left: None, truncated: partial, trailing: false });
    }
    let limits = Limits { cap: rules.max_bytes, on_oversize: rules.on_oversize, partial };
    rules.decoder.borrow_mut().decode(encodings, rules.accepted, body, limits)
}
