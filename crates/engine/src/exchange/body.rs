//! Reads a response's body, within its limits, and decodes it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::time::Duration;

use h2::{Reason, RecvStream};
use tokio::time::timeout;

use super::accepted::Accepted;
use super::classify;
use super::decode::{Decoded, Decoder, Decoding, Limits};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::job::{Claim, FREE, Gate};
use crate::options::OnOversize;
use crate::outcome::Truncated;
use crate::pool::{Framing, H1, StreamPlace};
use crate::timings::Phase;

/// The space that is made at once for a body of unknown length.
const PIECE: usize = 64 << 10;
/// The most that is made at once where a length is declared: a false one must not cost more.
const MAX_RESERVE: usize = 1 << 20;
/// Text seldom shrinks further than by this factor; a body that does is decoded again, with more room.
const LIKELY_RATIO: u64 = 16;
/// A body of unknown length asks for room from this size on.
const SMALL: usize = 32 << 10;

/// What is read of a body that nobody will see, so that its connection can be used again, and for how long.
const MAX_SKIPPED: u64 = 64 << 10;
const SKIP_TIME: Duration = Duration::from_secs(1);

/// What may come.
pub(crate) struct BodyRules<'a> {
    /// The largest body, as received and decoded.
    pub(crate) max_bytes: u64,
    /// What to do with a larger one.
    pub(crate) on_oversize: OnOversize,
    /// Heads that break the rules are refused, all of them.
    pub(crate) strict: bool,
    /// The body of a response that leads on does not matter.
    pub(crate) follow_redirects: bool,
    /// What goes over the wire is kept as it is.
    pub(crate) records_exchanges: bool,
    /// Where to wait while the consumer is far behind.
    pub(crate) gate: &'a Gate,
    /// Which content codings are undone.
    pub(crate) accepted: Accepted,
    /// How much of it comes although it is not read.
    pub(crate) unread: u64,
    /// The position of its row in the input.
    pub(crate) index: u64,
    /// The room that it has already.
    pub(crate) claim: Cell<Claim>,
    /// The shard's decoder.
    pub(crate) decoder: &'a RefCell<Decoder>,
}

impl BodyRules<'_> {
    /// How much is kept of a body of `length` bytes.
    pub(super) fn room(&self, length: u64) -> u64 {
        length.min(self.max_bytes.saturating_add(1)).saturating_mul(self.times())
    }

    /// How often it is kept: what goes over the wire is kept a second time.
    fn times(&self) -> u64 {
        1 + u64::from(self.records_exchanges)
    }
}

/// A body on its way.
pub(super) enum Incoming<'a> {
    Http1 {
        connection: &'a mut H1,
        framing: Framing,
    },
    Http2 {
        place: &'a StreamPlace,
        incoming: RecvStream,
        /// Responses of its kind have one.
        has_body: bool,
        /// What is left of the declared length.
        left: Option<u64>,
        /// What was read and does not count towards the window again yet.
        taken: usize,
        kept: Option<Vec<u8>>,
    },
}

impl Incoming<'_> {
    /// How long it says that it is.
    pub(super) fn declared(&self) -> Option<u64> {
        match self {
            Self::Http1 { framing: Framing::Length(length), .. } => Some(*length),
            Self::Http1 { .. } => None,
            Self::Http2 { left, .. } => *left,
        }
    }

    /// Whether nothing more comes, as far as is known without waiting.
    fn is_at_end(&self) -> bool {
        match self {
            Self::Http1 { framing, .. } => *framing == Framing::Length(0),
            Self::Http2 { place, incoming, .. } => incoming.is_end_stream() && !place.is_malformed(),
        }
    }

    /// Appends a piece to `out`, if possible at most `most` bytes. False: there is no more.
    async fn read(&mut self, out: &mut Vec<u8>, most: usize) -> Result<bool, Failure> {
        match self {
            Self::Http1 { connection, framing } => connection.read_body(framing, out, most).await,
            Self::Http2 { place, incoming, has_body, left, taken, kept } => {
                // As much more may come as may be read. It fails only for more than was taken.
                let back = most.min(*taken);
                let _ = incoming.flow_control().release_capacity(back);
                *taken -= back;
                let data = match poll_fn(|cx| incoming.poll_data(cx)).await {
                    Some(Ok(data)) => data,
                    // What comes after the declared length cuts nothing off: a server may say that it does not care for
                    // the rest of the request. Source: RFC 9113, section 8.1.
                    Some(Err(error)) if *left == Some(0) && error.reason() == Some(Reason::NO_ERROR) => {
                        return Ok(false);
                    }
                    Some(Err(error)) => return Err(failure_h2(place, &error, Phase::Body)),
                    None => {
                        let trailers = poll_fn(|cx| incoming.poll_trailers(cx)).await;
                        trailers.map_err(|error| failure_h2(place, &error, Phase::Body))?;
                        return if place.is_malformed() { Err(malformed_h2()) } else { Ok(false) };
                    }
                };
                if !*has_body && !data.is_empty() {
                    // As over HTTP/1.1: it is nobody's body. The stream is reset.
                    return Ok(false);
                }
                *taken += data.len();
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                out.extend_from_slice(&data);
                if let Some(kept) = kept {
                    kept.extend_from_slice(&data);
                }
                Ok(true)
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

    /// A remark on what was tolerated behind the body.
    pub(super) fn remark(&self) -> Option<String> {
        let Self::Http1 { framing: Framing::Chunked(chunked), .. } = self else { return None };
        chunked.tolerated().remark().map(String::from)
    }

    /// A connection on which part of a body is still to come cannot be used for anything else, nor one on which something
    /// strange came behind it.
    pub(super) fn close_unless_whole(self, read: &Read) {
        let is_strange = self.remark().is_some();
        if let Self::Http1 { connection, .. } = self
            && (is_strange || !(read.whole && read.failure.is_none()))
        {
            connection.give_up();
        }
    }
}

/// The response has pseudo-header fields that belong to a request, or in its trailers.
pub(super) fn malformed_h2() -> Failure {
    Failure::new(Code::ProtocolH2, "the response has pseudo-header fields where it must not have any")
}

/// Why a stream ended without its end.
pub(super) fn failure_h2(place: &StreamPlace, error: &h2::Error, phase: Phase) -> Failure {
    if place.is_flooded() {
        return Failure::new(Code::ProtocolH2Flood, "the server sent no end of frames that say nothing");
    }
    classify::failure(error, phase)
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

/// Makes room for more of a body, and returns how much of it may be read. The time that this waits is not the peer's.
async fn make_room(
    body: &mut Vec<u8>,
    declared: Option<u64>,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> usize {
    let has = body.len();
    let step = PIECE.max(has / 4).min(MAX_RESERVE);
    let to = match declared {
        Some(length) if length > FREE => length.min(rules.max_bytes.saturating_add(1)),
        None if has >= SMALL => (has + step) as u64,
        _ => return PIECE,
    };
    grow(claim, has as u64, to, rules, clock).await;
    let may = usize::try_from(to).unwrap_or(usize::MAX).saturating_sub(has);
    if body.capacity() - has < may.min(PIECE) {
        // Exactly, and bit by bit: memory that is not used may have to be had all the same.
        body.reserve_exact(may.min(MAX_RESERVE.max(has / 2)));
    }
    may.min(body.capacity() - has).max(1)
}

/// Waits until a body with `has` bytes may hold `to`.
async fn grow(claim: &mut Claim, has: u64, to: u64, rules: &BodyRules<'_>, clock: &PhaseClock) {
    let times = rules.times();
    let (has, to) = (has * times, to.saturating_mul(times));
    let job = rules.gate.job();
    if !claim.try_grow(job, rules.index, has, to) {
        let stopped = clock.stop(job.expires);
        claim.hold_at_least(has.saturating_add(rules.unread).min(to));
        claim.grow(job, rules.index, has, to).await;
        clock.resume(stopped, job.expires);
    }
}

/// Reads a body to its end or to the limit.
pub(super) async fn read(
    incoming: &mut Incoming<'_>,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Read {
    let mut read = Read::default();
    let refuses = rules.on_oversize == OnOversize::Error;
    let declared = incoming.declared();
    if let Some(length) = declared.filter(|&length| refuses && length > rules.max_bytes) {
        let detail =
            format!("the response declares {length} bytes, over max_body_size of {}", rules.max_bytes);
        read.failure = Some(Failure::new(Code::TooLargeDeclared, detail));
        return read;
    }
    while !incoming.is_at_end() {
        if rules.gate.is_closed() {
            let end = rules.gate.job().expires;
            let stopped = clock.stop(end);
            rules.gate.passed().await;
            clock.resume(stopped, end);
        }
        let may = make_room(&mut read.body, declared, claim, rules, clock).await;
        let more = match incoming.read(&mut read.body, may).await {
            Ok(more) => more,
            Err(failure) => {
                read.failure = Some(failure);
                break;
            }
        };
        read.wire_bytes = read.body.len() as u64;
        clock.progressed(read.wire_bytes, !more);
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
            let more = incoming.read(&mut piece, PIECE).await;
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

/// A body after its content codings.
pub(super) struct Plain {
    pub(super) body: Vec<u8>,
    pub(super) truncated: Option<Truncated>,
    /// The codings that are still applied to it.
    pub(super) left: Option<String>,
    /// A remark on what was behind the coded data.
    pub(super) remark: Option<String>,
}

/// What was read, after those of its content codings that are in `accepted`. `encodings` are the values of
/// Content-Encoding. A large body waits for its turn.
///
/// # Errors
/// Those of [`Decoding`].
pub(super) async fn decoded<'a>(
    encodings: impl Iterator<Item = &'a [u8]>,
    body: Vec<u8>,
    partial: bool,
    accepted: Accepted,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Result<Plain, Failure> {
    let mut encodings = encodings.peekable();
    if body.is_empty() || encodings.peek().is_none() {
        let truncated = partial.then_some(Truncated::Length);
        return Ok(Plain { body, truncated, left: None, remark: None });
    }
    let limits = Limits { cap: rules.max_bytes, on_oversize: rules.on_oversize };
    let mut decoding = Decoding::new(encodings, accepted, body, partial)?;
    let mut room = FREE.max(decoding.input() * LIKELY_RATIO);
    loop {
        if room > FREE {
            let input = decoding.input();
            grow(claim, input, input.saturating_add(room.min(limits.cap)), rules, clock).await;
        }
        if decoding.run(&mut rules.decoder.borrow_mut(), limits, room)? {
            break;
        }
        room = room.saturating_mul(LIKELY_RATIO);
    }
    let Decoded { body, left, truncated, trailing } = decoding.finish();
    let remark = trailing.then(|| "bytes behind the end of the compressed body were dropped".to_owned());
    Ok(Plain { body, truncated: truncated.then_some(Truncated::Length), left, remark })
}
