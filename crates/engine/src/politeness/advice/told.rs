//! What header lines tell, in numbers that tests can compare.

use std::time::{Duration, UNIX_EPOCH};

use super::block;
use super::quota::{Quota, Quotas, quotas};

pub(super) fn told_at(since_1970: u64, lines: &[(&str, &str)]) -> Quotas {
    quotas(&block(lines), UNIX_EPOCH + Duration::from_secs(since_1970))
}

pub(super) fn told(lines: &[(&str, &str)]) -> Quotas {
    told_at(0, lines)
}

/// Limit, remaining, reset and window of each.
pub(super) fn windows_at(
    since_1970: u64,
    lines: &[(&str, &str)],
) -> Vec<(Option<f64>, f64, f64, Option<f64>)> {
    let read = |quota: &Quota| {
        let window_s = quota.window.map(|window| window.as_secs_f64());
        (quota.limit, quota.remaining, quota.reset.as_secs_f64(), window_s)
    };
    told_at(since_1970, lines).windows.iter().map(read).collect()
}

pub(super) fn windows(lines: &[(&str, &str)]) -> Vec<(Option<f64>, f64, f64, Option<f64>)> {
    windows_at(0, lines)
}

/// So many requests in so many seconds.
pub(super) fn policies(lines: &[(&str, &str)]) -> Vec<(f64, f64)> {
    told(lines).policies.iter().map(|policy| (policy.limit, policy.window.as_secs_f64())).collect()
}

/// Remaining and reset of the tightest.
pub(super) fn tightest(lines: &[(&str, &str)]) -> Option<(f64, f64)> {
    told(lines).tightest().map(|quota| (quota.remaining, quota.reset.as_secs_f64()))
}
