//! The content of `/bytes/N` and of everything that encodes, streams or cuts it.
//!
//! It is made of lines of 64 bytes, numbered from 0: line number, N and seed in hexadecimal, so that two bodies of
//! different length or seed differ from the first line on, and a lost, duplicated or swapped part is noticed. In
//! Python:
//!
//! ```python
//! def content(n: int, seed: int = 0) -> bytes:
//!     return b"".join(b"%016x %016x %016x hurtle bytes\n" % (i, n, seed) for i in range(n // 64 + 1))[:n]
//! ```

use bytes::Bytes;

const LINE: usize = 64;
/// How much is generated at a time when a body is streamed.
pub(crate) const BLOCK: usize = 64 * 1024;

/// The content for one length and seed, generated piece by piece.
#[derive(Debug)]
pub(crate) struct Content {
    line: [u8; LINE],
    position: u64,
    end: u64,
}

impl Content {
    /// The content of `length` bytes.
    pub(crate) fn new(length: u64, seed: u64) -> Self {
        let mut line = [0; LINE];
        let text = format!("{:016x} {length:016x} {seed:016x} hurtle bytes\n", 0);
        for (to, from) in line.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self { line, position: 0, end: length }
    }

    /// The same, but ending after `end` bytes.
    pub(crate) fn cut_at(mut self, end: u64) -> Self {
        self.end = self.end.min(end);
        self
    }

    /// How many bytes are still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// The next piece of at most `limit` bytes; `None` at the end.
    pub(crate) fn next_piece(&mut self, limit: usize) -> Option<Bytes> {
        let size = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(limit);
        if size == 0 {
            return None;
        }
        let skip = (self.position % LINE as u64) as usize;
        let mut piece = Vec::with_capacity(skip + size + LINE);
        let mut number = self.position / LINE as u64;
        while piece.len() < skip + size {
            self.number_line(number);
            piece.extend_from_slice(&self.line);
            number += 1;
        }
        self.position += size as u64;
        Some(Bytes::from(piece).slice(skip..skip + size))
    }

    fn number_line(&mut self, number: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (digit, shift) in self.line.iter_mut().take(16).zip((0..64).step_by(4).rev()) {
            let nibble = (number >> shift) & 0xf;
            *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'?');
        }
    }
}

impl Iterator for Content {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.next_piece(BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(n: u64, seed: u64) -> Vec<u8> {
        let line = |i| format!("{i:016x} {n:016x} {seed:016x} hurtle bytes\n");
        let mut all: String = (0..=n / 64).map(line).collect();
        all.truncate(usize::try_from(n).unwrap_or_default());
        all.into_bytes()
    }

    #[test]
    fn test_content_equals_the_formula_when_made_in_any_pieces() {
        for n in [0, 1, 63, 64, 65, 100, 1000, 70_000] {
            for limit in [1, 7, 64, 1000, BLOCK] {
                let mut content = Content::new(n, 3);
                let mut all = Vec::new();
                while let Some(piece) = content.next_piece(limit) {
                    assert!(piece.len() <= limit);
                    all.extend_from_slice(&piece);
                }
                assert_eq!(all, reference(n, 3), "n={n} limit={limit}");
            }
        }
    }

    #[test]
    fn test_content_is_a_prefix_when_cut() {
        let whole: Vec<u8> = Content::new(1000, 0).flatten().collect();
        let cut: Vec<u8> = Content::new(1000, 0).cut_at(130).flatten().collect();
        assert_eq!(whole.get(..130), Some(cut.as_slice()));
    }

    #[test]
    fn test_content_differs_when_length_or_seed_differ() {
        let first = |n, seed| Content::new(n, seed).next_piece(64);
        assert_ne!(first(1000, 0), first(1001, 0));
        assert_ne!(first(1000, 0), first(1000, 1));
    }
}
