//! The headers of a response: order and duplicates kept, names in lower case, in one run of bytes. They have this
//! form from the wire to the batch.

use http::HeaderMap;

/// Headers in one run of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderBlock {
    bytes: Vec<u8>,
}

impl HeaderBlock {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a header. The name must be ASCII.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let [n0, n1] = u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes();
        let [v0, v1, v2, v3] = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.bytes.extend_from_slice(&[n0, n1, v0, v1, v2, v3]);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if let Some(name) = self.bytes.get_mut(start..) {
            let (words, rest) = name.as_chunks_mut();
            for word in words {
                *word = in_lower_case(*word);
            }
            rest.make_ascii_lowercase();
        }
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn iter(&self) -> Headers<'_> {
        Headers::of(&self.bytes)
    }

    /// The values of the headers named `name`, in lower case.
    pub(crate) fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || split_first(&mut rest))
            .filter(move |(known, _)| *known == name.as_bytes())
            .map(|(_, value)| value)
    }
}

/// Eight bytes of ASCII in lower case, all at once: names are too short for a loop over larger vectors.
fn in_lower_case(word: [u8; 8]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    /// The highest bit of each byte, of which ASCII makes no use.
    const HIGH: u64 = EACH * 0x80;
    let word = u64::from_le_bytes(word);
    let is_at_least = |letter: u8| (word | HIGH).wrapping_sub(EACH * u64::from(letter));
    let upper = is_at_least(b'A') & !is_at_least(b'Z' + 1) & !word & HIGH;
    (word | (upper >> 2)).to_le_bytes()
}

impl From<&HeaderMap> for HeaderBlock {
    fn from(map: &HeaderMap) -> Self {
        let bytes = map.iter().map(|(name, value)| 6 + name.as_str().len() + value.len()).sum();
        let mut block = Self::with_capacity(bytes);
        for (name, value) in map {
            block.push(name.as_str().as_bytes(), value.as_bytes());
        }
        block
    }
}

/// Iterates over headers as name and value.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Those of a block's bytes.
    pub(crate) fn of(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// What is left of the block. Equal bytes are equal headers.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = split_first(&mut self.rest)?;
        Some((std::str::from_utf8(name).unwrap_or_default(), value))
    }
}

/// Takes the first header off a block's bytes.
fn split_first<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (name_len, rest) = block.split_first_chunk::<2>()?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*name_len)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
    *block = rest;
    Some((name, value))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_become_lower_case_as_each_of_them_does() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut word = *b"Az[`@{Z-";
                word[at] = byte;
                assert_eq!(in_lower_case(word), word.map(|byte| byte.to_ascii_lowercase()), "{word:?}");
            }
        }
    }

    #[test]
    fn order_and_duplicates_stay_and_names_are_in_lower_case() {
        let mut block = HeaderBlock::default();
        for (name, value) in
            [("Set-Cookie", &b"a=1"[..]), ("X", b"\xff"), ("set-cookie", b"b=2"), ("Empty", b"")]
        {
            block.push(name.as_bytes(), value);
        }
        let all: Vec<_> = block.iter().collect();
        assert_eq!(
            all,
            [("set-cookie", &b"a=1"[..]), ("x", b"\xff"), ("set-cookie", b"b=2"), ("empty", b"")]
        );
        assert_eq!(block.get_all("set-cookie").collect::<Vec<_>>(), [b"a=1", b"b=2"]);
        assert_eq!(block.get_all("none").count(), 0);
    }
}
