//! The frame of a gzip member (RFC 1952 §2.3).

use super::corrupt;
use crate::error::Failure;

/// The start of every member: two identifying bytes, and deflate as its method.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// The length of a member's end: check and length.
pub(super) const TRAILER: usize = 8;

/// The end of a member with this check and length.
pub(super) fn trailer(crc: u32, length: usize) -> [u8; TRAILER] {
    // The length is stored modulo 2^32 (RFC 1952 §2.3.1).
    (u64::from(crc) | (length as u64 & 0xffff_ffff) << 32).to_le_bytes()
}

/// The length of a gzip header; none where the input ends inside it.
pub(super) fn header(input: &[u8]) -> Result<Option<usize>, Failure> {
    let known = input.len().min(MAGIC.len());
    if input.get(..known) != MAGIC.get(..known) {
        return Err(corrupt("the body is not gzip"));
    }
    let Some(&flags) = input.get(3) else { return Ok(None) };
    if flags & 0xe0 != 0 {
        return Err(corrupt("the gzip header has unknown flags"));
    }
    let mut end = 10;
    if flags & 4 != 0 {
        let Some(&[low, high]) = input.get(end..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        end += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    // File name and comment, each up to a zero byte.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(rest) = input.get(end..) else { return Ok(None) };
            let Some(zero) = rest.iter().position(|&byte| byte == 0) else { return Ok(None) };
            end += zero + 1;
        }
    }
    if flags & 2 != 0 {
        end += 2;
    }
    Ok((end <= input.len()).then_some(end))
}
