//! One stream of deflate: by itself, or in the zlib format (RFC 1950 and 1951).

use sirocco::inflate::{Decoder, Error};

use super::{End, Layer, Output, corrupt};
use crate::error::Failure;

/// Whether the first two bytes are a zlib header (RFC 1950 §2.2).
pub(super) fn is_zlib(input: &[u8]) -> bool {
    input.first_chunk().is_some_and(|&[first, second]| {
        first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
    })
}

/// Undoes one stream of deflate at the start of `input`.
pub(super) fn inflate(decoder: &mut Decoder, input: &[u8], output: &mut Output) -> Result<Layer, Failure> {
    let start = output.bytes.len();
    // All of it is here, which is fastest; but what ends early shows nothing then, and is read again.
    match inflate_from(start, decoder, input, output, true) {
        Err(Error::Truncated) => inflate_from(start, decoder, input, output, false),
        ended => ended,
    }
    .map_err(|_| corrupt("the body is not deflate"))
}

fn inflate_from(
    start: usize,
    decoder: &mut Decoder,
    input: &[u8],
    output: &mut Output,
    is_whole: bool,
) -> Result<Layer, Error> {
    decoder.reset();
    output.bytes.truncate(start);
    let (mut used, mut written) = (0, start);
    loop {
        if !output.grow() {
            return Ok(Layer { used, end: End::Cap });
        }
        let rest = input.get(used..).unwrap_or_default();
        let (step, done, full) = match decoder.decompress(rest, output.space(start), is_whole) {
            Ok(progress) => {
                used += progress.consumed;
                (progress.output.len(), progress.done, progress.full)
            }
            Err(Error::BufferFull) => (0, false, true),
            Err(error) => {
                output.bytes.truncate(written);
                return Err(error);
            }
        };
        written += step;
        output.bytes.truncate(written);
        match (done, full) {
            (true, _) if output.is_over() => return Ok(Layer { used, end: End::Cap }),
            (true, _) => return Ok(Layer { used, end: End::Whole }),
            (false, true) => {}
            (false, false) => return Ok(Layer { used, end: End::Input }),
        }
    }
}
