//! What a response says about when to come back: `Retry-After` and the families of rate limit headers.
//!
//! Source: RFC 9110 5.6.7 and 10.2.3; draft-ietf-httpapi-ratelimit-headers-03, -07 and -10; the documentation of
//! GitHub, X, Reddit, Discord, GitLab and Brave for the headers that came before them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest time anything here is read as, seconds: 136 years. An `Instant` can still be added to it.
const LONGEST_S: f64 = u32::MAX as f64;

/// A reset above this is a point in time: seconds since 1970.
const YEAR_S: f64 = 365.0 * 86_400.0;

/// A reset above this is a point in time in milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// What is left of a host's limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quota {
    /// Requests in a whole window.
    pub limit: Option<f64>,
    /// Requests that may still be sent before the reset.
    pub remaining: f64,
    /// Until more may be sent.
    pub reset: Duration,
}

impl Quota {
    /// Requests per second that use it up just by its reset.
    fn pace(&self) -> f64 {
        if self.remaining > 0.0 { self.remaining / self.reset.as_secs_f64() } else { 0.0 }
    }

    fn tighter(self, other: Self) -> Self {
        let order = self.pace().total_cmp(&other.pace()).then(other.reset.cmp(&self.reset));
        if order.is_gt() { other } else { self }
    }
}

/// The value of `Retry-After`: seconds, or a date, of which one that is past means now. `None` is not a value.
pub(crate) fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = text(value)?;
    match number(value) {
        Some(delay) => Some(seconds(delay)),
        None => http_date(value).map(|then| until(then, now)),
    }
}

/// The tightest quota of the first family of headers that `get`, asked by lower-case names, finds complete. Points
/// in time are measured from the server's own `Date` where there is one: clocks differ, and then only the distance
/// between the two counts.
pub(crate) fn quota<'a>(get: impl Fn(&str) -> Option<&'a [u8]>, now: SystemTime) -> Option<Quota> {
    let get = |name: &str| get(name).and_then(text);
    structured(&get).or_else(|| FAMILIES.iter().find_map(|family| triple(&get, family, now)))
}

/// The names of three headers that belong together, with the one that stands for the third at Discord.
struct Family {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
    reset_after: &'static str,
}

/// Those that follow a draft come first. Spelled out, so that looking for them allocates nothing.
const FAMILIES: [Family; 3] = [
    Family {
        limit: "ratelimit-limit",
        remaining: "ratelimit-remaining",
        reset: "ratelimit-reset",
        reset_after: "ratelimit-reset-after",
    },
    Family {
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
        reset_after: "x-ratelimit-reset-after",
    },
    Family {
        limit: "x-rate-limit-limit",
        remaining: "x-rate-limit-remaining",
        reset: "x-rate-limit-reset",
        reset_after: "x-rate-limit-reset-after",
    },
];

/// `RateLimit` with `RateLimit-Policy`, or `RateLimit` as one dictionary (draft 07).
fn structured<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Option<Quota> {
    let field = get("ratelimit")?;
    let policies = get("ratelimit-policy").unwrap_or_default();
    let items = pieces(field, ',').filter_map(|item| service_limit(item, policies));
    items.reduce(Quota::tighter).or_else(|| dictionary(field))
}

/// One item of `RateLimit`, such as `"default";r=50;t=30`. Its reset is the policy's window where it has none.
fn service_limit(item: &str, policies: &str) -> Option<Quota> {
    let name = pieces(item, ';').next()?.trim();
    let policy = pieces(policies, ',').find(|policy| pieces(policy, ';').next().map(str::trim) == Some(name));
    let promised = |key| policy.and_then(|policy| parameter(policy, key));
    if promised("qu").is_some_and(|unit| unit != "\"requests\"") {
        return None;
    }
    let remaining = number(parameter(item, "r")?)?;
    let reset = number(parameter(item, "t").or_else(|| promised("w"))?)?;
    Some(Quota { limit: promised("q").and_then(number), remaining, reset: seconds(reset) })
}

/// `limit=100, remaining=50, reset=30`.
fn dictionary(field: &str) -> Option<Quota> {
    let member = |key| {
        let value = pieces(field, ',').find_map(|member| value_of(member, key))?;
        number(pieces(value, ';').next()?)
    };
    Some(Quota { limit: member("limit"), remaining: member("remaining")?, reset: seconds(member("reset")?) })
}

/// The quota in one family's headers. Each may list one number for each of several windows (`1, 15000`); a single
/// one stands for all.
fn triple<'a>(get: &impl Fn(&str) -> Option<&'a str>, family: &Family, now: SystemTime) -> Option<Quota> {
    let remaining = get(family.remaining)?;
    let now = get("date").and_then(http_date).unwrap_or(now);
    let reset = get(family.reset_after).or_else(|| get(family.reset))?;
    let limit = get(family.limit);
    let windows = remaining.split(',').enumerate().filter_map(|(index, remaining)| {
        Some(Quota {
            limit: limit.and_then(|limit| number(listed(limit, index))),
            remaining: number(remaining)?,
            reset: reset_of(reset, index, now)?,
        })
    });
    windows.reduce(Quota::tighter)
}

/// The element of a list that belongs to window `index`, without parameters; the first where there are fewer.
fn listed(list: &str, index: usize) -> &str {
    let item = list.split(',').nth(index).or_else(|| list.split(',').next()).unwrap_or_default();
    item.split(';').next().unwrap_or_default()
}

/// A reset: seconds from now, a point in time in seconds or milliseconds since 1970, or a date.
fn reset_of(value: &str, index: usize, now: SystemTime) -> Option<Duration> {
    match number(listed(value, index)) {
        Some(delay) if delay <= YEAR_S => Some(seconds(delay)),
        Some(then) => {
            let since_1970 = if then > MILLISECONDS { then / 1_000.0 } else { then };
            Some(seconds(since_1970 - now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64()))
        }
        None => http_date(value).map(|then| until(then, now)),
    }
}

/// The parameter `key` of a structured item.
fn parameter<'a>(item: &'a str, key: &str) -> Option<&'a str> {
    pieces(item, ';').skip(1).find_map(|parameter| value_of(parameter, key))
}

/// The value of `key=value`.
fn value_of<'a>(pair: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = pair.split_once('=')?;
    (name.trim() == key).then(|| value.trim())
}

/// Splits a structured field where `separator` is not inside a quoted string.
fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let apart = letter == separator && !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        apart
    })
}

/// A number of digits with at most one point, as Reddit and Discord send them: no sign, exponent or `NaN`. One that
/// is too large for an `f64` is infinite, which every use of it bounds.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// A `Duration` of so many seconds, none if negative, at most `LONGEST_S`.
fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count.clamp(0.0, LONGEST_S)).unwrap_or_default()
}

fn http_date(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value).ok()
}

fn until(then: SystemTime, now: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default()
}

/// A header's value as text, without the blanks around it.
fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn find<'a>(headers: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<&'a [u8]> {
        |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())
    }

    fn quota_at(since_1970: u64, headers: &[(&str, &str)]) -> Option<Quota> {
        quota(find(headers), UNIX_EPOCH + Duration::from_secs(since_1970))
    }

    /// What a test expects.
    #[allow(clippy::unnecessary_wraps)]
    fn some(limit: impl Into<Option<f64>>, remaining: f64, reset_s: f64) -> Option<Quota> {
        Some(Quota { limit: limit.into(), remaining, reset: Duration::from_secs_f64(reset_s) })
    }

    #[test]
    fn test_retry_after_is_read_when_it_is_seconds() {
        let read = |value: &str| retry_after(value.as_bytes(), then());
        assert_eq!(read("2"), Some(Duration::from_secs(2)));
        assert_eq!(read(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("1.5"), Some(Duration::from_millis(1_500)));
        assert_eq!(read("999999999"), Some(Duration::from_secs(999_999_999)));
    }

    #[test]
    fn test_retry_after_is_read_when_it_is_a_date_of_any_form() {
        let now = then() - Duration::from_secs(2);
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(retry_after(date.as_bytes(), now), Some(Duration::from_secs(2)), "{date}");
        }
    }

    #[test]
    fn test_retry_after_is_now_when_the_date_is_past() {
        let now = then() + Duration::from_secs(5);
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
    }

    #[test]
    fn test_retry_after_is_nothing_when_it_is_garbage() {
        for value in
            ["", "-1", "soon", "1e3", "inf", "NaN", "2 s", "1.2.3", ".", "+5", "Sun, 06 Nov", "\u{0661}"]
        {
            assert_eq!(retry_after(value.as_bytes(), then()), None, "{value}");
        }
        assert_eq!(retry_after(b"\xff\xfe", then()), None);
    }

    #[test]
    fn test_retry_after_saturates_when_it_is_huge() {
        let longest = Duration::from_secs(u64::from(u32::MAX));
        assert_eq!(retry_after(b"100000000000000000000", then()), Some(longest));
        assert_eq!(retry_after("9".repeat(400).as_bytes(), then()), Some(longest));
        assert!(std::time::Instant::now().checked_add(longest).is_some());
    }

    #[test]
    fn test_points_in_time_count_from_the_servers_date_when_clocks_differ() {
        let headers = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "784111787"),
        ];
        assert_eq!(quota_at(784_111_777 + 3_600, &headers), some(None, 0.0, 10.0));
    }

    #[test]
    fn test_quota_is_read_when_github_sends_it() {
        let headers = [
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "59"),
            ("x-ratelimit-reset", "1732302000"),
            ("x-ratelimit-used", "1"),
            ("x-ratelimit-resource", "core"),
        ];
        assert_eq!(quota_at(1_732_298_400, &headers), some(60.0, 59.0, 3_600.0));
        assert_eq!(quota_at(1_732_302_001, &headers), some(60.0, 59.0, 0.0), "a reset that is past");
    }

    #[test]
    fn test_quota_is_read_when_x_sends_it() {
        let headers = [
            ("x-rate-limit-limit", "15"),
            ("x-rate-limit-remaining", "14"),
            ("x-rate-limit-reset", "1403602426"),
        ];
        assert_eq!(quota_at(1_403_601_526, &headers), some(15.0, 14.0, 900.0));
    }

    #[test]
    fn test_quota_is_read_when_reddit_sends_it() {
        let headers =
            [("x-ratelimit-used", "4"), ("x-ratelimit-remaining", "596.0"), ("x-ratelimit-reset", "295")];
        assert_eq!(quota_at(1_732_298_400, &headers), some(None, 596.0, 295.0));
    }

    #[test]
    fn test_quota_is_read_when_discord_sends_it() {
        let headers = [
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1470173023.123"),
            ("x-ratelimit-reset-after", "1.25"),
            ("x-ratelimit-bucket", "abcd1234"),
        ];
        assert_eq!(quota_at(1_000_000_000, &headers), some(5.0, 0.0, 1.25), "the clock plays no part");
    }

    #[test]
    fn test_quota_is_read_when_gitlab_sends_a_point_in_time_as_the_standard_header() {
        let headers = [
            ("ratelimit-limit", "60"),
            ("ratelimit-observed", "67"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "1609844400"),
            ("ratelimit-resettime", "Tue, 05 Jan 2021 11:00:00 GMT"),
        ];
        assert_eq!(quota_at(1_609_844_370, &headers), some(60.0, 0.0, 30.0));
    }

    #[test]
    fn test_quota_is_read_when_reset_is_milliseconds_or_a_date() {
        let reset =
            |reset| quota_at(784_111_777, &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", reset)]);
        assert_eq!(reset("784111787500"), some(None, 3.0, 10.5));
        assert_eq!(reset("Sun, 06 Nov 1994 08:49:47 GMT"), some(None, 3.0, 10.0));
        assert_eq!(reset("1 minute"), None);
    }

    #[test]
    fn test_quota_is_read_when_it_follows_draft_03() {
        let headers =
            [("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "30")];
        assert_eq!(quota_at(0, &headers), some(100.0, 50.0, 30.0));
    }

    #[test]
    fn test_quota_is_read_when_it_follows_draft_07() {
        let headers = [("ratelimit-policy", "100;w=60"), ("ratelimit", "limit=100, remaining=50, reset=30")];
        assert_eq!(quota_at(0, &headers), some(100.0, 50.0, 30.0));
    }

    #[test]
    fn test_quota_is_read_when_it_follows_draft_10() {
        let headers =
            [("ratelimit-policy", "\"default\";q=100;w=60"), ("ratelimit", "\"default\";r=50;t=30")];
        assert_eq!(quota_at(0, &headers), some(100.0, 50.0, 30.0));
        let headers = [
            ("ratelimit-policy", "\"100-in-15min\"; q=100; w=900; pk=:OWY4NmQwODE4ODRj:"),
            ("ratelimit", "\"100-in-15min\"; r=99; t=900"),
        ];
        assert_eq!(quota_at(0, &headers), some(100.0, 99.0, 900.0), "with blanks and a partition key");
        assert_eq!(quota_at(0, &[("ratelimit", "\"a\";r=5;t=7")]), some(None, 5.0, 7.0), "without a policy");
    }

    #[test]
    fn test_reset_is_the_window_when_the_item_has_none() {
        let headers = [("ratelimit-policy", "\"a\";q=100;w=60"), ("ratelimit", "\"a\";r=40")];
        assert_eq!(quota_at(0, &headers), some(100.0, 40.0, 60.0));
        assert_eq!(quota_at(0, &[("ratelimit", "\"a\";r=40")]), None);
    }

    #[test]
    fn test_item_is_passed_over_when_its_unit_is_not_requests() {
        let policy =
            ("ratelimit-policy", "\"bytes\";q=9;qu=\"content-bytes\";w=1, \"n\";q=10;qu=\"requests\";w=1");
        assert_eq!(
            quota_at(0, &[policy, ("ratelimit", "\"bytes\";r=0;t=9, \"n\";r=3;t=1")]),
            some(10.0, 3.0, 1.0)
        );
    }

    #[test]
    fn test_names_may_hold_separators_when_they_are_quoted() {
        let headers = [("ratelimit-policy", r#""a,b;\"c";q=8;w=2"#), ("ratelimit", r#""a,b;\"c";r=4;t=2"#)];
        assert_eq!(quota_at(0, &headers), some(8.0, 4.0, 2.0));
    }

    #[test]
    fn test_the_tightest_counts_when_there_are_several() {
        let field = ("ratelimit", "\"hour\";r=900;t=60, \"day\";r=100;t=36000, \"minute\";r=50;t=30");
        assert_eq!(quota_at(0, &[field]), some(None, 100.0, 36_000.0));
        let spent = ("ratelimit", "\"second\";r=0;t=1, \"day\";r=0;t=3600, \"minute\";r=1;t=60");
        assert_eq!(quota_at(0, &[spent]), some(None, 0.0, 3_600.0), "of those spent, the one that lasts");
    }

    #[test]
    fn test_the_tightest_counts_when_brave_lists_two_windows() {
        let headers = [
            ("x-ratelimit-limit", "1, 15000"),
            ("x-ratelimit-policy", "1;w=1, 15000;w=2592000"),
            ("x-ratelimit-remaining", "1, 1000"),
            ("x-ratelimit-reset", "1, 1419704"),
        ];
        assert_eq!(quota_at(0, &headers), some(15_000.0, 1_000.0, 1_419_704.0));
    }

    #[test]
    fn test_the_next_family_counts_when_one_is_garbage() {
        let headers = [
            ("ratelimit", "as much as you like"),
            ("ratelimit-remaining", "-1"),
            ("ratelimit-reset", "30"),
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", "70"),
        ];
        assert_eq!(quota_at(0, &headers), some(None, 7.0, 70.0));
    }

    #[test]
    fn test_quota_is_nothing_when_a_part_is_missing_or_garbage() {
        assert_eq!(quota_at(0, &[]), None);
        assert_eq!(quota_at(0, &[("x-ratelimit-remaining", "5")]), None);
        assert_eq!(quota_at(0, &[("x-ratelimit-limit", "5"), ("x-ratelimit-reset", "5")]), None);
        for value in ["", "\"a", "\"a\";r=;t=1", "\"a\";r=x;t=1", "\"a\";t=1", ";;;,,,===", "\"a\";r=-1;t=1"]
        {
            assert_eq!(quota_at(0, &[("ratelimit", value)]), None, "{value}");
        }
    }
}
