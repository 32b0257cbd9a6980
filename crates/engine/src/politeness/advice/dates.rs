//! Dates and spans of time as limiters write them.

use std::time::{Duration, SystemTime};

use super::{LONGEST_S, lines, number, seconds};
use crate::headers::Headers;

/// What a date is measured from: the server's own `Date` where it sends one, else `now`. Clocks differ, and then only
/// the distance between the server's two dates counts.
pub(super) fn clock(headers: &Headers<'_>, now: SystemTime) -> SystemTime {
    lines(headers, "date", "").find_map(date).unwrap_or(now)
}

/// How long it is until `then`; a date that is past is now.
pub(super) fn until(then: SystemTime, now: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default().min(seconds(LONGEST_S))
}

/// A date in one of HTTP's three forms (RFC 9110 5.6.7), or in the first of them with another zone: Go's
/// `time.RFC1123` ends in `UTC`, a mail date (RFC 5322 3.3) in `-0000` or `+0200`.
pub(super) fn date(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value).ok().or_else(|| zoned(value))
}

fn zoned(value: &str) -> Option<SystemTime> {
    let (local, zone) = value.rsplit_once(' ')?;
    let mut greenwich = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    if local.len() + " GMT".len() != greenwich.len() {
        return None;
    }
    greenwich.iter_mut().zip(local.bytes()).for_each(|(to, from)| *to = from);
    let then = httpdate::parse_http_date(std::str::from_utf8(&greenwich).ok()?).ok()?;
    match zone {
        "UTC" | "UT" | "Z" => Some(then),
        _ => {
            let (ahead, offset) = offset(zone)?;
            if ahead { then.checked_sub(offset) } else { then.checked_add(offset) }
        }
    }
}

/// Whether the clocks of a zone such as `+0530` are ahead of Greenwich, and by how much.
fn offset(zone: &str) -> Option<(bool, Duration)> {
    let digits = zone.strip_prefix(['+', '-']).filter(|digits| digits.len() == 4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let clock: u64 = digits.parse().ok()?;
    let (hours, minutes) = (clock / 100, clock % 100);
    (hours < 24 && minutes < 60)
        .then(|| (zone.starts_with('+'), Duration::from_secs(hours * 3_600 + minutes * 60)))
}

/// The seconds of a Go duration: `1.821422875s`, `1m3.5s`, `250ms`.
pub(super) fn span_s(value: &str) -> Option<f64> {
    let is_of_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (mut rest, mut total) = (value, None);
    while !rest.is_empty() {
        let (count, after) = rest.split_at(rest.find(|letter| !is_of_number(letter))?);
        let (unit, after) = after.split_at(after.find(is_of_number).unwrap_or(after.len()));
        let unit_s = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = Some(total.unwrap_or(0.0) + number(count)? * unit_s);
        rest = after;
    }
    total
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Mon, 30 Nov 2026 22:21:37 GMT.
    const NOVEMBER_S: u64 = 1_796_077_297;

    fn since_1970(value: &str) -> Option<u64> {
        date(value).map(|then| then.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn test_dates_are_read_when_they_have_any_form_of_http() {
        for value in
            ["Mon, 30 Nov 2026 22:21:37 GMT", "Monday, 30-Nov-26 22:21:37 GMT", "Mon Nov 30 22:21:37 2026"]
        {
            assert_eq!(since_1970(value), Some(NOVEMBER_S), "{value}");
        }
    }

    #[test]
    fn test_dates_are_read_when_they_have_another_zone() {
        for value in [
            "Mon, 30 Nov 2026 22:21:37 UTC",
            "Mon, 30 Nov 2026 22:21:37 UT",
            "Mon, 30 Nov 2026 22:21:37 Z",
            "Mon, 30 Nov 2026 22:21:37 -0000",
            "Mon, 30 Nov 2026 22:21:37 +0000",
            "Tue, 01 Dec 2026 00:21:37 +0200",
            "Tue, 01 Dec 2026 03:51:37 +0530",
            "Mon, 30 Nov 2026 14:21:37 -0800",
        ] {
            assert_eq!(since_1970(value), Some(NOVEMBER_S), "{value}");
        }
    }

    #[test]
    fn test_dates_are_not_read_when_they_are_garbage() {
        for value in [
            "Mon, 30 Nov 2026 22:21:37",
            "Mon, 30 Nov 2026 22:21:37 CET",
            "Mon, 30 Nov 2026 22:21:37 +2",
            "Mon, 30 Nov 2026 22:21:37 +9900",
            "Mon, 30 Nov 2026 22:21:37 +0099",
            "Mon, 30 Nov 2026 22:21:37 ++00",
            "Mon, 30 Nov 2026 22:61:37 UTC",
            "Tue, 30 Nov 2026 22:21:37 UTC",
            "Sat, 30 Feb 2026 22:21:37 -0000",
            "Mon, 01 Jan 0001 00:00:00 UTC",
            "Thu, 01 Jan 1970 00:00:00 +9999",
            "\u{e9}\u{e9}\u{e9}, 30 Nov 2026 22:21 UTC",
            " UTC",
            "",
        ] {
            assert_eq!(since_1970(value), None, "{value}");
        }
    }

    #[test]
    fn test_a_date_before_1970_is_past_when_only_its_zone_makes_it_so() {
        let then = date("Thu, 01 Jan 1970 00:00:00 +0100").unwrap();
        assert_eq!(until(then, UNIX_EPOCH), Duration::ZERO);
    }

    #[test]
    fn test_spans_are_read_when_go_writes_them() {
        for (value, wanted_s) in [
            ("1.821422875s", 1.821_422_875),
            ("1m3.5s", 63.5),
            ("250ms", 0.25),
            ("2h0m1s", 7_201.0),
            ("100\u{b5}s", 1e-4),
            ("100\u{3bc}s", 1e-4),
            ("7ns", 7e-9),
            ("0s", 0.0),
        ] {
            let read_s = span_s(value).unwrap();
            assert!((read_s - wanted_s).abs() < 1e-12, "{value}: {read_s}");
        }
    }

    #[test]
    fn test_spans_are_not_read_when_they_are_garbage() {
        for value in
            ["", "s", "5", "1.2.3s", "-1s", "1 s", "1s ", "1S", "1d", "1s2", ".5s", "\u{b5}", "1m-3s"]
        {
            assert_eq!(span_s(value), None, "{value}");
        }
    }
}
