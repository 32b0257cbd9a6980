//! Undoes content codings piece by piece, for a body that is never in memory as a whole. The rules are those of the
//! decoder of whole bodies: the same codings, limits and errors.
//!
//! Memory: per layer the coding's own window (32 KiB of deflate, at most 16 MiB of brotli and 8 MiB of zstd), and what
//! was fed and not read yet. A call returns at most [`PIECE`] bytes, whatever the ratio.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{
    Coding, Decoding, End, Limits, MAX_EMPTY_MEMBERS, ZSTD_WINDOW_LOG, corrupt, deflate, gzip, is_zstd,
    zstd_failure,
};
use crate::error::{Code, Failure};
use crate::options::OnOversize;

/// The most decoded bytes of one call.
pub(crate) const PIECE: usize = 64 << 10;

/// A gzip header with a longer file name or comment is refused: all of it is kept until it ends.
const MAX_GZIP_HEADER: usize = 64 << 10;

/// A body in pieces, on its way through its codings.
pub(crate) struct Stream {
    /// The outermost coding first.
    layers: Vec<Layer>,
    limits: Limits,
    trailing: bool,
    /// It stopped at the limit: this is only the first part of the body.
    truncated: bool,
}

/// What a call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes were appended.
    Piece,
    /// More input is needed.
    Hungry,
    /// The body is complete.
    Whole,
}

struct Layer {
    state: State,
    /// Fed and not read yet, from `at`.
    input: Vec<u8>,
    at: usize,
    /// Something was fed at all: an empty body is complete under any coding.
    begun: bool,
    produced: u64,
    whole: bool,
}

enum State {
    Gzip(Gzip),
    Deflate { inflate: Box<Decompress>, sniffed: bool },
    Brotli(Box<BrotliState<HeapAlloc<u8>, HeapAlloc<u32>, HeapAlloc<brotli::HuffmanCode>>>),
    Zstd { context: DCtx<'static>, place: Place, empty: u32, member: u64 },
}

struct Gzip {
    inflate: Box<Decompress>,
    crc: Crc,
    length: usize,
    place: Place,
    empty: u32,
    first: bool,
}

/// Where in a sequence of members or frames.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Between,
    Inside,
    Trailer,
}

impl Decoding {
    /// Whether there is nothing to undo.
    pub(crate) fn is_done(&self) -> bool {
        self.codings.is_empty()
    }

    /// Undoes the rest piece by piece: the decoder, what it has to be fed first, and the codings that will be left.
    ///
    /// # Errors
    /// No memory for a decoder.
    pub(crate) fn into_stream(self, limits: Limits) -> Result<(Stream, Vec<u8>, Option<String>), Failure> {
        Ok((Stream::new(&self.codings, limits)?, self.decoded.body, self.decoded.left))
    }
}

impl Stream {
    /// `codings` are those to undo, the outermost last.
    ///
    /// # Errors
    /// No memory for a decoder.
    pub(super) fn new(codings: &[Coding], limits: Limits) -> Result<Self, Failure> {
        let layers = codings.iter().rev().map(|&coding| Layer::new(coding)).collect::<Result<_, _>>()?;
        Ok(Self { layers, limits, trailing: false, truncated: false })
    }

    /// Adds input: more of the body as it comes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if let Some(layer) = self.layers.first_mut() {
            self.trailing |= layer.whole && !bytes.is_empty() && !self.truncated;
            layer.feed(bytes);
        }
    }

    /// Appends up to [`PIECE`] bytes to `out`. `ended`: no more input comes. `partial`: it is known to be a prefix, so that
    /// its early end is no error.
    ///
    /// # Errors
    /// `decode.truncated`, `decode.corrupt`, `decode.window`, `too_large.decoded`.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>, ended: bool, partial: bool) -> Result<Step, Failure> {
        let Some(last) = self.layers.len().checked_sub(1) else { return Ok(Step::Whole) };
        let step = self.pull(last, out, ended, partial)?;
        if step != Step::Whole || self.truncated {
            return Ok(step);
        }
        // Whatever is left of the inner layers has its own checks.
        let mut dropped = Vec::new();
        for at in (0..last).rev() {
            loop {
                dropped.clear();
                match self.pull(at, &mut dropped, ended, partial)? {
                    Step::Piece => self.trailing = true,
                    Step::Hungry => return Ok(Step::Hungry),
                    Step::Whole => break,
                }
            }
        }
        Ok(Step::Whole)
    }

    /// Whether bytes followed the end of the coded data; they are dropped.
    pub(crate) fn has_trailing(&self) -> bool {
        self.trailing
    }

    /// Whether it stopped at the limit.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    fn pull(&mut self, at: usize, out: &mut Vec<u8>, ended: bool, partial: bool) -> Result<Step, Failure> {
        loop {
            let Some(layer) = self.layers.get_mut(at) else { return Ok(Step::Whole) };
            let before = out.len();
            if layer.step(out)? {
                self.trailing |= layer.at < layer.input.len();
                layer.clear();
            }
            layer.produced += (out.len() - before) as u64;
            let whole = layer.whole;
            if layer.produced > self.limits.cap {
                let over = usize::try_from(layer.produced - self.limits.cap).unwrap_or(usize::MAX);
                out.truncate(out.len().saturating_sub(over));
                if self.limits.on_oversize == OnOversize::Error {
                    return Err(Failure::new(
                        Code::TooLargeDecoded,
                        "the decoded body exceeds max_body_size",
                    ));
                }
                (layer.whole, layer.produced) = (true, self.limits.cap);
                layer.clear();
                self.truncated = true;
                return Ok(Step::Piece);
            }
            if out.len() > before {
                return Ok(Step::Piece);
            }
            if whole {
                return Ok(Step::Whole);
            }
            let mut piece = Vec::new();
            let below = match at.checked_sub(1) {
                None if ended => Step::Whole,
                None => Step::Hungry,
                Some(below) => self.pull(below, &mut piece, ended, partial)?,
            };
            let Some(layer) = self.layers.get_mut(at) else { return Ok(Step::Whole) };
            match below {
                Step::Piece => layer.feed(&piece),
                Step::Hungry => return Ok(Step::Hungry),
                Step::Whole => {
                    self.trailing |= layer.end(partial || self.truncated)?;
                }
            }
        }
    }
}

impl Layer {
    fn new(coding: Coding) -> Result<Self, Failure> {
        let state = match coding {
            Coding::Gzip => State::Gzip(Gzip {
                inflate: Box::new(Decompress::new(false)),
                crc: Crc::new(),
                length: 0,
                place: Place::Between,
                empty: 0,
                first: true,
            }),
            Coding::Deflate => State::Deflate { inflate: Box::new(Decompress::new(true)), sniffed: false },
            Coding::Brotli => {
                let (u8s, u32s, codes) = (HeapAlloc::default(), HeapAlloc::default(), HeapAlloc::default());
                State::Brotli(Box::new(BrotliState::new_strict(u8s, u32s, codes)))
            }
            Coding::Zstd => {
                let mut context = DCtx::try_create().ok_or_else(|| corrupt("no memory for zstd"))?;
                context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(zstd_failure)?;
                State::Zstd { context, place: Place::Between, empty: 0, member: 0 }
            }
        };
        Ok(Self { state, input: Vec::new(), at: 0, begun: false, produced: 0, whole: false })
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.whole {
            return;
        }
        self.begun |= !bytes.is_empty();
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.input = Vec::new();
        self.at = 0;
    }

    /// Reads until there is a piece of output or the input is used up. True: the coded data has just ended.
    fn step(&mut self, out: &mut Vec<u8>) -> Result<bool, Failure> {
        if self.whole || !self.begun {
            return Ok(false);
        }
        let rest = self.input.get(self.at..).unwrap_or_default();
        let most = out.len() + PIECE;
        out.reserve_exact(PIECE);
        let (used, whole) = match &mut self.state {
            State::Gzip(gzip) => gzip.step(rest, out, most)?,
            State::Deflate { inflate, sniffed } => deflate(inflate, sniffed, rest, out)?,
            State::Brotli(state) => brotli(state, rest, out, most)?,
            State::Zstd { context, place, empty, member } => zstd(context, place, empty, member, rest, out)?,
        };
        self.at += used;
        self.whole = whole;
        Ok(whole)
    }

    /// No more input comes. Returns whether bytes followed the coded data.
    fn end(&mut self, partial: bool) -> Result<bool, Failure> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let (is_member, rest) = (rest.starts_with(&gzip::MAGIC), rest.len());
        let end = match &self.state {
            _ if !self.begun => End::Whole,
            State::Gzip(Gzip { place: Place::Between, first: false, .. }) if !is_member => End::Whole,
            State::Zstd { place: Place::Trailer, .. } => End::Whole,
            State::Gzip(Gzip { place: Place::Trailer, .. }) => End::Unchecked,
            _ => End::Input,
        };
        match end {
            End::Input if !partial => {
                return Err(Failure::new(Code::DecodeTruncated, "the compressed body ends early"));
            }
            End::Unchecked if !partial => return Err(corrupt("the gzip check is missing")),
            _ => {}
        }
        self.whole = true;
        self.clear();
        Ok(rest > 0 && matches!(end, End::Whole))
    }
}

impl Gzip {
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(usize, bool), Failure> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.place {
                Place::Between => {
                    let known = rest.len().min(gzip::MAGIC.len());
                    if !self.first && rest.get(..known) != gzip::MAGIC.get(..known) {
                        return Ok((used, true));
                    }
                    let Some(header) = gzip::header(rest)? else {
                        if rest.len() > MAX_GZIP_HEADER {
                            return Err(corrupt("the gzip header is too long"));
                        }
                        return Ok((used, false));
                    };
                    used += header;
                    self.inflate.reset(false);
                    (self.crc, self.length, self.first) = (Crc::new(), 0, false);
                    self.place = Place::Inside;
                }
                Place::Inside => {
                    let before = out.len();
                    let (read, ended) = inflate(&mut self.inflate, rest, out)?;
                    used += read;
                    let new = out.get(before..).unwrap_or_default();
                    self.crc.update(new);
                    self.length = self.length.wrapping_add(new.len());
                    if ended {
                        self.place = Place::Trailer;
                    } else {
                        return Ok((used, false));
                    }
                }
                Place::Trailer => {
                    let Some(trailer) = rest.get(..gzip::TRAILER) else { return Ok((used, false)) };
                    if trailer != gzip::trailer(self.crc.sum(), self.length) {
                        return Err(corrupt("the gzip check does not match"));
                    }
                    self.empty += u32::from(self.length == 0);
                    if self.empty > MAX_EMPTY_MEMBERS {
                        return Err(corrupt("too many empty gzip members"));
                    }
                    used += gzip::TRAILER;
                    self.place = Place::Between;
                    if out.len() >= most {
                        return Ok((used, false));
                    }
                }
            }
        }
    }
}

/// Reads as far as there is room. Returns how much was read, and whether the data ended.
fn inflate(inflate: &mut Decompress, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), Failure> {
    let before = inflate.total_in();
    let status = inflate
        .decompress_vec(input, out, FlushDecompress::None)
        .map_err(|_| corrupt("the body is not deflate"))?;
    Ok(((inflate.total_in() - before) as usize, status == Status::StreamEnd))
}

/// The zlib format, or deflate without it: as long as nothing has come out, what was read is read again with more.
fn deflate(
    state: &mut Decompress,
    sniffed: &mut bool,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(usize, bool), Failure> {
    if *sniffed {
        return inflate(state, input, out);
    }
    if input.len() < 2 {
        return Ok((0, false));
    }
    let before = out.len();
    let mut tried = Err(corrupt("the body is not deflate"));
    if deflate::is_zlib(input) {
        state.reset(true);
        tried = inflate(state, input, out);
    }
    if tried.is_err() && out.len() == before {
        state.reset(false);
        tried = inflate(state, input, out);
    }
    let (used, ended) = tried?;
    *sniffed = ended || out.len() > before || input.len() > PIECE;
    Ok(if *sniffed { (used, ended) } else { (0, false) })
}

fn brotli(
    state: &mut BrotliState<HeapAlloc<u8>, HeapAlloc<u32>, HeapAlloc<brotli::HuffmanCode>>,
    input: &[u8],
    out: &mut Vec<u8>,
    most: usize,
) -> Result<(usize, bool), Failure> {
    let (mut left, mut used, mut total) = (input.len(), 0, 0);
    let mut written = out.len();
    out.resize(most, 0);
    let mut room = most - written;
    let result =
        BrotliDecompressStream(&mut left, &mut used, input, &mut room, &mut written, out, &mut total, state);
    out.truncate(written);
    match result {
        BrotliResult::ResultSuccess => Ok((used, true)),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok((used, false)),
        BrotliResult::ResultFailure => Err(corrupt("the body is not brotli")),
    }
}

/// `Place::Trailer` is behind a whole frame, where another one may follow.
fn zstd(
    context: &mut DCtx<'_>,
    place: &mut Place,
    empty: &mut u32,
    member: &mut u64,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(usize, bool), Failure> {
    let mut source = InBuffer::around(input);
    loop {
        if *place == Place::Trailer {
            let rest = input.get(source.pos()..).unwrap_or_default();
            if rest.len() < 4 {
                return Ok((source.pos(), false));
            }
            if !is_zstd(rest) {
                return Ok((source.pos(), true));
            }
            (*place, *member) = (Place::Inside, 0);
        }
        *place = Place::Inside;
        let (read, written) = (source.pos(), out.len());
        let hint = context
            .decompress_stream(&mut OutBuffer::around_pos(out, written), &mut source)
            .map_err(zstd_failure)?;
        *member += (out.len() - written) as u64;
        if hint == 0 {
            *empty += u32::from(*member == 0);
            if *empty > MAX_EMPTY_MEMBERS {
                return Err(corrupt("too many empty zstd frames"));
            }
            *place = Place::Trailer;
        } else if out.len() > written || read == source.pos() {
            return Ok((source.pos(), false));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::exchange::accepted::Accepted;
    use crate::exchange::decode::Decoder;
    use crate::exchange::decode::tests::encode;

    const LIMITS: Limits = Limits { cap: 1 << 20, on_oversize: OnOversize::Error };

    type Ended = Result<(Vec<u8>, bool, bool), Code>;

    fn at_once(line: &str, body: &[u8], limits: Limits, partial: bool) -> Ended {
        let mut decoding = Decoding::new([line.as_bytes()], Accepted::ALL, body.to_vec(), partial)
            .map_err(|failure| failure.code)?;
        decoding.run(&mut Decoder::default(), limits, u64::MAX).map_err(|failure| failure.code)?;
        let decoded = decoding.finish();
        Ok((decoded.body, decoded.truncated, decoded.trailing))
    }

    fn in_pieces(line: &str, body: &[u8], limits: Limits, partial: bool, size: usize) -> Ended {
        let decoding = Decoding::new([line.as_bytes()], Accepted::ALL, Vec::new(), partial).unwrap();
        let (mut stream, _, _) = decoding.into_stream(limits).map_err(|failure| failure.code)?;
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        let mut drain = |stream: &mut Stream, ended| loop {
            piece.clear();
            let step = stream.next(&mut piece, ended, partial).map_err(|failure| failure.code)?;
            assert!(piece.len() <= PIECE);
            all.extend_from_slice(&piece);
            if step != Step::Piece {
                return Ok(step);
            }
        };
        for part in body.chunks(size) {
            stream.feed(part);
            drain(&mut stream, false)?;
        }
        assert_eq!(drain(&mut stream, true)?, Step::Whole);
        let truncated = stream.is_truncated() || partial;
        Ok((all, truncated, stream.has_trailing()))
    }

    fn assert_alike(line: &str, body: &[u8], limits: Limits, partial: bool) {
        let expected = at_once(line, body, limits, partial);
        for size in [1, 2, 7, 1_000, 1 << 20].into_iter().filter(|&size| body.len() / size < 5_000) {
            let found = in_pieces(line, body, limits, partial, size);
            let is_alike = match (&found, &expected) {
                // How much of a broken end comes out depends on how it came in.
                (Ok(found), Ok(expected)) if partial => {
                    let (short, long) = (found.0.len().min(expected.0.len()), &expected.0);
                    found.0[..short] == long[..short] && long.len() - short < 1_000 && found.1 && expected.1
                }
                _ => found == expected,
            };
            assert!(
                is_alike,
                "{line}, {} bytes by {size}: {:?}",
                body.len(),
                found.map(|ended| ended.0.len())
            );
        }
    }

    fn text(length: usize) -> Vec<u8> {
        (0u32..)
            .flat_map(|number| format!("{} ", number.wrapping_mul(99_991)).into_bytes())
            .take(length)
            .collect()
    }

    #[test]
    fn e2_e3_whole_cut_and_damaged_bodies_end_as_those_in_memory() {
        for coding in ["gzip", "deflate", "raw", "br", "zstd"] {
            let line = if coding == "raw" { "deflate" } else { coding };
            for length in [1, 300, 70_000, 400_000] {
                let body = encode(coding, &text(length));
                assert_alike(line, &body, LIMITS, false);
                for end in [1, 3, 9, body.len() / 2, body.len() - 1, body.len().saturating_sub(5)] {
                    let cut = &body[..end.min(body.len())];
                    assert_alike(line, cut, LIMITS, false);
                    assert_alike(line, cut, LIMITS, true);
                }
                let mut damaged = body.clone();
                damaged[body.len() - 2] ^= 0x55;
                assert_alike(line, &damaged, LIMITS, false);
                assert_alike(line, b"<!doctype html><html><body>", LIMITS, false);
            }
        }
    }

    #[test]
    fn e1_the_cap_holds_for_every_layer() {
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let bomb = encode(coding, &vec![0; 3 << 20]);
            assert_alike(coding, &bomb, LIMITS, false);
            let truncate = Limits { on_oversize: OnOversize::Truncate, ..LIMITS };
            assert_alike(coding, &bomb, truncate, false);
            assert_alike(&format!("gzip, {coding}"), &encode(coding, &bomb), LIMITS, false);
            for cap in [69_999, 70_000] {
                assert_alike(coding, &encode(coding, &text(70_000)), Limits { cap, ..LIMITS }, false);
            }
        }
    }

    #[test]
    fn e5_e6_e8_members_trailing_bytes_and_layers() {
        for coding in ["gzip", "zstd"] {
            let mut body = encode(coding, b"one ");
            body.extend(encode(coding, b""));
            body.extend(encode(coding, &text(100_000)));
            assert_alike(coding, &body, LIMITS, false);
            assert_alike(coding, &encode(coding, b"").repeat(1_000), LIMITS, false);
        }
        for coding in ["gzip", "deflate", "br", "zstd"] {
            for junk in [&b"\0\0\0\0"[..], b"junk", b"\x1f\x8b"] {
                assert_alike(coding, &[&encode(coding, b"x"), junk].concat(), LIMITS, false);
            }
            let layered = encode("zstd", &encode("br", &encode("gzip", &encode(coding, &text(90_000)))));
            assert_alike(&format!("{coding}, gzip, br, zstd"), &layered, LIMITS, false);
            assert_alike(coding, b"", LIMITS, false);
        }
    }
}
