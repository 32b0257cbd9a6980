//! What a response says about waits and limits: whatever it says, the numbers stay within bounds.

use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::headers::HeaderBlock;
use crate::politeness::{quotas, retry_after, unreadable};

/// More than any server has, and few enough to be looked at for each response.
const MOST: usize = 64;
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Lines of `name: value`.
///
/// - A wait or a reset is at most 136 years, so that it can be added to any instant.
/// - No number is NaN or negative, no policy has a window of zero, no host is allowed less than one request at a time.
/// - The result is small, however long the lines are.
/// - A line that is blamed is one of those received, and is shown in a few characters.
pub fn limits(data: &[u8]) {
    let mut headers = HeaderBlock::default();
    for line in data.split(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.is_ascii() && name.len() < 200 {
            headers.push(name, line.get(name.len() + 1..).unwrap_or_default().trim_ascii());
        }
    }
    let now = UNIX_EPOCH + Duration::from_secs(1_796_077_287);
    if let Some(told) = retry_after(&headers, now) {
        assert!(told.wait <= LONGEST && Instant::now().checked_add(told.wait).is_some());
        assert!(headers.iter().any(|line| line == (told.line.field, told.line.value)));
        assert!(told.line.to_string().chars().count() <= told.line.field.len() + 82);
    }
    let told = quotas(&headers, now);
    assert!(told.windows.len() <= MOST && told.policies.len() <= MOST);
    assert!(told.concurrent.is_none_or(|most| most >= 1));
    for quota in &told.windows {
        assert!(quota.reset <= LONGEST && quota.window.is_none_or(|window| window <= LONGEST));
        assert!(quota.remaining >= 0.0, "{quota:?}");
        assert!(quota.limit.is_none_or(|limit| limit >= 0.0), "{quota:?}");
    }
    for policy in &told.policies {
        assert!(!policy.window.is_zero() && policy.window <= LONGEST && policy.limit >= 0.0, "{policy:?}");
    }
    if let Some(tightest) = told.tightest() {
        assert!(told.windows.contains(&tightest));
    }
    if let Some(line) = unreadable(&headers) {
        assert!(headers.iter().any(|known| known == (line.field, line.value)));
    }
}
