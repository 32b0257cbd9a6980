//! `Retry-After`, and what some limiters send in its place.

use std::time::{Duration, SystemTime};

use super::dates::{clock, date, span_s, until};
use super::{Line, elements, number, seconds, text};
use crate::headers::HeaderBlock;

/// The wait that a response asks for, and the header line with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait<'a> {
    pub(crate) wait: Duration,
    pub(crate) line: Line<'a>,
}

/// The longest wait of the `Retry-After` lines. Where there is none, or it is zero because it was rounded down, the
/// longest of the fields that some send in its place. Dates are measured from the server's own `Date` if it sends one.
pub(crate) fn retry_after(headers: &HeaderBlock, now: SystemTime) -> Option<Wait<'_>> {
    let headers = headers.iter();
    if !headers.clone().any(|(field, _)| Form::of(field).is_some()) {
        return None;
    }
    let now = clock(&headers, now);
    let longest = |is_plain: bool| {
        let of_kind = |(field, value)| {
            let form = Form::of(field).filter(|&form| (form == Form::Plain) == is_plain)?;
            Some(Wait { wait: form.read(value, now)?, line: Line { field, value } })
        };
        headers.clone().filter_map(of_kind).max_by_key(|told| told.wait)
    };
    let plain = longest(true);
    if plain.is_some_and(|told| !told.wait.is_zero()) { plain } else { longest(false).or(plain) }
}

/// The form in which a field gives the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `Retry-After`: seconds or a date.
    Plain,
    /// The same under another name: `Retry-After-NAME` of a named throttler, `X-Rate-Limit-Retry-After-Seconds`.
    Alias,
    Milliseconds,
    /// A Go duration.
    Span,
}

impl Form {
    /// The form of `field`, in lower case, if it is one of these.
    pub(super) fn of(field: &str) -> Option<Self> {
        match field {
            "retry-after" => Some(Self::Plain),
            "retry-after-ms" => Some(Self::Milliseconds),
            "x-retry-in" => Some(Self::Span),
            "x-rate-limit-retry-after-seconds" => Some(Self::Alias),
            _ => field.strip_prefix("retry-after-").filter(|name| !name.is_empty()).map(|_| Self::Alias),
        }
    }

    /// The wait; the longest where lines were joined by commas, each of which must be one.
    pub(super) fn read(self, value: &[u8], now: SystemTime) -> Option<Duration> {
        let read = |value: &str| match self {
            Self::Plain | Self::Alias => match number(value) {
                Some(delay_s) => Some(seconds(delay_s)),
                None => date(value).map(|then| until(then, now)),
            },
            Self::Milliseconds => number(value).map(|delay_ms| seconds(delay_ms / 1_000.0)),
            Self::Span => span_s(value).map(seconds),
        };
        elements(text(value)?).try_fold(Duration::ZERO, |longest, value| Some(longest.max(read(value)?)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::politeness::advice::block;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    /// The wait in seconds, by a clock that is two seconds before `then`.
    fn wait_s(lines: &[(&str, &str)]) -> Option<f64> {
        let headers = block(lines);
        retry_after(&headers, then() - Duration::from_secs(2)).map(|told| told.wait.as_secs_f64())
    }

    fn plain_s(value: &str) -> Option<f64> {
        wait_s(&[("retry-after", value)])
    }

    #[test]
    fn test_retry_after_is_read_when_it_is_seconds() {
        for (value, wanted_s) in
            [("2", 2.0), (" 120 ", 120.0), ("0", 0.0), ("1.5", 1.5), ("999999999", 999_999_999.0)]
        {
            assert_eq!(plain_s(value), Some(wanted_s), "{value}");
        }
        assert_eq!(plain_s("9.978"), Some(9.978), "rate-limiter-flexible 11.4.0");
    }

    #[test]
    fn test_retry_after_is_read_when_it_is_a_date_of_any_form() {
        for (date, limiter) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "RFC 9110, IMF-fixdate; Flask-Limiter 4.1.1 with http-date"),
            ("Sunday, 06-Nov-94 08:49:37 GMT", "RFC 9110, RFC 850"),
            ("Sun Nov  6 08:49:37 1994", "RFC 9110, asctime"),
            ("Sun, 06 Nov 1994 08:49:37 UTC", "sethvargo/go-limiter v0.7.1"),
            ("Sun, 06 Nov 1994 08:49:37 -0000", "slowapi 0.1.10 with http-date"),
            ("Sun, 06 Nov 1994 08:49:37 +0000", "RFC 5322"),
            ("Sun, 06 Nov 1994 10:49:37 +0200", "RFC 5322"),
        ] {
            assert_eq!(plain_s(date), Some(2.0), "{date}: {limiter}");
        }
    }

    #[test]
    fn test_retry_after_is_now_when_the_date_is_past() {
        for date in ["Sun, 06 Nov 1994 08:49:30 GMT", "Sun, 06 Nov 1994 08:49:30 -0000"] {
            assert_eq!(plain_s(date), Some(0.0), "{date}");
        }
    }

    #[test]
    fn test_a_date_is_measured_from_the_servers_own_when_clocks_differ() {
        for date in ["Sun, 06 Nov 1994 08:39:37 GMT", "Sun, 06 Nov 1994 08:39:37 UTC"] {
            let lines = [("date", date), ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")];
            assert_eq!(wait_s(&lines), Some(600.0), "{date}");
        }
        let lines = [("date", "today"), ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(wait_s(&lines), Some(2.0), "a `Date` that is none");
    }

    #[test]
    fn test_retry_after_saturates_when_it_is_huge() {
        let longest_s = Some(f64::from(u32::MAX));
        let digits = "9".repeat(400);
        for (field, value) in [
            ("retry-after", "100000000000000000000"),
            ("retry-after", &digits),
            ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("retry-after-ms", &digits),
            ("x-retry-in", "99999999999h"),
        ] {
            assert_eq!(wait_s(&[(field, value)]), longest_s, "{field}: {value}");
        }
        assert!(std::time::Instant::now().checked_add(Duration::from_secs(u64::from(u32::MAX))).is_some());
    }

    #[test]
    fn test_the_longest_counts_when_there_are_several_lines() {
        let quart = [("retry-after", "2"), ("retry-after", "2")];
        assert_eq!(wait_s(&quart), Some(2.0), "quart-rate-limiter 0.12.1");
        assert_eq!(wait_s(&[("retry-after", "2, 2")]), Some(2.0), "the same, joined by a proxy");
        let several =
            [("retry-after", "3"), ("retry-after", "soon"), ("retry-after", "7"), ("retry-after", "1")];
        assert_eq!(wait_s(&several), Some(7.0));
    }

    #[test]
    fn test_an_alias_is_read_when_the_plain_field_is_missing() {
        for (field, value, wanted_s, limiter) in [
            ("retry-after-short", "10", 10.0, "@nestjs/throttler 6.7.1, named"),
            ("x-rate-limit-retry-after-seconds", "1", 1.0, "bucket4j-spring-boot-starter 0.12.10"),
            ("x-retry-in", "1.821422875s", 1.821_422_875, "Traefik 3.7.15"),
            ("x-retry-in", "1m3.5s", 63.5, "Traefik 3.7.15"),
            ("x-retry-in", "250ms", 0.25, "Traefik 3.7.15"),
            ("retry-after-ms", "850", 0.85, "OpenAI, Azure OpenAI"),
        ] {
            assert_eq!(wait_s(&[(field, value)]), Some(wanted_s), "{limiter}");
        }
        let named = [("retry-after-short", "1"), ("retry-after-long", "60"), ("retry-after-medium", "10")];
        assert_eq!(wait_s(&named), Some(60.0), "@nestjs/throttler 6.7.1, three of them");
    }

    #[test]
    fn test_the_plain_field_counts_when_there_is_an_alias_too() {
        let alias = ("x-retry-in", "1.821422875s");
        assert_eq!(wait_s(&[alias, ("retry-after", "2")]), Some(2.0), "Traefik 3.7.15");
        assert_eq!(wait_s(&[alias, ("retry-after", "soon")]), Some(1.821_422_875), "unreadable");
        assert_eq!(wait_s(&[alias, ("retry-after", "0")]), Some(1.821_422_875), "rounded down");
        assert_eq!(wait_s(&[("x-retry-in", "soon"), ("retry-after", "0")]), Some(0.0));
    }

    #[test]
    fn test_the_line_is_shown_when_it_is_asked_for() {
        let headers = block(&[("Retry-After-Short", "10"), ("Retry-After-Long", "60")]);
        let told = retry_after(&headers, then()).unwrap();
        assert_eq!(told.line.to_string(), "Retry-After-Long: 60");
        let headers = block(&[("Retry-After", &"9".repeat(400))]);
        let told = retry_after(&headers, then()).unwrap();
        assert_eq!(told.line.to_string(), format!("Retry-After: {}", "9".repeat(80)));
    }

    #[test]
    fn test_nothing_is_read_when_no_field_speaks_of_a_wait() {
        for lines in
            [&[][..], &[("retry-after-", "5")], &[("x-retry-after", "5")], &[("retry-afterwards", "5")]]
        {
            assert_eq!(wait_s(lines), None, "{lines:?}");
        }
    }
}
