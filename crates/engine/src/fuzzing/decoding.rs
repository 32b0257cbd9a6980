//! Content codings: within the cap, the same from a used decoder, and back to what was encoded.

use std::cell::RefCell;
use std::io::Write;

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::Choices;
use crate::error::Code;
use crate::exchange::fuzzing::{DecodeLimits, Decoded, Decoding, Step};
use crate::exchange::{Accepted, Decoder, decode_body};
use crate::options::OnOversize;

const CODINGS: [&str; 12] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, gzip",
    "gzip, br",
    "br, zstd",
    "zstd, deflate",
    "deflate, gzip, br, zstd, x-gzip",
    "gzip, gzip, gzip, gzip, gzip, gzip",
    "unknown, gzip",
    " identity,, GZIP ,",
];

const CAPS: [u64; 6] = [0, 1, 100, 1_000, 64 << 10, 1 << 20];

thread_local! {
    /// Used for every body, as a shard's is.
    static USED: RefCell<Decoder> = RefCell::default();
}

/// Bytes for codings, cap and options, then a body as received.
///
/// - What comes out never exceeds the cap.
/// - A decoder that has seen other bodies gives what a fresh one gives, and so does one that gets its room bit by bit.
/// - A body that comes piece by piece, for a file, ends as one that is there at once.
/// - A body that fits exactly is whole; with a byte less it is refused, or cut to a prefix of the whole.
pub fn decoding(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (codings, cap, options) = (*choices.one(&CODINGS), *choices.one(&CAPS), choices.byte());
    let on_oversize = if options & 1 == 0 { OnOversize::Error } else { OnOversize::Truncate };
    let (limits, partial) = (DecodeLimits { cap, on_oversize }, options & 2 != 0);
    let body = choices.rest();
    let used = USED.with(|decoder| undo(&mut decoder.borrow_mut(), codings, body, partial, limits));
    let fresh = |room| undo_within(&mut Decoder::default(), codings, body, partial, limits, room);
    assert_eq!(used, fresh(u64::MAX), "a used decoder differs");
    assert_eq!(used, fresh(1 + u64::from(options)), "less room differs");
    if !partial && on_oversize == OnOversize::Error {
        let (at_once, size) = (used.as_ref().ok(), 1 + usize::from(options) * 16);
        let pieces = in_pieces(codings, body, limits, size);
        let same = |(bytes, trailing): &(Vec<u8>, bool)| {
            at_once.is_some_and(|whole| whole.body == *bytes && whole.trailing == *trailing)
        };
        assert!(pieces.as_ref().map_or(at_once.is_none(), same), "pieces of {size} differ");
    }
    let decoded = match used {
        Ok(decoded) => decoded,
        Err(code) => {
            assert!(code.as_str().starts_with("decode.") || code == Code::TooLargeDecoded, "{code:?}");
            return;
        }
    };
    let was_decoded = !body.is_empty() && decoded.left.as_deref().is_none_or(|left| left == "unknown");
    if !was_decoded {
        return;
    }
    let length = decoded.body.len() as u64;
    assert!(length <= cap, "{length} bytes with a cap of {cap}");
    assert!(!decoded.truncated || partial || on_oversize == OnOversize::Truncate);
    let shown = decode_body(codings, body.to_vec(), cap, false).expect("what can be decoded can be shown");
    assert_eq!(shown, decoded.body);
    // Only with one layer is the last one the largest.
    if !decoded.truncated && !codings.contains(',') {
        exact_caps(codings, body, &decoded);
    }
}

/// What comes out of a body that comes in pieces, and whether bytes followed it. None: it is refused.
fn in_pieces(codings: &str, body: &[u8], limits: DecodeLimits, size: usize) -> Option<(Vec<u8>, bool)> {
    let decoding = Decoding::new([codings.as_bytes()], Accepted::ALL, Vec::new(), false).ok()?;
    if decoding.is_done() {
        return Some((body.to_vec(), false));
    }
    let (mut stream, _, _) = decoding.into_stream(limits).ok()?;
    let (mut all, mut piece) = (Vec::new(), Vec::new());
    let parts = body.chunks(size).map(|part| (part, false));
    for (part, ended) in parts.chain([(&[][..], true)]) {
        stream.feed(part);
        loop {
            piece.clear();
            let step = stream.next(&mut piece, ended, false).ok()?;
            all.extend_from_slice(&piece);
            assert!(all.len() as u64 <= limits.cap, "a piece beyond the cap");
            if step != Step::Piece {
                break;
            }
        }
    }
    Some((all, stream.has_trailing()))
}

/// Checks `whole` against its own length as the cap, and one less.
fn exact_caps(codings: &str, body: &[u8], whole: &Decoded) {
    let length = whole.body.len() as u64;
    let limits = |cap, on_oversize| DecodeLimits { cap, on_oversize };
    let again = |limits| undo(&mut Decoder::default(), codings, body, false, limits);
    assert_eq!(again(limits(length, OnOversize::Error)).as_ref(), Ok(whole));
    if let Some(less) = length.checked_sub(1) {
        assert_eq!(again(limits(less, OnOversize::Error)), Err(Code::TooLargeDecoded));
        let cut = again(limits(less, OnOversize::Truncate)).expect("a prefix");
        assert!(cut.truncated && cut.body == whole.body[..cut.body.len()] && cut.body.len() as u64 == less);
    }
}

fn undo(
    decoder: &mut Decoder,
    codings: &str,
    body: &[u8],
    partial: bool,
    limits: DecodeLimits,
) -> Result<Decoded, Code> {
    undo_within(decoder, codings, body, partial, limits, u64::MAX)
}

/// With `room` at first, and more as long as it is not enough.
fn undo_within(
    decoder: &mut Decoder,
    codings: &str,
    body: &[u8],
    partial: bool,
    limits: DecodeLimits,
    mut room: u64,
) -> Result<Decoded, Code> {
    let lines = [codings.as_bytes()];
    let mut decoding =
        Decoding::new(lines, Accepted::ALL, body.to_vec(), partial).map_err(|failure| failure.code)?;
    while !decoding.run(decoder, limits, room).map_err(|failure| failure.code)? {
        room = room.saturating_mul(16);
    }
    Ok(decoding.finish())
}

/// A byte for the codings, then a body.
///
/// - What is encoded comes back.
/// - A prefix of it is an early end, never a whole body; as far as a known prefix is decoded, it is right.
pub fn round_trip(data: &[u8]) {
    let mut choices = Choices::new(data);
    let codings = *choices.one(&["gzip", "deflate", "raw", "br", "zstd", "gzip, zstd", "br, deflate"]);
    let (cut, body) = (usize::from(choices.byte()), choices.rest());
    if body.is_empty() {
        return;
    }
    let coded = codings.split(", ").fold(body.to_vec(), |body, coding| encode(coding, &body));
    let codings = codings.replace("raw", "deflate");
    let limits = DecodeLimits { cap: 1 << 24, on_oversize: OnOversize::Error };
    let back = undo(&mut Decoder::default(), &codings, &coded, false, limits);
    let whole = Decoded { body: body.to_vec(), left: None, truncated: false, trailing: false };
    assert_eq!(back, Ok(whole));
    let prefix = &coded[..coded.len() * cut / 256];
    if !prefix.is_empty() {
        let early = undo(&mut Decoder::default(), &codings, prefix, false, limits);
        let is_early = matches!(early, Err(Code::DecodeTruncated | Code::DecodeCorrupt));
        assert!(is_early, "a prefix was taken for {early:?}");
        let partial = undo(&mut Decoder::default(), &codings, prefix, true, limits);
        let partial = partial.expect("what there is of a prefix");
        assert!(partial.truncated && body.starts_with(&partial.body));
    }
}

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    const WHY: &str = "memory can be written";
    let level = Compression::fast();
    match coding {
        "gzip" => {
            let mut writer = GzEncoder::new(Vec::new(), level);
            writer.write_all(body).and_then(|()| writer.finish()).expect(WHY)
        }
        "deflate" => {
            let mut writer = ZlibEncoder::new(Vec::new(), level);
            writer.write_all(body).and_then(|()| writer.finish()).expect(WHY)
        }
        "raw" => {
            let mut writer = DeflateEncoder::new(Vec::new(), level);
            writer.write_all(body).and_then(|()| writer.finish()).expect(WHY)
        }
        "br" => {
            let mut writer = CompressorWriter::new(Vec::new(), 4096, 1, 18);
            writer.write_all(body).expect(WHY);
            writer.into_inner()
        }
        _ => zstd::encode_all(body, 1).expect(WHY),
    }
}
