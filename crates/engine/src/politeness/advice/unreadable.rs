//! The limits in a response that cannot be read. Such a field is ignored, and the row says so.

use std::time::UNIX_EPOCH;

use super::families::{
    DURATION, FAMILIES, Family, REPLENISH_RATE, REQUESTED_TOKENS, counts_requests, limit_of, reset_of,
    speaks_of_limits,
};
use super::quota::POLICIES;
use super::retry_after::Form;
use super::structured::{Dictionary, LimitItem, PolicyItem, items};
use super::{Line, count, elements, name_of, text};
use crate::headers::HeaderBlock;

/// The first line that ought to say something about a wait or a limit and does not: it is ignored, as if it had not
/// been sent.
pub(crate) fn unreadable(headers: &HeaderBlock) -> Option<Line<'_>> {
    headers
        .iter()
        .find(|(field, value)| !is_readable(field, value))
        .map(|(field, value)| Line { field, value })
}

/// Whether the field is not one of those that are read here, or its value is readable.
fn is_readable(field: &str, value: &[u8]) -> bool {
    // The reference time does not matter here.
    let now = UNIX_EPOCH;
    if let Some(form) = Form::of(field) {
        return form.read(value, now).is_some();
    }
    if !speaks_of_limits(field) {
        return true;
    }
    let Some(line) = text(value) else { return false };
    let is_one_of = |part: fn(&Family) -> &'static str| {
        FAMILIES.iter().any(|family| name_of(field, part(family)).is_some_and(counts_requests))
    };
    match field {
        "ratelimit" => {
            items(line).all(|item| LimitItem::read(item).is_some()) || Dictionary::read(line).is_some()
        }
        REPLENISH_RATE | REQUESTED_TOKENS | DURATION => count(line).is_some_and(|count| count > 0.0),
        _ if POLICIES.contains(&field) => items(line).all(|item| PolicyItem::read(item).is_some()),
        _ if is_one_of(|family| family.remaining) => elements(line).all(|left| count(left).is_some()),
        _ if is_one_of(|family| family.limit) => items(line).all(|limit| limit_of(limit).is_some()),
        _ if is_one_of(|family| family.reset) => elements(line).all(|reset| reset_of(reset, now).is_some()),
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::*;
    use crate::politeness::advice::quota::{Quotas, quotas};
    use crate::politeness::advice::retry_after::retry_after;

    /// Mon, 30 Nov 2026 22:21:27 GMT.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_796_077_287)
    }

    fn block(lines: &[(&str, &[u8])]) -> HeaderBlock {
        let mut block = HeaderBlock::default();
        for (field, value) in lines {
            block.push(field.as_bytes(), value);
        }
        block
    }

    /// A field, with those that would make a wait or a quota of it if it could be read.
    const MALFORMED: [(&str, &[u8]); 68] = [
        ("retry-after", b""),
        ("retry-after", b"-1"),
        ("retry-after", b"soon"),
        ("retry-after", b"1e3"),
        ("retry-after", b"inf"),
        ("retry-after", b"NaN"),
        ("retry-after", b"2 s"),
        ("retry-after", b"1.2.3"),
        ("retry-after", b"."),
        ("retry-after", b"+5"),
        ("retry-after", b"0x10"),
        ("retry-after", b"5;"),
        ("retry-after", b"2, soon"),
        ("retry-after", b"2,"),
        ("retry-after", b"Sun, 06 Nov"),
        ("retry-after", "\u{661}".as_bytes()),
        ("retry-after", b"\xff\xfe"),
        ("retry-after", b"Mon, 30 Nov 2026 22:21:37 CET"),
        ("retry-after", b"Mon, 30 Nov 2026 22:21:37 +99"),
        ("retry-after", b"Mon, 30 Nov 2026 25:21:37 GMT"),
        ("retry-after", b"Mon, 31 Nov 2026 22:21:37 -0000"),
        ("retry-after", b"2026-11-30T22:21:37Z"),
        ("retry-after-short", b"-5"),
        ("retry-after-short", b"ten"),
        ("retry-after-short", b""),
        ("x-rate-limit-retry-after-seconds", b"-1"),
        ("x-rate-limit-retry-after-seconds", b"1s"),
        ("retry-after-ms", b"-1"),
        ("retry-after-ms", b"850ms"),
        ("retry-after-ms", b"Mon, 30 Nov 2026 22:21:37 GMT"),
        ("x-retry-in", b"5"),
        ("x-retry-in", b"-1s"),
        ("x-retry-in", b"1 fortnight"),
        ("x-retry-in", b"s"),
        ("x-retry-in", b"1.2.3s"),
        ("ratelimit", b""),
        ("ratelimit", b"\"a"),
        ("ratelimit", b"\"a\""),
        ("ratelimit", b"\"a\";t=5"),
        ("ratelimit", b"\"a\";r=x;t=1"),
        ("ratelimit", b"\"a\";r=-1;t=1"),
        ("ratelimit", b"\"a\";r=1;t=soon"),
        ("ratelimit", b"\"a\";a=1;w=-1"),
        ("ratelimit", b"\"a\";a=1;w=1;c=cheap"),
        ("ratelimit", b"\"\xff\";r=1;t=1"),
        ("ratelimit", b"limit=5, remaining=-4, reset=1"),
        ("ratelimit", b"limit=5, remaining=4, reset=x"),
        ("ratelimit", b";;;,,,==="),
        ("ratelimit-policy", b"default"),
        ("ratelimit-policy", b"\"a"),
        ("ratelimit-policy", b"\"a\";q=-5;w=10"),
        ("ratelimit-policy", b"\"a\";q=5;w=0"),
        ("ratelimit-policy", b"\"a\";q=many;qu=\"concurrent-requests\""),
        ("ratelimit-policy", b"5;w=-10"),
        ("x-ratelimit-policy", b"unlimited"),
        ("x-ratelimit-remaining", b"-1"),
        ("x-ratelimit-remaining", b"many"),
        ("x-ratelimit-remaining-short", b"-1"),
        ("ratelimit-remaining", b"\xff"),
        ("x-ratelimit-reset", b"1 minute"),
        ("x-ratelimit-reset", b"-10"),
        ("x-ratelimit-reset", b"Mon, 30 Nov 2026 22:21:37 CET"),
        ("ratelimit-reset", b""),
        ("x-rate-limit-reset", b"1e9"),
        ("ratelimit-limit", b"unlimited"),
        ("x-ratelimit-limit-short", b"-3"),
        ("x-ratelimit-replenish-rate", b"0"),
        ("x-rate-limit-duration", b"fast"),
    ];

    #[test]
    fn test_a_malformed_value_is_named_and_counts_for_nothing() {
        for (field, value) in MALFORMED {
            let shown = String::from_utf8_lossy(value);
            let mut lines = vec![("date", &b"Mon, 30 Nov 2026 22:21:27 GMT"[..]), (field, value)];
            let others: &[(&str, &[u8])] = match field {
                "x-ratelimit-reset" | "x-ratelimit-replenish-rate" => &[("x-ratelimit-remaining", b"0")],
                "ratelimit-reset" => &[("ratelimit-remaining", b"0")],
                "x-rate-limit-reset" => &[("x-rate-limit-remaining", b"0")],
                "x-ratelimit-remaining" => &[("x-ratelimit-reset", b"9"), ("x-ratelimit-limit", b"5")],
                "x-ratelimit-remaining-short" => &[("x-ratelimit-reset-short", b"9")],
                "ratelimit-remaining" => &[("ratelimit-reset", b"9")],
                "x-rate-limit-duration" => &[("x-rate-limit-limit", b"1"), ("ratelimit-remaining", b"0")],
                _ => &[],
            };
            lines.extend(others);
            let headers = block(&lines);
            assert_eq!(retry_after(&headers, now()), None, "{field}: {shown}");
            assert_eq!(quotas(&headers, now()), Quotas::default(), "{field}: {shown}");
            assert_eq!(unreadable(&headers), Some(Line { field, value }), "{field}: {shown}");
        }
    }

    #[test]
    fn test_the_first_is_named_when_several_are_unreadable() {
        let headers =
            block(&[("x-a", b"soon"), ("retry-after", b"5"), ("x-retry-in", b"\xff"), ("ratelimit", b"")]);
        assert_eq!(unreadable(&headers).unwrap().to_string(), "X-Retry-In: \u{fffd}");
    }

    #[test]
    fn test_nothing_is_named_when_every_field_is_readable_or_none_of_these() {
        let headers = block(&[
            ("retry-after", b"5"),
            ("retry-after-short", b"5"),
            ("x-retry-in", b"5s"),
            ("ratelimit", b"\"a\";r=1;t=1, b;a=1"),
            ("ratelimit", b"limit=5, remaining=4, reset=1"),
            ("ratelimit-policy", b"\"a\";q=5;w=1, \"b\";q=9;qu=\"content-bytes\", 5;w=10"),
            ("ratelimit-partition", b"\"a\";user_id;method"),
            ("ratelimit-resettime", b"soon"),
            ("x-ratelimit-limit", b"10, 10;w=1;name=\"a, b\""),
            ("x-ratelimit-remaining", b"1, 2"),
            ("x-ratelimit-reset", b"Mon, 30 Nov 2026 22:21:37 UTC"),
            ("x-ratelimit-reset-after", b"1.25"),
            ("x-ratelimit-reset-tokens", b"unknown"),
            ("x-ratelimit-resource", b"core"),
            ("x-ratelimit-bucket", b"abcd1234"),
            ("x-ratelimit-replenish-rate", b"1"),
            ("x-rate-limit-duration", b"1"),
            ("date", b"soon"),
            ("x-other", b"\xff"),
        ]);
        assert_eq!(unreadable(&headers), None);
    }

    /// `SplitMix64`.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % sides as u64) as usize
        }

        fn of<T: Copy>(&mut self, all: &[T]) -> T {
            all[self.below(all.len())]
        }

        /// A value of the field, a row of what values are made of, or random bytes; now and then with a byte changed.
        fn value(&mut self, samples: &[&[u8]]) -> Vec<u8> {
            let mut value = match self.below(8) {
                0 => (0..self.below(40)).map(|_| self.below(256) as u8).collect(),
                1 | 2 => (0..=self.below(8)).flat_map(|_| self.of(&ATOMS).to_vec()).collect(),
                _ => self.of(samples).to_vec(),
            };
            if self.below(4) == 0 && !value.is_empty() {
                let at = self.below(value.len());
                value[at] = self.below(256) as u8;
            }
            value
        }
    }

    /// What values are made of.
    const ATOMS: [&[u8]; 34] = [
        b"0",
        b"1",
        b"5",
        b"60",
        b"1796077297500",
        b"0.50",
        b".",
        b"-",
        b",",
        b";",
        b"=",
        b" ",
        b"\"",
        b"\\",
        b"\"a\"",
        b";r=",
        b";t=",
        b";a=",
        b";w=",
        b";q=",
        b";c=",
        b";pk=:YQ==:",
        b";qu=",
        b"limit=",
        b"remaining=",
        b"reset=",
        b"s",
        b"m",
        b"\xc2\xb5s",
        b"GMT",
        b"UTC",
        b"-0000",
        b"Mon, 30 Nov 2026 22:21:37 ",
        b"\xff",
    ];

    const HUGE: &[u8] = &[b'9'; 400];
    const DATES: &[&[u8]] = &[
        b"Mon, 30 Nov 2026 22:21:37 GMT",
        b"Fri, 31 Dec 9999 23:59:59 UTC",
        b"Thu, 01 Jan 1970 00:00:00 +2359",
    ];
    const DELAYS: &[&[u8]] = &[
        b"0",
        b"10",
        b"9.978",
        b"2, 3",
        HUGE,
        b"Mon, 30 Nov 2026 22:21:37 -0000",
        b"Fri, 31 Dec 9999 23:59:59 -2359",
    ];
    const SPANS: &[&[u8]] = &[b"1.821422875s", b"1m3.5s", b"250ms", b"99999999999999999999h", b"0s"];
    const COUNTS: &[&[u8]] = &[b"0", b"5", b"0.50", b"1, 15000", b"0.0000000000000000001", HUGE];
    const RESETS: &[&[u8]] = &[
        b"10",
        b"1796077297.25",
        b"1796077297500",
        b"1, 60",
        b"6m0s",
        b"Mon, 30 Nov 2026 22:21:37 UTC",
        HUGE,
    ];
    const ITEMS: &[&[u8]] = &[
        b"\"a\";r=4;t=10",
        b"\"a\";a=4;w=10;c=3, \"b\";a=0",
        b"limit=5, remaining=4, reset=10",
        b"a;r=99999999999999999999;t=0",
        b"\"b\";a=1;c=99999999999999999999999;w=99999999999999999999999",
    ];
    const POLICY_ITEMS: &[&[u8]] = &[
        b"5;w=10",
        b"\"a\";q=5;w=10, \"b\";q=6;w=60",
        b"\"a\";q=4;qu=\"concurrent-requests\"",
        b"\"b\";q=9;w=0.0000000000001",
        b"\"a\";q=99999999999999999999;w=99999999999999999999",
    ];

    const FIELDS: [(&str, &[&[u8]]); 21] = [
        ("date", DATES),
        ("retry-after", DELAYS),
        ("retry-after-ms", COUNTS),
        ("retry-after-short", DELAYS),
        ("x-retry-in", SPANS),
        ("x-rate-limit-retry-after-seconds", DELAYS),
        ("ratelimit", ITEMS),
        ("ratelimit-policy", POLICY_ITEMS),
        ("x-ratelimit-policy", POLICY_ITEMS),
        ("ratelimit-limit", COUNTS),
        ("ratelimit-remaining", COUNTS),
        ("ratelimit-reset", RESETS),
        ("x-ratelimit-limit", POLICY_ITEMS),
        ("x-ratelimit-remaining", COUNTS),
        ("x-ratelimit-reset", RESETS),
        ("x-ratelimit-remaining-short", COUNTS),
        ("x-ratelimit-reset-short", RESETS),
        ("x-ratelimit-replenish-rate", COUNTS),
        ("x-ratelimit-requested-tokens", COUNTS),
        ("x-rate-limit-limit", COUNTS),
        ("x-rate-limit-duration", COUNTS),
    ];

    #[test]
    fn test_no_bytes_panic_or_make_a_wait_beyond_the_longest() {
        let longest = Duration::from_secs(u64::from(u32::MAX));
        let start = Instant::now();
        let is_bounded = |wait: Duration| wait <= longest && start.checked_add(wait).is_some();
        let is_count = |count: f64| count.is_finite() && count >= 0.0;
        let (mut waits, mut windows, mut policies, mut ignored) = (0, 0, 0, 0);
        let mut dice = Dice(11);
        for _ in 0..20_000 {
            let mut headers = HeaderBlock::default();
            for _ in 0..=dice.below(8) {
                let (field, samples) = dice.of(&FIELDS);
                headers.push(field.as_bytes(), &dice.value(samples));
            }
            if let Some(told) = retry_after(&headers, now()) {
                assert!(is_bounded(told.wait), "{told:?}");
                waits += 1;
            }
            let told = quotas(&headers, now());
            for quota in &told.windows {
                assert!(is_bounded(quota.reset) && quota.window.is_none_or(is_bounded), "{told:?}");
                assert!(is_count(quota.remaining) && quota.limit.is_none_or(is_count), "{told:?}");
            }
            for policy in &told.policies {
                assert!(is_bounded(policy.window) && !policy.window.is_zero(), "{told:?}");
                assert!(is_count(policy.limit), "{told:?}");
            }
            assert!(told.concurrent != Some(0), "{told:?}");
            assert_eq!(told.tightest().is_some(), !told.windows.is_empty());
            windows += told.windows.len();
            policies += told.policies.len();
            ignored += usize::from(unreadable(&headers).is_some());
        }
        assert!(
            waits.min(windows).min(policies).min(ignored) > 2_000,
            "{waits} {windows} {policies} {ignored}"
        );
    }
}
