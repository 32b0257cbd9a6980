//! What a response says about when to come back and what is left of a limit: `Retry-After` and similar headers, and
//! the families of rate limit headers. Pure functions of the headers and a given clock.
//!
//! Source: RFC 9110 5.6.7 and 10.2.3, RFC 9651; draft-ietf-httpapi-ratelimit-headers-03 to -12; the documentation of
//! GitHub, X, Reddit, Discord, GitLab, Brave and `OpenAI` for the headers that came before them; and what the limiters
//! of the table in `limiters` send.

mod dates;
mod families;
#[cfg(test)]
mod limiters;
mod quota;
mod retry_after;
mod structured;
#[cfg(test)]
mod told;
mod unreadable;

use std::fmt::{self, Write};
use std::time::Duration;

pub(crate) use quota::{Quota, Quotas, quotas};
pub(crate) use retry_after::retry_after;
pub(crate) use unreadable::unreadable;

use crate::headers::Headers;

/// The longest time that any value is read as, in seconds: 136 years. It can still be added to an `Instant`.
const LONGEST_S: f64 = u32::MAX as f64;

/// No more elements or items than this are read: no server has that many windows.
const MOST: usize = 16;

/// A line of a response's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The name, in lower case.
    pub(crate) field: &'a str,
    pub(crate) value: &'a [u8],
}

/// As a row shows it: `Retry-After: soon`, with at most 80 characters of the value.
impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut begins = true;
        for letter in self.field.chars() {
            f.write_char(if begins { letter.to_ascii_uppercase() } else { letter })?;
            begins = letter == '-';
        }
        f.write_str(": ")?;
        String::from_utf8_lossy(self.value).chars().take(80).try_for_each(|letter| f.write_char(letter))
    }
}

/// The values of `base`, or of `base-NAME` where `name` is not empty, in order.
fn lines<'a, 'n>(
    headers: &Headers<'a>,
    base: &'n str,
    name: &'n str,
) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
    headers
        .clone()
        .filter(move |(field, _)| name_of(field, base) == Some(name))
        .filter_map(|(_, value)| text(value))
}

/// `NAME` if the field is `base-NAME`, nothing if it is `base`.
fn name_of<'a>(field: &'a str, base: &str) -> Option<&'a str> {
    let rest = field.strip_prefix(base)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('-').filter(|name| !name.is_empty()) }
}

/// The elements of a line. A date, which begins with a letter, is one with its comma.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let is_date = line.starts_with(|first: char| first.is_ascii_alphabetic());
    line.split(move |letter| letter == ',' && !is_date).map(str::trim)
}

/// A number of digits with at most one point, as Reddit and Discord send them: no sign, exponent or `NaN`. One that
/// is too large for an `f64` is infinite, which `seconds` bounds.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// A number of requests.
fn count(text: &str) -> Option<f64> {
    number(text).filter(|count| count.is_finite())
}

/// A `Duration` of this many seconds, none if negative, at most `LONGEST_S`.
fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count.clamp(0.0, LONGEST_S)).unwrap_or_default()
}

/// A header's value as text, without the blanks around it.
fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim)
}

/// A response's headers.
#[cfg(test)]
pub(super) fn block(lines: &[(&str, &str)]) -> crate::headers::HeaderBlock {
    let mut block = crate::headers::HeaderBlock::default();
    for (field, value) in lines {
        block.push(field.as_bytes(), value.as_bytes());
    }
    block
}
