//! Reads numbers from paths and values from query strings.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::Refusal;

/// A query string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn new(query: &'a str) -> Self {
        Self(query)
    }

    /// All pairs, decoded, in order.
    pub(super) fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(self.0.as_bytes())
    }

    /// The first value of a name.
    pub(super) fn get(self, name: &str) -> Option<Cow<'a, str>> {
        if self.0.is_empty() {
            return None;
        }
        self.pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The number a name has, or the default.
    pub(super) fn number(
        self,
        name: &str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Refusal> {
        self.get(name).map_or(Ok(default), |value| number(name, &value, allowed))
    }
}

/// Reads a number within its limits.
pub(super) fn number(name: &str, value: &str, allowed: RangeInclusive<u64>) -> Result<u64, Refusal> {
    match value.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(Refusal::BadRequest(format!(
            "{name} must be a whole number from {} to {}",
            allowed.start(),
            allowed.end()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn test_values_are_decoded_when_query_has_escapes() {
        let query = Query::new("a=1&b=x+y%26z&a=2&c");
        assert_eq!(query.get("a").unwrap(), "1");
        assert_eq!(query.get("b").unwrap(), "x y&z");
        assert_eq!(query.get("c").unwrap(), "");
        assert!(query.get("d").is_none());
        assert!(Query::new("").get("").is_none());
    }

    #[test]
    fn test_numbers_are_refused_when_out_of_range() {
        assert_eq!(Query::new("n=7").number("n", 1, 0..=9).unwrap(), 7);
        assert_eq!(Query::new("").number("n", 1, 0..=9).unwrap(), 1);
        for bad in ["10", "-1", "x", ""] {
            let refusal = number("n", bad, 0..=9).unwrap_err();
            assert!(matches!(refusal, Refusal::BadRequest(why) if why.starts_with("n must be")), "{bad}");
        }
    }
}
