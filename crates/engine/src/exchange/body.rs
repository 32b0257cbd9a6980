//! Reads a response's body, within its limits, and decodes it.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

use super::accepted::Accepted;
use super::decode::{Decoded, Decoder, Decoding, Limits};
use super::incoming::Incoming;
use super::resume::{self, Partial, Store, Terms};
use super::spill::{Spill, Spilled, Trouble};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::job::{Claim, FREE, Gate, Keeps};
use crate::options::OnOversize;
use crate::outcome::{Received, Truncated};
use crate::request::Request;
use crate::spool::{BodyFile, BodyFolder};

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
    /// What is kept of what comes. Content codings that are kept are undone when the body is read, not before.
    pub(crate) keeps: Keeps,
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
    /// Where large bodies are written to.
    pub(crate) folder: Option<&'a BodyFolder>,
    /// The beginning of the body, from an earlier attempt; and, where this one is cut, from this one. None: the rest of a
    /// body that is cut is not asked for.
    pub(crate) partial: Option<&'a Cell<Option<Box<Partial>>>>,
}

impl BodyRules<'_> {
    /// How much is kept of a body of `length` bytes.
    pub(super) fn room(&self, length: u64) -> u64 {
        length.min(self.max_bytes.saturating_add(1)).saturating_mul(self.times())
    }

    /// The limits of a decoded body.
    fn limits(&self) -> Limits {
        Limits { cap: self.max_bytes, on_oversize: self.on_oversize }
    }

    /// How often it is kept: what goes over the wire is kept a second time.
    fn times(&self) -> u64 {
        1 + u64::from(self.keeps.exchanges)
    }
}

/// A body as far as it has come. If it is dropped before its end, what another attempt can use is kept.
pub(super) struct Body<'a> {
    slot: Option<&'a Cell<Option<Box<Partial>>>>,
    store: Store,
    /// What the rest can be asked for with.
    terms: Option<Box<Terms>>,
}

impl<'a> Body<'a> {
    /// One that begins.
    pub(super) fn new(rules: &BodyRules<'a>) -> Self {
        Self { slot: rules.partial, store: Store::default(), terms: None }
    }

    /// One that is resumed.
    pub(super) fn of(partial: Partial, rules: &BodyRules<'a>) -> Self {
        Self { slot: rules.partial, store: partial.store, terms: Some(partial.terms) }
    }

    /// Takes it out, for good, if it is in memory and needs no decoding.
    pub(super) fn take_plain(&mut self, received: &Received) -> Option<Vec<u8>> {
        let Store::Memory(bytes) = &mut self.store else { return None };
        if !bytes.is_empty() && received.headers.get_all("content-encoding").next().is_some() {
            return None;
        }
        self.terms = None;
        Some(std::mem::take(bytes))
    }

    /// Takes it out, for good.
    fn take(&mut self) -> Store {
        self.terms = None;
        std::mem::take(&mut self.store)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        if let (Some(terms), Some(slot)) = (self.terms.take(), self.slot) {
            let store = std::mem::take(&mut self.store);
            slot.set(Some(Box::new(Partial { terms, store, kept: None })));
        }
    }
}

/// How reading a body ended.
#[derive(Default)]
pub(super) struct Read {
    pub(super) wire_bytes: u64,
    /// It was read to its end.
    pub(super) whole: bool,
    /// More came than the part that was announced, so that it is not the rest of what came before.
    pub(super) is_no_rest: bool,
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

/// Whether the body was cut on its way, so that the rest of it may still be had.
fn is_cut(code: Code) -> bool {
    matches!(code, Code::TruncatedDisconnect | Code::TruncatedTlsClose | Code::TruncatedH2Reset)
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
///
/// # Errors
/// The disk failed.
///
/// # Cancel safety
/// May be dropped at any time: see [`Body`].
pub(super) async fn read(
    incoming: &mut Incoming<'_>,
    body: &mut Body<'_>,
    (request, received): (&Request, &Received),
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> io::Result<Read> {
    let mut read = Read::default();
    let refuses = rules.on_oversize == OnOversize::Error;
    let before = body.store.received();
    let declared = incoming.declared().map(|length| length.saturating_add(before));
    if let Some(length) = declared.filter(|&length| refuses && length > rules.max_bytes) {
        let detail =
            format!("the response declares {length} bytes, over max_body_size of {}", rules.max_bytes);
        read.failure = Some(Failure::new(Code::TooLargeDeclared, detail));
        body.take();
        return Ok(read);
    }
    let mut may_resume = rules.partial.is_some() && body.terms.is_none();
    while !incoming.is_at_end() {
        if rules.gate.is_closed() {
            let end = rules.gate.job().expires;
            let stopped = clock.stop(end);
            rules.gate.passed().await;
            clock.resume(stopped, end);
        }
        let more = match &mut body.store {
            Store::Memory(bytes) => {
                let most = rules.folder.map_or(u64::MAX, BodyFolder::above);
                let held = declared.map(|length| length.min(most));
                let may = make_room(bytes, held, claim, rules, clock).await;
                incoming.read(bytes, may).await
            }
            Store::File(spill) => {
                let (piece, most) = spill.room();
                incoming.read(piece, most).await
            }
        };
        read.wire_bytes = body.store.received();
        clock.progressed(read.wire_bytes - before, matches!(more, Ok(false)));
        let more = match more {
            Ok(more) => more,
            Err(failure) => {
                if !is_cut(failure.code) {
                    body.take();
                }
                read.failure = Some(failure);
                return Ok(read);
            }
        };
        if body.terms.as_ref().is_some_and(|terms| terms.is_exceeded_by(read.wire_bytes)) {
            read.is_no_rest = true;
            body.take();
            return Ok(read);
        }
        let over = read.wire_bytes > rules.max_bytes;
        if over && refuses {
            let detail = format!("the response grew past max_body_size of {}", rules.max_bytes);
            read.failure = Some(Failure::new(Code::TooLargeBody, detail));
            body.take();
            return Ok(read);
        }
        if over {
            body.terms = None;
            read.wire_bytes = rules.max_bytes;
        }
        match keep(body, over, received, claim, rules).await {
            Err(Trouble::Disk(error)) => return Err(error),
            Err(Trouble::Body(failure)) => {
                read.failure = Some(failure);
                body.take();
                return Ok(read);
            }
            Ok(is_full) if over || is_full => return Ok(read),
            Ok(_) => {}
        }
        if !more {
            break;
        }
        if may_resume && read.wire_bytes >= resume::LEAST {
            may_resume = false;
            body.terms = Terms::of(request, received, declared);
        }
    }
    read.wire_bytes = body.store.received();
    read.failure = body.terms.as_ref().and_then(|terms| terms.lacks(read.wire_bytes));
    read.whole = read.failure.is_none();
    Ok(read)
}

/// Puts what was just read where it belongs: to its file, if it is large. `over`: it is longer than allowed. Returns whether
/// nothing more of it can be used.
async fn keep(
    body: &mut Body<'_>,
    over: bool,
    received: &Received,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
) -> Result<bool, Trouble> {
    match (&mut body.store, rules.folder) {
        (Store::Memory(bytes), _) if over => {
            bytes.truncate(usize::try_from(rules.max_bytes).unwrap_or(usize::MAX));
            Ok(false)
        }
        (Store::Memory(bytes), Some(folder)) if bytes.len() as u64 >= folder.above() => {
            let bytes = std::mem::take(bytes);
            let (encodings, accepted) = codings(received, rules);
            let decoding = Decoding::new(encodings, accepted, bytes, false).map_err(Trouble::Body)?;
            let spill = Spill::begin(folder, decoding, rules.limits()).await?;
            let is_full = spill.is_full();
            body.store = Store::File(spill);
            Ok(is_full)
        }
        (Store::Memory(_), _) => Ok(false),
        (Store::File(spill), folder) => {
            if over {
                spill.cut(rules.max_bytes);
            }
            // So that a look at the job's bodies shows how far they are.
            let held = folder.map_or(0, BodyFolder::above);
            claim.try_grow(rules.gate.job(), rules.index, spill.received(), held);
            spill.take().await?;
            Ok(spill.is_full())
        }
    }
}

/// The content codings of a response, and which of them are undone. A part of a coded body is no coded body.
pub(super) fn codings<'a>(
    received: &'a Received,
    rules: &BodyRules<'_>,
) -> (impl Iterator<Item = &'a [u8]>, Accepted) {
    let is_part = received.status == StatusCode::PARTIAL_CONTENT.as_u16();
    let accepted = if is_part { Accepted::NONE } else { rules.accepted };
    (received.headers.get_all("content-encoding"), accepted)
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
#[derive(Default)]
pub(super) struct Plain {
    pub(super) body: Vec<u8>,
    /// Where it is instead, if it is large.
    pub(super) file: Option<Arc<BodyFile>>,
    pub(super) truncated: Option<Truncated>,
    /// The codings that are still applied to it and are to be undone later.
    pub(super) coded: Option<String>,
    /// The codings that are still applied to it and stay.
    pub(super) left: Option<String>,
    /// A remark on what was behind the coded data.
    pub(super) remark: Option<String>,
}

impl Plain {
    fn remark(trailing: bool) -> Option<String> {
        trailing.then(|| "bytes behind the end of the compressed body were dropped".to_owned())
    }
}

impl From<Spilled> for Plain {
    fn from(Spilled { file, truncated, left, trailing }: Spilled) -> Self {
        let truncated = truncated.then_some(Truncated::Length);
        let remark = Self::remark(trailing);
        Self { body: Vec::new(), file: Some(file), truncated, coded: None, left, remark }
    }
}

/// What was read, after those of its content codings that are to be undone. `partial`: it is known to be a prefix. A large
/// body waits for its turn, or goes to a file.
///
/// # Errors
/// Those of [`Decoding`]; the disk failed.
pub(super) async fn decoded(
    received: &Received,
    body: &mut Body<'_>,
    partial: bool,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Result<Plain, Trouble> {
    let body = match body.take() {
        Store::File(spill) => return Ok(spill.finish(partial).await?.into()),
        Store::Memory(body) => body,
    };
    let (encodings, accepted) = codings(received, rules);
    let limits = rules.limits();
    let mut decoding = Decoding::new(encodings, accepted, body, partial).map_err(Trouble::Body)?;
    if rules.keeps.codings {
        return Ok(plain(decoding.codings(), decoding));
    }
    let mut room = FREE.max(decoding.input() * LIKELY_RATIO);
    if let Some(folder) = rules.folder {
        room = room.min(folder.above().max(decoding.input()));
    }
    loop {
        if room > FREE {
            let input = decoding.input();
            grow(claim, input, input.saturating_add(room.min(limits.cap)), rules, clock).await;
        }
        let is_done = decoding.run(&mut rules.decoder.borrow_mut(), limits, room).map_err(Trouble::Body)?;
        if is_done {
            break;
        }
        if let Some(folder) = rules.folder {
            return Ok(Spill::begin(folder, decoding, limits).await?.finish(partial).await?.into());
        }
        room = room.saturating_mul(LIKELY_RATIO);
    }
    Ok(plain(None, decoding))
}

/// A body with those codings that are still to be undone.
fn plain(coded: Option<String>, decoding: Decoding) -> Plain {
    let Decoded { body, left, truncated, trailing } = decoding.finish();
    let truncated = truncated.then_some(Truncated::Length);
    Plain { body, file: None, truncated, coded, left, remark: Plain::remark(trailing) }
}
