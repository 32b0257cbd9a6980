//! Response heads and the chunked coding: what is read does not depend on how it was cut into packets.

use super::{Choices, cuts};
use crate::error::Code;
use crate::pool::Reading;
use crate::pool::fuzzing::{Chunked, Parsed, parse};

/// What a parser makes of a head.
#[derive(Debug, PartialEq)]
enum Seen {
    Partial,
    Interim(usize),
    /// Everything about it, and its length.
    Final(String, usize),
    Refused(Code),
}

/// A byte with options, then the start of a connection.
///
/// - A head in several packets is the same head, and no prefix of a head is refused or taken for one.
/// - What follows a head changes nothing about it.
/// - No value of a header contains NUL or a line end, and no name an upper-case letter.
/// - The connection is kept only if its length was given in one way.
pub fn response_head(data: &[u8]) {
    let mut choices = Choices::new(data);
    let options = choices.byte();
    let reading = Reading { without_body: options & 1 == 1, strict: options & 2 == 2 };
    let bytes = choices.rest();
    let whole = see(bytes, reading);
    for cut in cuts(bytes.len()) {
        let prefix = see(&bytes[..cut], reading);
        match &whole {
            Seen::Interim(length) | Seen::Final(_, length) => {
                assert!(*length <= bytes.len(), "a head longer than its bytes");
                let expected = if cut < *length { &Seen::Partial } else { &whole };
                assert_eq!(&prefix, expected, "cut at {cut}");
            }
            Seen::Partial => assert_eq!(prefix, Seen::Partial, "cut at {cut}"),
            Seen::Refused(_) => {
                assert!(matches!(prefix, Seen::Partial | Seen::Refused(_)), "cut at {cut}: {prefix:?}");
            }
        }
    }
}

fn see(bytes: &[u8], reading: Reading) -> Seen {
    match parse(bytes, reading) {
        Ok(Parsed::Partial) => Seen::Partial,
        Ok(Parsed::Interim(_, length)) => Seen::Interim(length),
        Ok(Parsed::Final(head, length)) => {
            assert!((101..=999).contains(&head.received.status), "status {}", head.received.status);
            let (mut lengths, mut codings) = (false, false);
            for (name, value) in head.received.headers.iter() {
                assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name}");
                assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "{name}: {value:?}");
                lengths |= name == "content-length";
                codings |= name == "transfer-encoding";
            }
            assert!(!(head.keep_alive && lengths && codings), "two lengths and a connection that is kept");
            Seen::Final(format!("{head:?}"), length)
        }
        Err(failure) => Seen::Refused(failure.code),
    }
}

/// A byte with options, then the start of a chunked body; with the first option, a body to be chunked.
///
/// - It does not matter how the input is cut.
/// - The decoded bytes are no more than the input, and nothing behind the end is read.
/// - A body that is chunked, in pieces of any size, comes out as it was.
pub fn chunked(data: &[u8]) {
    let mut choices = Choices::new(data);
    if choices.byte() & 1 == 1 {
        let size = usize::from(choices.byte()).max(1);
        encoded_body_comes_out(choices.rest(), size);
    } else {
        cuts_do_not_matter(choices.rest());
    }
}

fn cuts_do_not_matter(bytes: &[u8]) {
    let whole = decode([bytes]);
    if let Ok((body, used, done)) = &whole {
        assert!(body.len() <= *used && *used <= bytes.len());
        assert!(*done || *used == bytes.len(), "input was left before the end");
    }
    for cut in cuts(bytes.len()) {
        let (before, behind) = bytes.split_at(cut);
        assert_eq!(decode([before, behind]), whole, "cut at {cut}");
    }
    assert_eq!(decode(bytes.chunks(1)), whole, "byte by byte");
}

fn encoded_body_comes_out(body: &[u8], size: usize) {
    let mut coded = Vec::new();
    for piece in body.chunks(size) {
        coded.extend_from_slice(format!("{:x};x=\"y\"\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    let length = coded.len();
    coded.extend_from_slice(body);
    if body.is_empty() || body.len().div_ceil(size) * 6 < 16 << 10 {
        assert_eq!(decode([&*coded]), Ok((body.to_vec(), length, true)));
    }
}

type Unchunked = Result<(Vec<u8>, usize, bool), Code>;

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Unchunked {
    let (mut chunked, mut out, mut used) = (Chunked::new(false), Vec::new(), 0);
    for piece in pieces {
        used += chunked.decode(piece, &mut out).map_err(|failure| failure.code)?;
    }
    Ok((out, used, chunked.is_done()))
}
