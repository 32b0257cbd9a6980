//! Watches the header fields that a peer sends, for what the h2 crate lets pass: pseudo-header fields of a request in a
//! response, and any in trailers. Both make a response malformed (RFC 9113, sections 8.1 and 8.3).
//!
//! It sits between the socket and h2 and changes nothing. It looks at the nine bytes in front of each frame, and walks
//! over header blocks without decoding them: HPACK (RFC 7541) says of each field by a few bits whether its name begins
//! with a colon. Of the dynamic table it keeps only the entries that are pseudo-header fields. What it does not
//! understand it leaves to h2, which ends such a connection.
//!
//! It also counts frames that bring no response any further. h2 answers pings and settings as long as they come.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Bytes in front of a frame.
const FRAME_HEAD: usize = 9;
/// The longest header block that is kept until it is whole, in bytes.
const MAX_BLOCK: usize = 256 << 10;
/// A block longer than this may say more than that: the Huffman code takes five bits for a byte at least.
const LARGE_BLOCK: usize = MAX_BLOCK / 8 * 5;
/// The last entry of the static table. Source: RFC 7541, appendix A.
const LAST_STATIC: usize = 61;
/// Entries of the dynamic table: its 4,096 bytes hold no more (RFC 7541, section 4.1).
const MAX_ENTRIES: u64 = 128;
/// Frames in a row that bring no response any further: more are a flood. A server that asks every second whether the
/// client is there may do so for hours.
const MAX_IDLE_FRAMES: u32 = 10_000;
/// `:status` in the Huffman code of RFC 7541, appendix B.
const CODED_STATUS: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];

/// What a header field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An ordinary field.
    Field,
    /// The status of a final response.
    Status,
    /// The status of an interim response.
    Interim,
    /// A pseudo-header field of a request, or an unknown one.
    Request,
}

/// What was seen on one connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The start of a frame, as far as it has come.
    head: [u8; FRAME_HEAD],
    head_length: usize,
    /// What is left of the frame.
    left: usize,
    frame: Frame,
    /// A header block in pieces.
    block: Vec<u8>,
    /// Whether the block that the frame belongs to goes on in the next.
    in_block: bool,
    /// Entries that have been added to the dynamic table, and those of them that are pseudo-header fields.
    added: u64,
    pseudo: Vec<(u64, Kind)>,
    /// Streams whose final head has come, and not their end.
    begun: Vec<u32>,
    malformed: Vec<u32>,
    /// Streams with a head that is larger than h2 takes, or close to it.
    large: Vec<u32>,
    peer: Peer,
    /// Frames since the last one that had a part of a response.
    idle_frames: u32,
}

/// What the bytes so far were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Peer {
    /// None has come.
    #[default]
    Silent,
    Http2,
    Http1,
    /// Something that was not understood: nothing is looked at any more.
    Strange,
}

/// A frame of a header block.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// Whether the block's stream ends with it.
    ends_stream: bool,
    /// Where in the block it begins.
    start: usize,
}

impl Watch {
    /// Whether the response on a stream is malformed.
    pub(super) fn is_malformed(&self, stream: u32) -> bool {
        self.malformed.contains(&stream)
    }

    /// Whether the head on a stream is so large that h2 may have refused it for that.
    pub(super) fn is_large(&self, stream: u32) -> bool {
        self.large.contains(&stream)
    }

    /// Whether a header block has begun and not ended.
    pub(super) fn is_in_block(&self) -> bool {
        self.in_block
    }

    /// Whether the first bytes were those of HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.peer == Peer::Http1
    }

    /// Whether the peer sends frames that say nothing, and no end of them.
    pub(super) fn is_flooded(&self) -> bool {
        self.idle_frames > MAX_IDLE_FRAMES
    }

    /// Nobody asks about a stream any more.
    pub(super) fn forget(&mut self, stream: u32) {
        self.end(stream);
        self.malformed.retain(|&malformed| malformed != stream);
        self.large.retain(|&large| large != stream);
    }

    fn end(&mut self, stream: u32) {
        if let Some(at) = self.begun.iter().position(|&begun| begun == stream) {
            self.begun.swap_remove(at);
        }
    }

    /// Bytes have come.
    fn see(&mut self, mut bytes: &[u8]) {
        while matches!(self.peer, Peer::Silent | Peer::Http2) && !bytes.is_empty() {
            if self.left > 0 || self.head_length == FRAME_HEAD {
                let (part, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
                self.left -= part.len();
                bytes = rest;
                self.see_payload(part);
                continue;
            }
            let missing = FRAME_HEAD - self.head_length;
            let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            if let Some(room) = self.head.get_mut(self.head_length..self.head_length + part.len()) {
                room.copy_from_slice(part);
            }
            self.head_length += part.len();
            bytes = rest;
            if self.head_length == FRAME_HEAD {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        if self.peer == Peer::Silent {
            let is_http1 = self.head.starts_with(b"HTTP/1.");
            self.peer = if is_http1 { Peer::Http1 } else { Peer::Http2 };
        }
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        match kind {
            HEADERS | CONTINUATION | DATA if self.left > 0 => self.idle_frames = 0,
            // A large request earns many of them. They cost no answer.
            WINDOW_UPDATE => {}
            _ => self.idle_frames = self.idle_frames.saturating_add(1),
        }
        match kind {
            HEADERS => {
                self.block.clear();
                let ends_stream = flags & END_STREAM != 0;
                self.frame = Frame { kind, flags, stream, ends_stream, start: 0 };
                self.in_block = true;
            }
            CONTINUATION => {
                let start = self.block.len();
                self.frame = Frame { kind, flags, start, ..self.frame };
            }
            _ => {
                self.frame.kind = kind;
                if kind == RST_STREAM || (kind == DATA && flags & END_STREAM != 0) {
                    self.end(stream);
                }
            }
        }
        if self.left == 0 {
            self.see_payload(&[]);
        }
    }

    fn see_payload(&mut self, part: &[u8]) {
        if self.left == 0 {
            self.head_length = 0;
        }
        let Frame { kind, flags, .. } = self.frame;
        if !matches!(kind, HEADERS | CONTINUATION) {
            return;
        }
        let is_plain = kind == HEADERS && flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
        if is_plain && self.left == 0 && self.block.is_empty() {
            return self.end_block(part);
        }
        if self.block.len() + part.len() > MAX_BLOCK {
            self.large.push(self.frame.stream);
            self.peer = Peer::Strange;
            return;
        }
        self.block.extend_from_slice(part);
        if self.left == 0 {
            self.strip_frame();
            if flags & END_HEADERS != 0 {
                let block = std::mem::take(&mut self.block);
                self.end_block(&block);
            }
        }
    }

    /// Takes padding and priority off the frame that has just ended.
    fn strip_frame(&mut self) {
        let Frame { kind, flags, start, .. } = self.frame;
        if kind != HEADERS {
            return;
        }
        let padding = if flags & PADDED == 0 { None } else { self.block.get(start).copied() };
        let front = usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
        let kept = self.block.len().saturating_sub(padding.map_or(0, usize::from));
        self.block.truncate(kept);
        self.block.drain(..front.min(kept));
    }

    fn end_block(&mut self, block: &[u8]) {
        self.in_block = false;
        if block.len() > LARGE_BLOCK {
            self.large.push(self.frame.stream);
        }
        let Some(seen) = self.walk(block) else {
            self.peer = Peer::Strange;
            return;
        };
        let Frame { stream, ends_stream, .. } = self.frame;
        let is_trailers = self.begun.contains(&stream);
        if seen.request || (is_trailers && (seen.status || seen.interim)) {
            self.malformed.push(stream);
        }
        if ends_stream {
            self.end(stream);
        } else if !is_trailers && !seen.interim {
            self.begun.push(stream);
        }
    }

    /// Walks over the fields of a block. None: it is not HPACK.
    fn walk(&mut self, mut rest: &[u8]) -> Option<Seen> {
        let mut seen = Seen::default();
        while let Some(&first) = rest.first() {
            let kind = match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    self.kind_at(index)
                }
                0x40.. => {
                    let kind = self.literal(&mut rest, 6)?;
                    self.added += 1;
                    if kind != Kind::Field {
                        let oldest = self.added.saturating_sub(MAX_ENTRIES);
                        self.pseudo.retain(|(entry, _)| *entry > oldest);
                        self.pseudo.push((self.added, kind));
                    }
                    kind
                }
                0x20.. => {
                    integer(&mut rest, 5)?;
                    continue;
                }
                _ => self.literal(&mut rest, 4)?,
            };
            match kind {
                Kind::Field => {}
                Kind::Status => seen.status = true,
                Kind::Interim => seen.interim = true,
                Kind::Request => seen.request = true,
            }
        }
        Some(seen)
    }

    /// Takes a literal field off a block.
    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Option<Kind> {
        let kind = match integer(rest, prefix)? {
            0 => kind_named(string(rest)?),
            index => self.kind_at(index),
        };
        let (coded, value) = string(rest)?;
        if !matches!(kind, Kind::Status | Kind::Interim) {
            return Some(kind);
        }
        // The first digit is 1, whose Huffman code is 00001.
        let is_interim = value.first().is_some_and(|&byte| if coded { byte >> 3 == 1 } else { byte == b'1' });
        Some(if is_interim { Kind::Interim } else { Kind::Status })
    }

    fn kind_at(&self, index: usize) -> Kind {
        match index {
            1..8 => Kind::Request,
            8..15 => Kind::Status,
            ..=LAST_STATIC => Kind::Field,
            _ if self.pseudo.is_empty() => Kind::Field,
            _ => {
                let entry = self.added.checked_sub((index - LAST_STATIC - 1) as u64);
                let known = self.pseudo.iter().find(|(known, _)| Some(*known) == entry);
                known.map_or(Kind::Field, |(_, kind)| *kind)
            }
        }
    }
}

/// The kinds of fields in a block.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    status: bool,
    interim: bool,
    request: bool,
}

/// The kind of a field by its name, which may be in the Huffman code: there `:` is 1011100.
fn kind_named((coded, name): (bool, &[u8])) -> Kind {
    let Some(&first) = name.first() else { return Kind::Field };
    match (coded, first) {
        (false, b':') if name == b":status" => Kind::Status,
        (true, _) if name == CODED_STATUS => Kind::Status,
        (false, b':') => Kind::Request,
        (true, _) if first >> 1 == 0b101_1100 => Kind::Request,
        _ => Kind::Field,
    }
}

/// Takes an integer off a block. Source: RFC 7541, section 5.1.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, mut behind) = rest.split_first()?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&byte, further) = behind.split_first()?;
            behind = further;
            value = value.checked_add((usize::from(byte) & 0x7f) << shift)?;
            if byte < 0x80 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
    }
    *rest = behind;
    Some(value)
}

/// Takes a string off a block: whether it is in the Huffman code, and its bytes. Source: RFC 7541, section 5.2.
fn string<'a>(rest: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let coded = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some((coded, text))
}

/// A stream whose bytes are watched as they come.
pub(super) struct Watched<S> {
    stream: S,
    watch: Rc<RefCell<Watch>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Rc<RefCell<Watch>>) -> Self {
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        let mut watch = self.watch.borrow_mut();
        watch.see(out.filled().get(before..).unwrap_or_default());
        Poll::Ready(if watch.is_flooded() { Err(io::ErrorKind::Other.into()) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// The malformed streams after these frames, however they are cut.
    fn malformed(frames: &[Vec<u8>]) -> Vec<u32> {
        let bytes = frames.concat();
        let see = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut watch = Watch::default();
            pieces.for_each(|piece| watch.see(piece));
            assert!(watch.peer != Peer::Strange && !watch.in_block);
            watch.malformed
        };
        let whole = see(&mut [&bytes[..]].into_iter());
        for size in 1..bytes.len() {
            assert_eq!(see(&mut bytes.chunks(size)), whole, "in pieces of {size}");
        }
        whole
    }

    fn head(stream: u8, block: &[u8]) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, stream, block)
    }

    const NONE: [u32; 0] = [];
    const OK: u8 = 0x88;
    /// `:method: GET`, `a: b` added to the table, `:status` 103 and 418 added to it.
    const GET: u8 = 0x82;
    const FIELD: &[u8] = &[0x40, 1, b'a', 1, b'b'];
    const EARLY: &[u8] = &[0x48, 3, b'1', b'0', b'3'];
    const TEAPOT: &[u8] = &[0x48, 3, b'4', b'1', b'8'];

    #[test]
    fn p16_request_fields_are_found_wherever_they_are() {
        let coded_method = [0x00, 0x85, 0xb9, 0x49, 0x53, 0x39, 0xe4, 1, b'x'];
        for bad in [
            vec![OK, GET],
            vec![GET, OK],
            [&[OK][..], b"\x00\x05:path\x01/"].concat(),
            [&[OK][..], b"\x04\x01/"].concat(),
            [&[OK][..], &coded_method].concat(),
            [&[OK][..], FIELD, b"\x40\x02:x\x01y"].concat(),
        ] {
            assert_eq!(malformed(&[head(1, &[OK]), head(3, &bad)]), [3], "{bad:x?}");
        }
        for good in [vec![OK], [&[OK][..], FIELD].concat(), [TEAPOT, FIELD, &[0xbe, 0xbf]].concat()] {
            assert_eq!(malformed(&[head(1, &good)]), NONE, "{good:x?}");
        }
    }

    #[test]
    fn p16_a_field_is_known_again_by_its_place_in_the_table() {
        let add = [&[OK][..], b"\x40\x02:x\x01y", FIELD, FIELD].concat();
        assert_eq!(malformed(&[head(1, &add), head(3, &[OK, 0xbe, 0xbf])]), [1]);
        assert_eq!(malformed(&[head(1, &add), head(3, &[OK, 0xc0])]), [1, 3]);
    }

    #[test]
    fn p16_trailers_have_no_status() {
        let (body, end) = (frame(DATA, 0, 1, b"body"), frame(HEADERS, END_HEADERS | END_STREAM, 1, &[OK]));
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, FIELD);
        assert_eq!(malformed(&[head(1, &[OK]), body.clone(), end.clone()]), [1]);
        assert_eq!(malformed(&[head(1, &[OK]), body, trailers]), NONE);
        assert_eq!(malformed(&[head(1, EARLY), head(1, &[0xbe]), end.clone()]), NONE, "interim responses");
        assert_eq!(malformed(&[head(1, TEAPOT), frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xbe])]), [1]);
        assert_eq!(malformed(&[head(1, &[OK]), frame(RST_STREAM, 0, 1, &[0; 4]), end]), NONE);
    }

    #[test]
    fn p16_padding_priority_and_continuations_are_taken_off() {
        let padded = [&[2, 0, 0, 0, 0, 9][..], &[OK, GET], &[0, 0]].concat();
        assert_eq!(malformed(&[frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &padded)]), [1]);
        let padded = [&[2, 0, 0, 0, 0, 9][..], &[OK], &[GET, GET]].concat();
        assert_eq!(malformed(&[frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &padded)]), NONE);
        let parts = [frame(HEADERS, 0, 1, &[OK, 0x04]), frame(CONTINUATION, END_HEADERS, 1, b"\x01/")];
        assert_eq!(malformed(&parts), [1]);
        let parts = [frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, END_HEADERS, 1, &[OK])];
        assert_eq!(malformed(&parts), NONE);
    }

    #[test]
    fn p7_frames_that_say_nothing_are_counted_until_a_response_goes_on() {
        let ping = frame(6, 0, 0, &[0; 8]);
        let mut watch = Watch::default();
        for (frames, floods) in [
            (ping.repeat(MAX_IDLE_FRAMES as usize), false),
            (head(1, &[OK]), false),
            (ping.repeat(MAX_IDLE_FRAMES as usize), false),
            (frame(DATA, 0, 1, b"x"), false),
            (frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(MAX_IDLE_FRAMES as usize + 1), false),
            (frame(DATA, 0, 1, b"").repeat(MAX_IDLE_FRAMES as usize), false),
            (ping, true),
        ] {
            watch.see(&frames);
            assert_eq!(watch.is_flooded(), floods);
        }
    }

    #[test]
    fn p12_http_1_is_known_by_its_first_bytes() {
        let mut watch = Watch::default();
        b"HTTP/1.1 400 Bad Request\r\n\r\n".chunks(2).for_each(|piece| watch.see(piece));
        assert!(watch.is_http1());
        let mut watch = Watch::default();
        watch.see(&[frame(4, 0, 0, &[]), b"HTTP/1.1 ".to_vec()].concat());
        assert!(!watch.is_http1());
    }

    #[test]
    fn what_is_no_hpack_is_left_to_others() {
        for block in [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x40, 5, b'a'], &[0x00]] {
            let mut watch = Watch::default();
            watch.see(&head(1, block));
            assert!(watch.peer == Peer::Strange && watch.malformed.is_empty(), "{block:x?}");
        }
    }
}
