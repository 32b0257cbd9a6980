//! The chunked transfer coding, decoded piece by piece. Strict where leniency has led to request smuggling: line ends
//! in the framing are CR LF, sizes are hexadecimal digits. Source: RFC 9112, section 7.1.

use super::lenient::{self, Tolerated};
use crate::error::{Code, Failure};

/// Bytes of extensions, and of trailers, that one body may have: more are meant to waste memory or time.
const MAX_EXTENSIONS: u32 = 16 << 10;
const MAX_TRAILERS: u32 = 64 << 10;

/// The position in a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: State,
    extensions: u32,
    trailers: u32,
    /// The trailer so far.
    line: Vec<u8>,
    tolerated: Tolerated,
    /// Nothing that breaks the rules is tolerated.
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size, read this far.
    Size {
        size: u64,
        digits: u8,
    },
    /// After a size: white space, in front of an extension or CR.
    Blank {
        size: u64,
    },
    /// In an extension, up to CR.
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunked {
    /// At the start of a body. `strict`: nothing that breaks the rules is tolerated.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            extensions: 0,
            trailers: 0,
            line: Vec::new(),
            tolerated: Tolerated::default(),
            strict,
        }
    }

    /// What breaks the rules behind the body.
    pub(crate) fn tolerated(&self) -> Tolerated {
        self.tolerated
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How much of the chunk that has begun is still to come.
    pub(crate) fn left(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// So much of that was taken without [`Self::decode`].
    pub(crate) fn skip(&mut self, taken: u64) {
        let left = self.left().saturating_sub(taken);
        self.state = if left == 0 { State::DataCr } else { State::Data { left } };
    }

    /// Appends the data in `input` to `out`. Returns how much of `input` was read: all of it, unless the body ends.
    ///
    /// # Errors
    /// - `protocol.chunk`: the framing is malformed, or its extensions are too long.
    /// - `protocol.header`: a trailer holds NUL or may frame a body, or trailers are too long, or break the rules of a
    ///   strict reader.
    pub(crate) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut rest = input;
        while !self.is_done() {
            if let State::Data { left } = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                out.extend_from_slice(data);
                rest = behind;
                self.skip(length as u64);
                if self.left() > 0 {
                    break;
                }
            }
            let Some((&byte, behind)) = rest.split_first() else { break };
            rest = behind;
            self.state = self.step(byte)?;
        }
        Ok(input.len() - rest.len())
    }

    fn step(&mut self, byte: u8) -> Result<State, Failure> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit));
                let size = size.ok_or_else(|| malformed("a chunk's size is too large"))?;
                State::Size { size, digits: digits.saturating_add(1) }
            }
            (State::Size { digits: 0, .. }, _) => return Err(malformed("a chunk has no size")),
            (State::Size { size, .. } | State::Blank { size } | State::Extension { size }, b'\r') => {
                State::SizeLf { size }
            }
            (State::Size { size, .. } | State::Blank { size }, b';') => State::Extension { size },
            (State::Size { size, .. } | State::Blank { size }, b' ' | b'\t') => {
                self.lengthen()?;
                State::Blank { size }
            }
            (State::Extension { .. }, b'\n') => return Err(malformed("a chunk's size ends in a bare LF")),
            (State::Extension { size }, _) => {
                self.lengthen()?;
                State::Extension { size }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::TrailerLf, b'\n') => self.end_trailer()?,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::Done,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::Trailer, _) => self.trailer(byte)?,
            (State::Size { .. }, _) => return Err(malformed("a chunk's size is not hexadecimal")),
            (State::Blank { .. }, _) => return Err(malformed("junk follows a chunk's size")),
            _ => return Err(malformed("a chunk does not end where its size says")),
        })
    }

    /// Counts a byte behind a size that means nothing.
    fn lengthen(&mut self) -> Result<(), Failure> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(malformed("the chunk extensions are too long"));
        }
        Ok(())
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Failure> {
        self.trailers += 1;
        if byte == 0 || byte == b'\n' {
            return Err(Failure::new(Code::ProtocolHeader, "a trailer is malformed"));
        }
        if self.trailers > MAX_TRAILERS {
            return Err(Failure::new(Code::ProtocolHeader, "the trailers are too long"));
        }
        self.line.push(byte);
        Ok(State::Trailer)
    }

    fn end_trailer(&mut self) -> Result<State, Failure> {
        let is_first = self.trailers as usize == self.line.len();
        let tolerated = lenient::trailer(&self.line, is_first)?;
        if self.strict && !tolerated.is_nothing() {
            return Err(Failure::new(Code::ProtocolHeader, "a trailer is malformed"));
        }
        self.tolerated = self.tolerated.and(tolerated);
        self.line.clear();
        Ok(State::TrailerStart)
    }
}

fn malformed(detail: &'static str) -> Failure {
    Failure::new(Code::ProtocolChunk, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"4\r\nWiki\r\n5;ext=\"1\"\r\npedia\r\nE \r\n in\r\n\r\nchunks.\r\n0\r\nX: y\r\nZ:\r\n\r\nNEXT";

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Code> {
        let (mut chunked, mut out, mut used) = (Chunked::new(false), Vec::new(), 0);
        for piece in pieces {
            used += chunked.decode(piece, &mut out).map_err(|failure| failure.code)?;
        }
        Ok((out, used, chunked.is_done()))
    }

    #[test]
    fn the_data_comes_out_wherever_the_input_is_cut() {
        let expected = (b"Wikipedia in\r\n\r\nchunks.".to_vec(), BODY.len() - 4, true);
        assert_eq!(decode(&[BODY]).unwrap(), expected);
        for at in 0..BODY.len() {
            let (left, right) = BODY.split_at(at);
            assert_eq!(decode(&[left, right]).unwrap(), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn an_early_end_is_not_the_end() {
        for length in 0..BODY.len() - 4 {
            let (_, _, done) = decode(&[BODY.get(..length).unwrap()]).unwrap();
            assert!(!done, "{length}");
        }
    }

    #[test]
    fn malformed_framing_is_refused() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x4\r\n",
            b"4\nWiki\r\n",
            b"4;a\nWiki",
            b"4\r\nWikiX",
            b"4\r\nWiki\n",
            b"10000000000000000\r\n",
            b"4 4\r\nWiki",
            b"4 x\r\nWiki",
            b"4;a\rx",
            b"\n4\r\n",
            b" 4\r\n",
        ] {
            assert_eq!(decode(&[body]), Err(Code::ProtocolChunk), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn malformed_trailers_are_refused() {
        assert_eq!(decode(&[b"0\r\nX: \0\r\n\r\n"]), Err(Code::ProtocolHeader));
        assert_eq!(decode(&[b"0\r\nX: y\n\r\n"]), Err(Code::ProtocolHeader));
        let endless = [&b"0\r\nX: "[..], &vec![b'y'; MAX_TRAILERS as usize]].concat();
        assert_eq!(decode(&[&endless]), Err(Code::ProtocolHeader));
    }

    #[test]
    fn endless_extensions_are_refused() {
        let endless = [&b"4;"[..], &vec![b'x'; MAX_EXTENSIONS as usize + 1]].concat();
        assert_eq!(decode(&[&endless]), Err(Code::ProtocolChunk));
    }
}
