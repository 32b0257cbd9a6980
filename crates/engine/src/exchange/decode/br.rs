//! The `br` coding. Source: RFC 7932.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc};

use super::{End, Layer, Output, corrupt};
use crate::error::Failure;

/// Decodes as far as the output has room.
///
/// # Errors
/// `decode.corrupt`: the input is not in this coding.
pub(super) fn decode(input: &[u8], output: &mut Output) -> Result<Layer, Failure> {
    let (u8s, u32s, codes) = (HeapAlloc::default(), HeapAlloc::default(), HeapAlloc::default());
    // Strict: the large-window extension is not part of `br`, and may ask for gigabytes.
    let mut state = BrotliState::new_strict(u8s, u32s, codes);
    let (mut left, mut used, mut total) = (input.len(), 0, 0);
    loop {
        if !output.grow() {
            return Ok(Layer { used, end: End::Cap });
        }
        let mut written = output.bytes.len();
        output.bytes.resize(output.bytes.capacity().min(output.cap + 1), 0);
        let mut room = output.bytes.len() - written;
        let bytes = &mut output.bytes;
        let result = BrotliDecompressStream(
            &mut left,
            &mut used,
            input,
            &mut room,
            &mut written,
            bytes,
            &mut total,
            &mut state,
        );
        output.bytes.truncate(written);
        match result {
            BrotliResult::ResultSuccess if output.is_over() => return Ok(Layer { used, end: End::Cap }),
            BrotliResult::ResultSuccess => return Ok(Layer { used, end: End::Whole }),
            // Without room, more of what came may still be inside.
            BrotliResult::NeedsMoreInput if room == 0 => {}
            BrotliResult::NeedsMoreInput => return Ok(Layer { used, end: End::Input }),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(corrupt("the body is not brotli")),
        }
    }
}
