//! A server that writes HTTP/2 frames by hand. Source: RFC 9113, section 6; RFC 7541, section 6.

use std::io::Read;

use super::Script;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// `:status: 200` in the static table.
pub(crate) const OK: &[u8] = b"\x88";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A header field of a block, which changes no table.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A whole header block, after which the stream goes on.
pub(crate) fn head(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(crate) fn goaway(last_stream: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last_stream.to_be_bytes(), code.to_be_bytes()].concat())
}

impl Script {
    /// Speaks HTTP/2, and sends for each request what `answer` returns for the number of its connection, from 0, and of
    /// its stream.
    pub(crate) fn frames(answer: impl Fn(usize, u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |number, peer| {
            let mut preface = [0; 24];
            if peer.stream.read_exact(&mut preface).is_err() {
                return;
            }
            peer.send(frame(SETTINGS, 0, 0, &[]));
            while let Ok((kind, flags, stream)) = read_frame(&mut peer.stream) {
                match (kind, flags) {
                    (SETTINGS, flags) if flags & ACK == 0 => peer.send(frame(SETTINGS, ACK, 0, &[])),
                    (HEADERS, _) => {
                        peer.count_request();
                        peer.send(answer(number, stream));
                    }
                    _ => {}
                }
            }
        })
    }
}

/// Kind, flags and stream of the next frame; its payload is passed over.
pub(crate) fn read_frame(stream: &mut impl Read) -> std::io::Result<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize])?;
    Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}
