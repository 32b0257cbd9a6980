//! Which content codings a request asked for. A body is decoded only as far as that: a server that labels a file
//! `Content-Encoding: gzip` because its name ends in `.gz` sends what was wanted.

use super::decode::Coding;

/// A set of codings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted([bool; Coding::ALL.len()]);

impl Accepted {
    /// Every coding.
    pub(crate) const ALL: Self = Self([true; Coding::ALL.len()]);
    /// No coding: bodies stay as received.
    pub(crate) const NONE: Self = Self([false; Coding::ALL.len()]);

    /// What the values of Accept-Encoding ask for. Without the header, any coding is acceptable; with an empty one, none
    /// is.
    ///
    /// Source: RFC 9110, section 12.5.3.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut accepted, mut others, mut sent) = ([None; Coding::ALL.len()], false, false);
        for value in values {
            sent = true;
            for (name, wanted) in String::from_utf8_lossy(value).split(',').map(member) {
                if name == "*" {
                    others = wanted;
                } else if let Some(coding) = Coding::named(name)
                    && let Some(place) = accepted.get_mut(coding as usize)
                {
                    *place = Some(wanted);
                }
            }
        }
        if sent { Self(accepted.map(|wanted| wanted.unwrap_or(others))) } else { Self::ALL }
    }

    /// Whether a coding was asked for.
    pub(super) fn has(self, coding: Coding) -> bool {
        self.0.get(coding as usize).is_some_and(|&wanted| wanted)
    }
}

/// The name of a member of the list, and whether its weight is above 0 (RFC 9110, section 12.4.2).
fn member(text: &str) -> (&str, bool) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    (name.trim(), weight.and_then(|weight| weight.parse::<f32>().ok()) != Some(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[&str]) -> Vec<Coding> {
        let accepted = Accepted::of(values.iter().map(|value| value.as_bytes()));
        Coding::ALL.into_iter().filter(|&coding| accepted.has(coding)).collect()
    }

    #[test]
    fn only_what_is_named_is_asked_for() {
        use Coding::{Brotli, Deflate, Gzip, Zstd};
        for (values, expected) in [
            (&["gzip, deflate, br, zstd"][..], &[Gzip, Deflate, Brotli, Zstd][..]),
            (&[], &[Gzip, Deflate, Brotli, Zstd]),
            (&[""], &[]),
            (&["identity"], &[]),
            (&["identity;q=1, *;q=0"], &[]),
            (&["X-GZIP ; q=0.5"], &[Gzip]),
            (&["br", "zstd;q=0.001"], &[Brotli, Zstd]),
            (&["gzip;q=0, *"], &[Deflate, Brotli, Zstd]),
            (&["*;q=0.0, gzip"], &[Gzip]),
            (&["gzip;Q=0.000"], &[]),
            (&["gzip;q=x"], &[Gzip]),
            (&["compress, \u{fffd}"], &[]),
        ] {
            assert_eq!(named(values), expected, "{values:?}");
        }
    }
}
