//! Decodes Content-Encoding, within limits.
//!
//! A body is untrusted input: it may be a bomb, end early, lie about its coding or carry junk. The rules are the
//! cases E1 to E11 of the fault table. Nothing here does I/O.
//!
//! Memory: besides the body as received, at most `cap` decoded bytes plus one step ([`STEP`]) exist per layer, and a
//! layer's input is freed before the next layer starts. Work is bounded by the input's length and the cap.
//!
//! Source: RFC 9110 §8.4, RFC 1950 to 1952, RFC 7932, RFC 8878, RFC 9659.

mod br;
mod deflate;
mod gzip;
mod stream;

use sirocco::Format;
use sirocco::inflate;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_frame_content_size};

use super::accepted::Accepted;
use crate::error::{Code, Failure};
use crate::options::OnOversize;
pub(crate) use stream::{Step, Stream};

/// The most codings that are decoded, one inside the other.
const MAX_LAYERS: usize = 5;

/// The most gzip members or zstd frames of one body that may be empty: more are meant to waste time.
const MAX_EMPTY_MEMBERS: u32 = 64;

/// The least space a decoder gets at once, in bytes.
const STEP: usize = 16 << 10;

/// Deflate shrinks nothing by more than this factor; a length that promises more is a lie.
const MAX_RATIO: usize = 1032;

/// The largest zstd window, 8 MiB (RFC 9659 §3), as a power of two.
const ZSTD_WINDOW_LOG: u32 = 23;

/// The limits of a decoded body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most decoded bytes.
    pub(crate) cap: u64,
    /// What to do with a larger one.
    pub(crate) on_oversize: OnOversize,
}

/// A decoded body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The bytes.
    pub(crate) body: Vec<u8>,
    /// The codings that are still applied to the bytes, as Content-Encoding would list them: unknown ones, and those
    /// that were not asked for.
    pub(crate) left: Option<String>,
    /// Whether these bytes are only the first part of what was encoded.
    pub(crate) truncated: bool,
    /// Whether bytes followed the end of the encoded data; they are dropped.
    pub(crate) trailing: bool,
}

/// A body that was kept as received, decoded: up to `most` bytes of it, and of one that ends early what there is. `whole`:
/// it has to be whole.
///
/// # Errors
/// Those of [`Decoding::run`]; unless it has to be whole, except for an early end and a body that is too long.
pub fn decode_body(
    content_encoding: &str,
    body: Vec<u8>,
    most: u64,
    whole: bool,
) -> Result<Vec<u8>, Failure> {
    let on_oversize = if whole { OnOversize::Error } else { OnOversize::Truncate };
    let limits = Limits { cap: most, on_oversize };
    let mut decoding = Decoding::new([content_encoding.as_bytes()], Accepted::ALL, body, !whole)?;
    decoding.run(&mut Decoder::default(), limits, u64::MAX)?;
    let mut decoded = decoding.finish().body;
    decoded.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(decoded)
}

/// Decoder state that is worth keeping between bodies: 14 KiB for each format of deflate, 160 KiB and more for zstd. One
/// per shard; the states are created when first needed.
#[derive(Default)]
pub(crate) struct Decoder {
    raw: Option<Box<inflate::Decoder>>,
    zlib: Option<Box<inflate::Decoder>>,
    zstd: Option<DCtx<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    pub(super) const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    pub(super) fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 5] = [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|&(_, coding)| coding)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// How long the input is when decoded, as it says itself: for gzip, its last member, modulo 2^32.
    fn decoded_length(self, input: &[u8]) -> Option<usize> {
        match self {
            Self::Gzip => input.last_chunk().map(|&length| u32::from_le_bytes(length) as usize),
            Self::Zstd => usize::try_from(get_frame_content_size(input).ok()??).ok(),
            Self::Deflate | Self::Brotli => None,
        }
    }
}

/// How one layer ended.
struct Layer {
    /// How much of the input was read.
    used: usize,
    end: End,
}

enum End {
    /// At the end of the encoded data.
    Whole,
    /// At the cap, or at the end of the room, with more to come.
    Cap,
    /// At the end of the input, inside the encoded data.
    Input,
    /// At the end of the input, with all data but without the check that has to follow.
    Unchecked,
}

/// A body on its way through its codings.
pub(crate) struct Decoding {
    /// Those still applied, the outermost last.
    codings: Vec<Coding>,
    decoded: Decoded,
    /// The outermost layer has more bytes than this, as was seen before.
    more_than: u64,
}

impl Decoding {
    /// Of a body with the codings that the Content-Encoding lines list, the last one applied last. `partial`: it is known
    /// to be a prefix, so that its early end is no error.
    ///
    /// A coding that is unknown or not in `accepted` stops the decoding and is no error: see [`Decoded::left`]. An empty
    /// body is complete under any coding.
    ///
    /// # Errors
    /// `decode.too_many_layers`: more than five codings.
    pub(crate) fn new<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
        accepted: Accepted,
        body: Vec<u8>,
        partial: bool,
    ) -> Result<Self, Failure> {
        let lines: Vec<_> = lines.into_iter().map(String::from_utf8_lossy).collect();
        let mut names: Vec<&str> = lines
            .iter()
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
            .collect();
        let next = |names: &[&str]| {
            names.last().and_then(|name| Coding::named(name)).filter(|&coding| accepted.has(coding))
        };
        if names.len() > MAX_LAYERS && next(&names).is_some() {
            return Err(Failure::new(Code::DecodeTooManyLayers, "more than five layers of Content-Encoding"));
        }
        let mut codings = Vec::new();
        while let Some(coding) = next(&names) {
            names.pop();
            codings.insert(0, coding);
        }
        let left = (!names.is_empty()).then(|| names.join(", "));
        let decoded = Decoded { body, left, truncated: partial, trailing: false };
        Ok(Self { codings, decoded, more_than: 0 })
    }

    /// The codings that are still to be undone, as Content-Encoding would list them.
    pub(crate) fn codings(&self) -> Option<String> {
        let names: Vec<_> = self.codings.iter().map(|coding| coding.name()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// How long the body is under its outermost coding.
    pub(crate) fn input(&self) -> u64 {
        self.decoded.body.len() as u64
    }

    /// Decodes, as far as no layer has more than `room` bytes. False: one has; with more room it is decoded again.
    ///
    /// # Errors
    /// - `decode.truncated`: the input ends early.
    /// - `decode.corrupt`: the input is not in its coding, or fails its check.
    /// - `decode.window`: a zstd window over 8 MiB.
    /// - `too_large.decoded`: over the cap, unless the limits say to truncate.
    pub(crate) fn run(&mut self, decoder: &mut Decoder, limits: Limits, room: u64) -> Result<bool, Failure> {
        while let Some(&coding) = self.codings.last() {
            if !self.decoded.body.is_empty()
                && !decoder.undo(coding, &mut self.decoded, limits, room, self.more_than)?
            {
                self.more_than = room;
                return Ok(false);
            }
            self.codings.pop();
            self.more_than = 0;
        }
        Ok(true)
    }

    /// The body, decoded.
    pub(crate) fn finish(self) -> Decoded {
        self.decoded
    }
}

impl Decoder {
    /// Undoes one layer, which has more than `more_than` bytes. False: it has more than `room` too, and nothing was
    /// changed.
    fn undo(
        &mut self,
        coding: Coding,
        decoded: &mut Decoded,
        limits: Limits,
        room: u64,
        more_than: u64,
    ) -> Result<bool, Failure> {
        let input = std::mem::take(&mut decoded.body);
        let length = coding.decoded_length(&input);
        let mut output = Output::new(limits.cap.min(room), input.len(), length, more_than);
        let layer = match coding {
            Coding::Gzip => self.gzip(&input, &mut output),
            Coding::Deflate => self.deflate(&input, &mut output),
            Coding::Brotli => br::decode(&input, &mut output),
            Coding::Zstd => self.zstd(&input, &mut output),
        }?;
        match layer.end {
            End::Cap if room < limits.cap => {
                decoded.body = input;
                return Ok(false);
            }
            End::Whole => decoded.trailing |= layer.used < input.len(),
            End::Cap if limits.on_oversize == OnOversize::Truncate => decoded.truncated = true,
            End::Cap => {
                return Err(Failure::new(Code::TooLargeDecoded, "the decoded body exceeds max_body_size"));
            }
            End::Input | End::Unchecked if decoded.truncated => {}
            End::Input => return Err(Failure::new(Code::DecodeTruncated, "the compressed body ends early")),
            End::Unchecked => return Err(corrupt("the gzip check is missing")),
        }
        decoded.body = output.finish();
        Ok(true)
    }

    fn inflate(&mut self, format: Format) -> &mut inflate::Decoder {
        let kept = if format == Format::Zlib { &mut self.zlib } else { &mut self.raw };
        kept.get_or_insert_with(|| Box::new(inflate::Decoder::new(format)))
    }

    /// All members, one after the other (RFC 1952 §2.2).
    fn gzip(&mut self, input: &[u8], output: &mut Output) -> Result<Layer, Failure> {
        let mut used = 0;
        let mut empty = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if used > 0 && !rest.starts_with(&gzip::MAGIC) {
                return Ok(Layer { used, end: End::Whole });
            }
            let Some(header) = gzip::header(rest)? else { return Ok(Layer { used, end: End::Input }) };
            let start = output.bytes.len();
            let data = rest.get(header..).unwrap_or_default();
            let layer = deflate::inflate(self.inflate(Format::Deflate), data, output)?;
            let End::Whole = layer.end else { return Ok(Layer { used, end: layer.end }) };
            let member = output.bytes.get(start..).unwrap_or_default();
            let Some(trailer) = data.get(layer.used..layer.used + gzip::TRAILER) else {
                return Ok(Layer { used, end: End::Unchecked });
            };
            if trailer != gzip::trailer(crc32fast::hash(member), member.len()) {
                return Err(corrupt("the gzip check does not match"));
            }
            empty += u32::from(member.is_empty());
            if empty > MAX_EMPTY_MEMBERS {
                return Err(corrupt("too many empty gzip members"));
            }
            used += header + layer.used + gzip::TRAILER;
        }
    }

    /// The zlib format, or deflate without it, which some servers send (RFC 9110 §8.4.1.2).
    fn deflate(&mut self, input: &[u8], output: &mut Output) -> Result<Layer, Failure> {
        let zlib =
            deflate::is_zlib(input).then(|| deflate::inflate(self.inflate(Format::Zlib), input, output));
        if let Some(Ok(layer)) = zlib {
            return Ok(layer);
        }
        output.bytes.clear();
        deflate::inflate(self.inflate(Format::Deflate), input, output)
    }

    /// All frames, one after the other (RFC 8878 §3).
    fn zstd(&mut self, input: &[u8], output: &mut Output) -> Result<Layer, Failure> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or_else(|| corrupt("no memory for zstd"))?),
        };
        // After a failed body the context is still inside a frame.
        context.reset(ResetDirective::SessionOnly).map_err(zstd_failure)?;
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(zstd_failure)?;
        let mut source = InBuffer::around(input);
        let mut empty = 0;
        loop {
            let start = output.bytes.len();
            match zstd_frame(context, &mut source, output)? {
                End::Whole => {}
                end => return Ok(Layer { used: source.pos(), end }),
            }
            empty += u32::from(output.bytes.len() == start);
            if empty > MAX_EMPTY_MEMBERS {
                return Err(corrupt("too many empty zstd frames"));
            }
            if !is_zstd(input.get(source.pos()..).unwrap_or_default()) {
                return Ok(Layer { used: source.pos(), end: End::Whole });
            }
        }
    }
}

/// The decoded bytes. Grows by doubling, never past the cap and one byte: that byte distinguishes a body that just
/// fits from a larger one.
struct Output {
    bytes: Vec<u8>,
    cap: usize,
}

impl Output {
    /// `length`: how long the input says that it is, decoded. It may lie, and costs no more than `cap` then.
    fn new(cap: u64, input: usize, length: Option<usize>, more_than: u64) -> Self {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX).min(isize::MAX as usize - 1);
        // Text shrinks to about a quarter; what shrinks further costs a few more steps. What is known to be large has its
        // own pages from the start: what grows to that size leaves memory behind that the allocator keeps.
        let likely =
            length.map_or(input.saturating_mul(4), |length| length.min(input.saturating_mul(MAX_RATIO)));
        let known = usize::try_from(more_than).unwrap_or(usize::MAX).saturating_mul(2);
        let first = likely.max(STEP).max(known).min(cap + 1);
        Self { bytes: Vec::with_capacity(first), cap }
    }

    /// Makes room for at least one more byte. False when the cap is exceeded.
    fn grow(&mut self) -> bool {
        let length = self.bytes.len();
        if length > self.cap {
            return false;
        }
        if length == self.bytes.capacity() {
            self.bytes.reserve_exact(length.max(STEP).min(self.cap + 1 - length));
        }
        true
    }

    /// All of its space, from the first byte of a stream at `start`, of which `length` bytes are decoded. The space behind
    /// them holds zeros or what an earlier call left there.
    fn space(&mut self, start: usize) -> &mut [u8] {
        self.bytes.resize(self.bytes.capacity().min(self.cap + 1), 0);
        self.bytes.get_mut(start..).unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.bytes.len() > self.cap
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.cap);
        self.bytes
    }
}

fn corrupt(words: &'static str) -> Failure {
    Failure::new(Code::DecodeCorrupt, words)
}

/// Whether a zstd frame starts here: its magic number, or that of a skippable one (RFC 8878 §3.1).
fn is_zstd(input: &[u8]) -> bool {
    input
        .first_chunk()
        .map(|&magic| u32::from_le_bytes(magic))
        .is_some_and(|magic| magic == 0xfd2f_b528 || magic & 0xffff_fff0 == 0x184d_2a50)
}

fn zstd_frame(
    context: &mut DCtx<'_>,
    source: &mut InBuffer<'_>,
    output: &mut Output,
) -> Result<End, Failure> {
    loop {
        if !output.grow() {
            return Ok(End::Cap);
        }
        let (read, written) = (source.pos(), output.bytes.len());
        let hint = context
            .decompress_stream(&mut OutBuffer::around_pos(&mut output.bytes, written), source)
            .map_err(zstd_failure)?;
        if hint == 0 {
            return Ok(if output.is_over() { End::Cap } else { End::Whole });
        }
        if read == source.pos() && written == output.bytes.len() {
            return Ok(End::Input);
        }
    }
}

fn zstd_failure(code: usize) -> Failure {
    // zstd returns the negated error number (ZSTD_getErrorCode in zstd_errors.h).
    if code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize {
        return Failure::new(Code::DecodeWindow, "the zstd window is over 8 MiB");
    }
    corrupt("the body is not zstd")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const LIMITS: Limits = Limits { cap: 1 << 20, on_oversize: OnOversize::Error };
    const ALL: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

    /// `raw` is deflate without the zlib format.
    pub(super) fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(data).unwrap();
                encoder.into_inner()
            }
            _ => zstd::bulk::compress(data, 3).unwrap(),
        }
    }

    fn decode_by(decoder: &mut Decoder, coding: &str, body: Vec<u8>) -> Result<Decoded, Failure> {
        let mut decoding = Decoding::new([coding.as_bytes()], Accepted::ALL, body, false)?;
        assert!(decoding.run(decoder, LIMITS, u64::MAX)?);
        Ok(decoding.finish())
    }

    fn decode_with(lines: &[&str], body: Vec<u8>, limits: Limits) -> Result<Decoded, Failure> {
        decode_accepted(lines, Accepted::ALL, body, limits)
    }

    fn decode_accepted(
        lines: &[&str],
        accepted: Accepted,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Decoded, Failure> {
        let lines = lines.iter().map(|line| line.as_bytes());
        let mut decoding = Decoding::new(lines, accepted, body, false)?;
        assert!(decoding.run(&mut Decoder::default(), limits, u64::MAX)?);
        Ok(decoding.finish())
    }

    fn decode(line: &str, body: Vec<u8>) -> Result<Decoded, Failure> {
        decode_with(&[line], body, LIMITS)
    }

    fn code(line: &str, body: Vec<u8>) -> Code {
        decode(line, body).unwrap_err().code
    }

    /// Text that shrinks to about a third, of any length.
    fn text(length: usize) -> Vec<u8> {
        let words = (0u32..)
            .flat_map(|number| format!("{} bottles ", number.wrapping_mul(2_654_435_761)).into_bytes());
        words.take(length).collect()
    }

    #[test]
    fn every_coding_gives_the_bytes_back() {
        let mut decoder = Decoder::default();
        for length in [1, 100, STEP - 1, STEP, STEP + 1, 300_000] {
            for coding in ALL {
                let data = text(length);
                let result = decode_by(&mut decoder, coding, encode(coding, &data)).unwrap();
                assert!(result.body == data, "{coding} {length}");
                assert_eq!((result.left, result.truncated, result.trailing), (None, false, false));
            }
        }
    }

    #[test]
    fn a_decoder_is_good_after_any_failure() {
        let mut decoder = Decoder::default();
        let data = text(50_000);
        for coding in ALL {
            let whole = encode(coding, &data);
            // Brotli has no check of its own: only damage to its end markers is sure to be noticed.
            let mut corrupt = whole.clone();
            corrupt.truncate(whole.len() / 2);
            corrupt.extend([0xff; 64]);
            for broken in [whole[..whole.len() / 2].to_vec(), corrupt] {
                assert!(decode_by(&mut decoder, coding, broken).is_err(), "{coding}");
                let result = decode_by(&mut decoder, coding, whole.clone()).unwrap();
                assert!(result.body == data, "{coding}");
            }
        }
    }

    #[test]
    fn names_are_read_as_http_writes_them() {
        let body = encode("gzip", b"x");
        for line in ["gzip", "GZIP", "x-gzip", " gzip ,", "identity, gzip", "gzip, Identity"] {
            assert_eq!(decode(line, body.clone()).unwrap().body, b"x", "{line}");
        }
        for line in ["", "identity", ","] {
            assert_eq!(decode(line, body.clone()).unwrap().body, body, "{line}");
        }
    }

    #[test]
    fn e1_a_bomb_stops_at_the_cap() {
        for coding in ALL {
            let bomb = encode(coding, &vec![0; 2 << 20]);
            assert_eq!(code(coding, bomb.clone()), Code::TooLargeDecoded, "{coding}");
            let truncate = Limits { on_oversize: OnOversize::Truncate, ..LIMITS };
            let decoded = decode_with(&[coding], bomb, truncate).unwrap();
            assert_eq!((decoded.body.len() as u64, decoded.truncated), (LIMITS.cap, true), "{coding}");
            assert!(decoded.body.capacity() as u64 <= LIMITS.cap + STEP as u64, "{coding}");
        }
    }

    #[test]
    fn e1_a_body_that_just_fits_is_whole() {
        for coding in ALL {
            for (cap, fits) in [(100_000, true), (99_999, false)] {
                let result = decode_with(&[coding], encode(coding, &text(100_000)), Limits { cap, ..LIMITS });
                assert_eq!(result.is_ok_and(|decoded| !decoded.truncated), fits, "{coding} {cap}");
            }
        }
    }

    #[test]
    fn e1_a_body_that_needs_more_room_is_decoded_when_it_has_it() {
        for coding in ALL {
            let inner = encode("gzip", &vec![7; 300_000]);
            let twice = encode(coding, &inner);
            let lines = ["gzip".as_bytes(), coding.as_bytes()];
            let mut decoding = Decoding::new(lines, Accepted::ALL, twice, false).unwrap();
            let mut decoder = Decoder::default();
            let done = |decoding: &mut Decoding, decoder: &mut Decoder, room| {
                decoding.run(decoder, LIMITS, room).unwrap()
            };
            assert!(!done(&mut decoding, &mut decoder, 10), "{coding}");
            assert!(!done(&mut decoding, &mut decoder, 1_000), "{coding}");
            assert_eq!(decoding.input(), inner.len() as u64, "{coding}: one layer is undone");
            assert!(!done(&mut decoding, &mut decoder, 299_999), "{coding}");
            assert!(done(&mut decoding, &mut decoder, 300_000), "{coding}");
            assert_eq!(decoding.finish().body, vec![7; 300_000], "{coding}");
        }
    }

    #[test]
    fn e2_a_prefix_gives_the_same_however_little_room_it_gets() {
        for coding in ALL {
            let body = encode(coding, &text(3_000));
            for end in (8..body.len()).step_by(7) {
                let within = |mut room: u64| {
                    let prefix = body[..end].to_vec();
                    let mut decoding =
                        Decoding::new([coding.as_bytes()], Accepted::ALL, prefix, true).unwrap();
                    while !decoding.run(&mut Decoder::default(), LIMITS, room).unwrap() {
                        room *= 4;
                    }
                    decoding.finish()
                };
                assert_eq!(within(10), within(u64::MAX), "{coding}, {end} of {}", body.len());
            }
        }
    }

    #[test]
    fn e2_truncated_at_any_place() {
        for coding in ALL {
            let data = text(400);
            let body = encode(coding, &data);
            // The last 8 bytes of gzip are its check: see E3.
            let end = body.len() - if coding == "gzip" { 8 } else { 0 };
            for length in 1..end {
                assert_eq!(code(coding, body[..length].to_vec()), Code::DecodeTruncated, "{coding} {length}");
            }
            let partial = body[..end - 4].to_vec();
            let mut decoding = Decoding::new([coding.as_bytes()], Accepted::ALL, partial, true).unwrap();
            assert!(decoding.run(&mut Decoder::default(), LIMITS, u64::MAX).unwrap());
            let decoded = decoding.finish();
            assert!(decoded.truncated && data.starts_with(&decoded.body), "{coding}");
        }
    }

    #[test]
    fn e3_bad_or_missing_check() {
        let body = encode("gzip", &text(400));
        for missing in 1..=8 {
            assert_eq!(code("gzip", body[..body.len() - missing].to_vec()), Code::DecodeCorrupt, "{missing}");
        }
        for at in 1..=8 {
            let mut body = body.clone();
            let position = body.len() - at;
            body[position] ^= 1;
            assert_eq!(code("gzip", body), Code::DecodeCorrupt, "{at}");
        }
        let mut body = encode("deflate", &text(400));
        *body.last_mut().unwrap() ^= 1;
        assert_eq!(code("deflate", body), Code::DecodeCorrupt);
    }

    #[test]
    fn e4_plain_text_under_a_coding() {
        for coding in ["gzip", "deflate", "zstd"] {
            assert_eq!(code(coding, b"<!doctype html><html>".to_vec()), Code::DecodeCorrupt, "{coding}");
        }
        // Nearly any byte is a valid start of brotli.
        assert!(decode("br", b"<!doctype html><html>".to_vec()).is_err());
        let mut body = encode("gzip", b"x");
        body[3] = 0xff;
        assert_eq!(code("gzip", body), Code::DecodeCorrupt);
    }

    #[test]
    fn e5_all_members_are_read() {
        for coding in ["gzip", "zstd"] {
            let mut body = encode(coding, b"one ");
            body.extend(encode(coding, b""));
            body.extend(encode(coding, b"two"));
            let decoded = decode(coding, body).unwrap();
            assert_eq!((&decoded.body[..], decoded.trailing), (&b"one two"[..], false), "{coding}");
            assert_eq!(code(coding, encode(coding, b"").repeat(1_000)), Code::DecodeCorrupt, "{coding}");
        }
    }

    #[test]
    fn e5_a_header_with_every_optional_part() {
        let plain = encode("gzip", b"x");
        let mut body = plain[..3].to_vec();
        body.push(2 | 4 | 8 | 16);
        body.extend(&plain[4..10]);
        body.extend(b"\x03\0abcname\0comment\0\xab\xcd");
        body.extend(&plain[10..]);
        assert_eq!(decode("gzip", body.clone()).unwrap().body, b"x");
        for length in 1..30 {
            assert_eq!(code("gzip", body[..length].to_vec()), Code::DecodeTruncated, "{length}");
        }
    }

    #[test]
    fn e6_trailing_bytes_are_dropped_and_marked() {
        for coding in ALL {
            for junk in [&b"\0\0\0\0"[..], b"junk", b"\x1f\x8b"] {
                let mut body = encode(coding, b"x");
                body.extend(junk);
                let decoded = decode(coding, body).unwrap();
                assert_eq!((&decoded.body[..], decoded.trailing), (&b"x"[..], true), "{coding} {junk:?}");
            }
        }
    }

    #[test]
    fn e7_raw_deflate() {
        for length in [1, 10, 1_000, 100_000] {
            let data = text(length);
            assert_eq!(decode("deflate", encode("raw", &data)).unwrap().body, data);
        }
        // Raw, but looks like a zlib header: a stored block whose padding and length happen to fit.
        let misleading = [&[0x78, 0x01, 0x00, 0xfe, 0xff][..], b"!"].concat();
        assert!(deflate::is_zlib(&misleading));
        assert!(decode("deflate", misleading).is_err());
    }

    #[test]
    fn e8_layers() {
        let layered = |count: usize| (0..count).fold(b"x".to_vec(), |body, _| encode("gzip", &body));
        assert_eq!(decode("gzip, gzip", layered(2)).unwrap().body, b"x");
        assert_eq!(decode_with(&["gzip", "gzip,gzip", "gzip, gzip"], layered(5), LIMITS).unwrap().body, b"x");
        assert_eq!(code("gzip,gzip,gzip,gzip,gzip,gzip", layered(6)), Code::DecodeTooManyLayers);
        let mixed = encode("zstd", &encode("br", &encode("deflate", b"x")));
        assert_eq!(decode("deflate, br, zstd", mixed).unwrap().body, b"x");
    }

    #[test]
    fn e8_a_bomb_inside_a_bomb() {
        let bomb = encode("gzip", &encode("gzip", &vec![0; 4 << 20]));
        assert_eq!(code("gzip, gzip", bomb), Code::TooLargeDecoded);
    }

    #[test]
    fn e9_unknown_codings_are_left() {
        let body = encode("gzip", b"x");
        let decoded = decode("compress, gzip", body.clone()).unwrap();
        assert_eq!((&decoded.body[..], decoded.left.as_deref()), (&b"x"[..], Some("compress")));
        let decoded = decode("gzip, exi", body.clone()).unwrap();
        assert_eq!((decoded.body, decoded.left.as_deref()), (body, Some("gzip, exi")));
        let lines = [&b"\xff\xfe"[..]];
        let decoded = Decoding::new(lines, Accepted::ALL, b"x".to_vec(), false).unwrap().finish();
        assert_eq!(decoded.left.as_deref(), Some("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn what_was_not_asked_for_is_left() {
        let body = encode("gzip", b"x");
        let left = |lines: &[&str], accept: &str, body: &[u8]| {
            let accepted = Accepted::of([accept.as_bytes()]);
            let decoded = decode_accepted(lines, accepted, body.to_vec(), LIMITS).unwrap();
            (decoded.body, decoded.left)
        };
        assert_eq!(left(&["gzip"], "identity", &body), (body.clone(), Some("gzip".to_owned())));
        assert_eq!(left(&["gzip"], "gzip", &body), (b"x".to_vec(), None));
        let layered = encode("br", &body);
        assert_eq!(left(&["gzip, br"], "br", &layered), (body, Some("gzip".to_owned())));
        assert_eq!(left(&["gzip, br"], "gzip", &layered), (layered, Some("gzip, br".to_owned())));
        let many = ["gzip, gzip, gzip", "gzip, gzip, gzip"];
        assert_eq!(left(&many, "", b"x").1, Some(many.join(", ")));
    }

    #[test]
    fn e10_a_zstd_window_of_16_mib() {
        // Magic, no single segment, window descriptor, then one raw last block of one byte.
        let frame = |exponent: u8| vec![0x28, 0xb5, 0x2f, 0xfd, 0, (exponent - 10) << 3, 9, 0, 0, b'x'];
        assert_eq!(decode("zstd", frame(23)).unwrap().body, b"x");
        assert_eq!(code("zstd", frame(24)), Code::DecodeWindow);
    }

    #[test]
    fn e11_an_empty_body_is_whole() {
        for line in ["gzip", "br", "zstd", "deflate", "gzip, br"] {
            let decoded = decode(line, Vec::new()).unwrap();
            assert_eq!(
                decoded,
                Decoded { body: vec![], left: None, truncated: false, trailing: false },
                "{line}"
            );
        }
    }
}
