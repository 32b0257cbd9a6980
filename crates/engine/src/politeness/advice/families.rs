//! The families of rate limit headers that are not structured fields: three names that belong together, and the rates
//! of buckets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::dates::{date, span_s, until};
use super::quota::{Quota, Quotas};
use super::structured::{PolicyItem, items};
use super::{MOST, count, elements, lines, name_of, number, seconds};
use crate::headers::Headers;

/// A reset above this is a point in time: seconds since 1970.
const YEAR_S: f64 = 365.0 * 86_400.0;

/// A reset above this is a point in time in milliseconds: in seconds it would be in the year 5138.
const MILLISECONDS: f64 = 1e11;

/// The names of three headers that belong together, with the one that stands for the third at Discord.
pub(super) struct Family {
    pub(super) limit: &'static str,
    pub(super) remaining: &'static str,
    pub(super) reset: &'static str,
    reset_after: &'static str,
}

/// Those that follow a draft come first. Spelled out, so that the search allocates nothing.
pub(super) const FAMILIES: [Family; 3] = [
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

/// Tokens a second that Spring Cloud Gateway puts back, and how many of them a request takes.
pub(super) const REPLENISH_RATE: &str = "x-ratelimit-replenish-rate";
pub(super) const REQUESTED_TOKENS: &str = "x-ratelimit-requested-tokens";

/// Seconds in which tollbooth lets as many requests through as `X-Rate-Limit-Limit` says.
pub(super) const DURATION: &str = "x-rate-limit-duration";

/// Whether a field, in lower case, may be one of those that are read here.
pub(super) fn speaks_of_limits(field: &str) -> bool {
    let field = field.strip_prefix("x-").unwrap_or(field);
    field.starts_with("ratelimit") || field.starts_with("rate-limit")
}

/// Whether a named window is one of requests. `OpenAI` and its likes have others of tokens.
pub(super) fn counts_requests(name: &str) -> bool {
    !name.contains("token") && !name.contains("byte")
}

/// A limit, which draft 3 lets be an item with parameters.
pub(super) fn limit_of(element: &str) -> Option<f64> {
    element.split(';').next().and_then(count)
}

/// A reset: seconds from now, a point in time in seconds or milliseconds since 1970, a date, or a Go duration as
/// `OpenAI` writes it.
pub(super) fn reset_of(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.split(';').next().unwrap_or_default().trim();
    match number(value) {
        Some(delay) if delay <= YEAR_S => Some(seconds(delay)),
        Some(then) => {
            let since_1970 = if then > MILLISECONDS { then / 1_000.0 } else { then };
            Some(seconds(since_1970 - now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64()))
        }
        None => date(value).map(|then| until(then, now)).or_else(|| span_s(value).map(seconds)),
    }
}

impl Quotas {
    /// Limiters that refill a bucket and report the rate, which determines the wait when the bucket is empty: Spring
    /// Cloud Gateway, which reports no reset, and tollbooth, whose reset is always one second.
    pub(super) fn add_bucket(&mut self, headers: &Headers<'_>) {
        let read = |field| lines(headers, field, "").find_map(count);
        let told = |field| read(field).filter(|&count| count > 0.0);
        let (remaining, limit, window_s) = if let Some(tokens) = told(REPLENISH_RATE) {
            let cost = told(REQUESTED_TOKENS).unwrap_or(1.0);
            (read("x-ratelimit-remaining").map(|left| (left / cost).floor()), tokens / cost, 1.0)
        } else if let (Some(limit), Some(window_s)) = (told("x-rate-limit-limit"), told(DURATION)) {
            (read("ratelimit-remaining"), limit, window_s)
        } else {
            return;
        };
        self.add_policy(limit, window_s);
        if let Some(remaining) = remaining {
            let (reset, window) = (seconds(window_s / limit), Some(seconds(window_s)));
            self.windows.push(Quota { limit: Some(limit), remaining, reset, window });
        }
    }

    /// Three headers that belong together, and those of each named throttler.
    pub(super) fn add_family(&mut self, headers: &Headers<'_>, family: &Family, now: SystemTime) {
        for (index, (field, _)) in headers.clone().enumerate() {
            let Some(name) = name_of(field, family.remaining) else { continue };
            let is_first = !headers.clone().take(index).any(|(earlier, _)| earlier == field);
            if is_first && counts_requests(name) && self.windows.len() < MOST {
                self.add_three(headers, family, name, now);
            }
        }
    }

    /// Each of the three may list one number for each of several windows (`1, 15000`), on one line or on several; a
    /// single one stands for all. The limit may be followed by policies (draft 3).
    fn add_three(&mut self, headers: &Headers<'_>, family: &Family, name: &str, now: SystemTime) {
        let list = |field| lines(headers, field, name).flat_map(elements);
        let nth = |field, index| list(field).nth(index).or_else(|| list(field).next());
        let limits = || lines(headers, family.limit, name).flat_map(items);
        for policy in limits().filter_map(PolicyItem::read).take(MOST) {
            if let Some(window_s) = policy.window_s {
                self.add_policy(policy.quota, window_s);
            }
        }
        for (index, remaining) in list(family.remaining).enumerate().take(MOST) {
            let reset = nth(family.reset_after, index).or_else(|| nth(family.reset, index));
            let (Some(remaining), Some(reset)) =
                (count(remaining), reset.and_then(|reset| reset_of(reset, now)))
            else {
                continue;
            };
            let alone = || limits().filter(|limit| !limit.contains(';'));
            let limit =
                alone().nth(index).or_else(|| alone().next()).or_else(|| limits().next()).and_then(limit_of);
            let window = self.window_of(limit);
            self.windows.push(Quota { limit, remaining, reset, window });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::told::{policies, tightest, told, told_at, windows, windows_at};
    use super::*;

    #[test]
    fn test_points_in_time_count_from_the_servers_date_when_clocks_differ() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC"] {
            let lines = [("date", date), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111787")];
            assert_eq!(windows_at(784_111_777 + 3_600, &lines), [(None, 0.0, 10.0, None)], "{date}");
        }
    }

    #[test]
    fn test_quota_is_read_when_github_sends_it() {
        let lines = [
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "59"),
            ("x-ratelimit-reset", "1732302000"),
            ("x-ratelimit-used", "1"),
            ("x-ratelimit-resource", "core"),
        ];
        assert_eq!(windows_at(1_732_298_400, &lines), [(Some(60.0), 59.0, 3_600.0, None)]);
        assert_eq!(
            windows_at(1_732_302_001, &lines),
            [(Some(60.0), 59.0, 0.0, None)],
            "a reset that is past"
        );
    }

    #[test]
    fn test_quota_is_read_when_x_reddit_or_discord_sends_it() {
        let x = [
            ("x-rate-limit-limit", "15"),
            ("x-rate-limit-remaining", "14"),
            ("x-rate-limit-reset", "1403602426"),
        ];
        assert_eq!(windows_at(1_403_601_526, &x), [(Some(15.0), 14.0, 900.0, None)]);
        let reddit =
            [("x-ratelimit-used", "4"), ("x-ratelimit-remaining", "596.0"), ("x-ratelimit-reset", "295")];
        assert_eq!(windows(&reddit), [(None, 596.0, 295.0, None)]);
        let discord = [
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1470173023.123"),
            ("x-ratelimit-reset-after", "1.25"),
            ("x-ratelimit-bucket", "abcd1234"),
        ];
        assert_eq!(windows(&discord), [(Some(5.0), 0.0, 1.25, None)], "the clock plays no part");
    }

    #[test]
    fn test_quota_is_read_when_gitlab_sends_a_point_in_time_as_the_standard_header() {
        let lines = [
            ("ratelimit-limit", "60"),
            ("ratelimit-observed", "67"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "1609844400"),
            ("ratelimit-resettime", "Tue, 05 Jan 2021 11:00:00 GMT"),
        ];
        assert_eq!(windows_at(1_609_844_370, &lines), [(Some(60.0), 0.0, 30.0, None)]);
    }

    #[test]
    fn test_only_windows_of_requests_count_when_openai_sends_tokens_too() {
        let lines = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(windows(&lines), [(Some(60.0), 59.0, 1.0, None)]);
    }

    #[test]
    fn test_reset_is_read_when_it_is_milliseconds_a_date_or_a_duration() {
        let reset = |reset| {
            let lines = [("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", reset)];
            told_at(784_111_777, &lines).tightest().map(|quota| quota.reset.as_secs_f64())
        };
        assert_eq!(reset("784111787500"), Some(10.5));
        assert_eq!(reset("784111787.25"), Some(10.25));
        assert_eq!(reset("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10.0));
        assert_eq!(reset("Sun, 06 Nov 1994 08:49:47 UTC"), Some(10.0));
        assert_eq!(reset("1m0.5s"), Some(60.5));
        assert_eq!(reset("1 minute"), None);
    }

    #[test]
    fn test_policies_are_linked_when_they_follow_drafts_3_6_and_7() {
        let draft_3 =
            [("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "30")];
        assert_eq!(windows(&draft_3), [(Some(100.0), 50.0, 30.0, Some(60.0))]);
        assert_eq!(policies(&draft_3), [(100.0, 60.0)]);
        let draft_6 = [
            ("ratelimit-policy", "10;w=1, 100;w=60"),
            ("ratelimit-limit", "100"),
            ("ratelimit-remaining", "50"),
            ("ratelimit-reset", "30"),
        ];
        assert_eq!(windows(&draft_6), [(Some(100.0), 50.0, 30.0, Some(60.0))]);
        assert_eq!(policies(&draft_6), [(10.0, 1.0), (100.0, 60.0)]);
        let draft_7 = [("ratelimit-policy", "100;w=60"), ("ratelimit", "limit=100, remaining=50, reset=30")];
        assert_eq!(windows(&draft_7), [(Some(100.0), 50.0, 30.0, Some(60.0))]);
        let [policy, _] = draft_7;
        assert_eq!(windows(&[policy, ("ratelimit", "remaining=5, reset=3")]), [(None, 5.0, 3.0, Some(60.0))]);
        let quoted = "10, 10;w=1;name=\"a, b\", 100;w=60";
        let envoy =
            [("x-ratelimit-limit", quoted), ("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "1")];
        assert_eq!(windows(&envoy), [(Some(10.0), 9.0, 1.0, Some(1.0))], "Envoy 1.40.0, global");
    }

    #[test]
    fn test_named_throttlers_are_windows_when_nestjs_sends_them() {
        let lines = [
            ("x-ratelimit-limit-short", "3"),
            ("x-ratelimit-remaining-short", "2"),
            ("x-ratelimit-reset-short", "1"),
            ("x-ratelimit-limit-long", "100"),
            ("x-ratelimit-remaining-long", "0"),
            ("x-ratelimit-reset-long", "50"),
            ("x-ratelimit-limit", "20"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "7"),
        ];
        let wanted =
            [(Some(3.0), 2.0, 1.0, None), (Some(100.0), 0.0, 50.0, None), (Some(20.0), 9.0, 7.0, None)];
        assert_eq!(windows(&lines), wanted, "@nestjs/throttler 6.7.1");
        assert_eq!(tightest(&lines), Some((0.0, 50.0)));
    }

    #[test]
    fn test_the_rate_is_read_when_a_bucket_is_refilled() {
        let spring = |rate, tokens, remaining| {
            [
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-requested-tokens", tokens),
                ("x-ratelimit-burst-capacity", "5"),
                ("x-ratelimit-replenish-rate", rate),
            ]
        };
        let wanted = [(Some(1.0), 4.0, 1.0, Some(1.0))];
        assert_eq!(windows(&spring("1", "1", "4")), wanted, "Spring Cloud Gateway 2025.0.0");
        assert_eq!(windows(&spring("4", "1", "0")), [(Some(4.0), 0.0, 0.25, Some(1.0))], "four a second");
        assert_eq!(
            windows(&spring("1", "2", "3")),
            [(Some(0.5), 1.0, 2.0, Some(1.0))],
            "two tokens a request"
        );
        assert_eq!(windows(&spring("0", "1", "0")), [], "never");
        assert_eq!(policies(&spring("1", "1", "-1")), [(1.0, 1.0)], "its Redis is down");
        let tollbooth = [
            ("ratelimit-limit", "1"),
            ("ratelimit-remaining", "4"),
            ("ratelimit-reset", "1"),
            ("x-rate-limit-limit", "0.50"),
            ("x-rate-limit-duration", "1"),
        ];
        let wanted = [(Some(0.5), 4.0, 2.0, Some(1.0))];
        assert_eq!(windows(&tollbooth), wanted, "didip/tollbooth v8.0.1: the reset is always 1");
        assert_eq!(windows(&tollbooth[3..]), [], "without what is left");
        assert_eq!(policies(&tollbooth[3..]), [(0.5, 1.0)]);
    }

    #[test]
    fn test_each_window_has_its_numbers_when_brave_lists_two() {
        let lines = [
            ("x-ratelimit-limit", "1, 15000"),
            ("x-ratelimit-policy", "1;w=1, 15000;w=2592000"),
            ("x-ratelimit-remaining", "1, 1000"),
            ("x-ratelimit-reset", "1, 1419704"),
        ];
        let month = (Some(15_000.0), 1_000.0, 1_419_704.0, Some(2_592_000.0));
        assert_eq!(windows(&lines), [(Some(1.0), 1.0, 1.0, Some(1.0)), month]);
        assert_eq!(tightest(&lines), Some((1_000.0, 1_419_704.0)));
    }

    #[test]
    fn test_the_next_family_counts_when_one_is_garbage() {
        let lines = [
            ("ratelimit", "as much as you like"),
            ("ratelimit-remaining", "-1"),
            ("ratelimit-reset", "30"),
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", "70"),
        ];
        assert_eq!(windows(&lines), [(None, 7.0, 70.0, None)]);
    }

    #[test]
    fn test_nothing_is_told_when_a_part_is_missing() {
        for lines in [
            &[][..],
            &[("x-ratelimit-remaining", "5")],
            &[("x-ratelimit-limit", "5"), ("x-ratelimit-reset", "5")],
            &[("x-ratelimit-remaining-a", "5"), ("x-ratelimit-reset-b", "5")],
            &[("x-rate-limit-remaining", "5"), ("x-rate-limit-retry-after-seconds", "5")],
        ] {
            assert_eq!(told(lines), Quotas::default(), "{lines:?}");
        }
    }
}
