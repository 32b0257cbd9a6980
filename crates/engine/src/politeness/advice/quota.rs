//! What a response says about a host's limits: what is left of each window, and its policies. `RateLimit` and
//! `RateLimit-Policy` are read here, the older families in `families`.

use std::time::{Duration, SystemTime};

use smallvec::SmallVec;

use super::dates::clock;
use super::families::{FAMILIES, speaks_of_limits};
use super::structured::{Dictionary, LimitItem, PolicyItem, Unit, items};
use super::{MOST, lines, seconds};
use crate::headers::{HeaderBlock, Headers};

/// What is left of one window of a host's limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quota {
    /// Requests in a whole window.
    pub limit: Option<f64>,
    /// Requests that may still be sent before the reset.
    pub remaining: f64,
    /// The time until more may be sent, as the host reports it. Most report whole seconds, and not all mean the same:
    /// the window's end, the next request that fits, or the last.
    pub reset: Duration,
    /// The length of a whole window.
    pub window: Option<Duration>,
}

impl Quota {
    /// The requests per second that use it up exactly by its reset.
    fn pace(&self) -> f64 {
        if self.remaining > 0.0 { self.remaining / self.reset.as_secs_f64() } else { 0.0 }
    }

    fn tighter(self, other: Self) -> Self {
        let order = self.pace().total_cmp(&other.pace()).then(other.reset.cmp(&self.reset));
        if order.is_gt() { other } else { self }
    }
}

/// This many requests in each window of that length, which is never zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) limit: f64,
    pub(crate) window: Duration,
}

/// Everything that a response says about its host's limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Quotas {
    /// What is left of each window. All of them count.
    pub(crate) windows: SmallVec<[Quota; 1]>,
    /// Every limit with a known window, whether or not the response says what is left of it.
    pub(crate) policies: SmallVec<[Policy; 2]>,
    /// Requests that may be in flight at a time, at least one.
    pub(crate) concurrent: Option<u32>,
}

/// Reads the first kind of headers that is found complete: `RateLimit`, then a bucket's, then the families of three.
/// Points in time are measured from the server's own `Date` where there is one.
pub(crate) fn quotas(headers: &HeaderBlock, now: SystemTime) -> Quotas {
    let headers = headers.iter();
    let mut told = Quotas::default();
    if !headers.clone().any(|(field, _)| speaks_of_limits(field)) {
        return told;
    }
    told.add_policies(&headers);
    told.add_items(&headers);
    if told.windows.is_empty() {
        told.add_bucket(&headers);
    }
    if told.windows.is_empty() {
        let now = clock(&headers, now);
        for family in &FAMILIES {
            told.add_family(&headers, family, now);
            if !told.windows.is_empty() {
                break;
            }
        }
    }
    told
}

impl Quotas {
    /// The window that holds back most: of those that are used up, the one that lasts longest.
    pub(crate) fn tightest(&self) -> Option<Quota> {
        self.windows.iter().copied().reduce(Quota::tighter)
    }

    /// Whether anything is said.
    pub(crate) fn tell(&self) -> bool {
        !self.windows.is_empty() || self.concurrent.is_some()
    }

    /// Requests that all of those windows still take.
    pub(crate) fn left(&self) -> Option<u32> {
        self.windows.iter().map(|quota| quota.remaining as u32).min()
    }

    /// Whether this is the first request of one of those windows.
    pub(crate) fn are_new(&self) -> bool {
        self.windows.iter().any(|quota| quota.limit.is_some_and(|limit| quota.remaining + 1.0 >= limit))
    }

    /// The wait that they mean: until the last of those windows that are used up is there again.
    pub(crate) fn used_up(&self) -> Option<Duration> {
        let used_up = self.windows.iter().filter(|quota| quota.remaining < 1.0);
        used_up.map(|quota| quota.reset).filter(|reset| !reset.is_zero()).max()
    }

    /// The policies that count requests. Other units cannot be known before a request is sent.
    fn add_policies(&mut self, headers: &Headers<'_>) {
        for item in policies(headers) {
            match (item.unit, item.window_s) {
                (Unit::Requests, Some(window_s)) => {
                    let cost = limits(headers)
                        .find(|limit| item.is_of(limit, false))
                        .map_or(1.0, |limit| limit.cost);
                    self.add_policy(item.quota / cost, window_s);
                }
                (Unit::Concurrent, _) if item.quota >= 1.0 => {
                    let quota = item.quota as u32;
                    self.concurrent = Some(self.concurrent.map_or(quota, |known| known.min(quota)));
                }
                _ => {}
            }
        }
    }

    /// `RateLimit`, a list of items since draft 8 and a dictionary in draft 7. What an item leaves out is in its
    /// policy. Whatever an item's partition, this response's request was counted there.
    fn add_items(&mut self, headers: &Headers<'_>) {
        for item in limits(headers) {
            let same = |same_partition| policies(headers).find(|policy| policy.is_of(&item, same_partition));
            let policy = same(true).or_else(|| same(false));
            let promised_s = policy.and_then(|policy| policy.window_s);
            let Some(reset_s) = item.window_s.or(promised_s) else { continue };
            if policy.is_none_or(|policy| policy.unit == Unit::Requests) {
                self.windows.push(Quota {
                    limit: policy.map(|policy| policy.quota / item.cost),
                    remaining: (item.available / item.cost).floor(),
                    reset: seconds(reset_s),
                    window: promised_s.map(seconds),
                });
            }
        }
        if self.windows.is_empty() {
            for told in lines(headers, "ratelimit", "").filter_map(Dictionary::read).take(MOST) {
                let Dictionary { limit, remaining, reset_s } = told;
                let window = self.window_of(limit);
                self.windows.push(Quota { limit, remaining, reset: seconds(reset_s), window });
            }
        }
    }

    pub(super) fn add_policy(&mut self, limit: f64, window_s: f64) {
        let policy = Policy { limit, window: seconds(window_s) };
        if !policy.window.is_zero() && !self.policies.contains(&policy) {
            self.policies.push(policy);
        }
    }

    /// The window of the policy with this limit; if no limit is given, that of the only policy.
    pub(super) fn window_of(&self, limit: Option<f64>) -> Option<Duration> {
        let same = |policy: &&Policy| limit.is_none_or(|limit| policy.limit.total_cmp(&limit).is_eq());
        let is_known = limit.is_some() || self.policies.len() == 1;
        self.policies.iter().filter(|_| is_known).find(same).map(|policy| policy.window)
    }
}

/// The headers with policies only, as items with a window. The second is Brave's.
pub(super) const POLICIES: [&str; 2] = ["ratelimit-policy", "x-ratelimit-policy"];

fn limits<'a>(headers: &Headers<'a>) -> impl Iterator<Item = LimitItem<'a>> + use<'a> {
    lines(headers, "ratelimit", "").flat_map(items).filter_map(LimitItem::read).take(MOST)
}

fn policies<'a>(headers: &Headers<'a>) -> impl Iterator<Item = PolicyItem<'a>> + use<'a> {
    let headers = headers.clone();
    let lines = POLICIES.into_iter().flat_map(move |field| lines(&headers, field, ""));
    lines.flat_map(items).filter_map(PolicyItem::read).take(MOST)
}

#[cfg(test)]
mod tests {
    use super::super::told::{policies, tightest, told, windows, windows_at};
    use super::*;

    #[test]
    fn test_quota_is_read_when_it_follows_drafts_8_to_12() {
        let policy = ("ratelimit-policy", "\"default\";q=100;w=60");
        let wanted = [(Some(100.0), 50.0, 30.0, Some(60.0))];
        assert_eq!(windows(&[policy, ("ratelimit", "\"default\";r=50;t=30")]), wanted, "drafts 8 to 11");
        assert_eq!(windows(&[policy, ("ratelimit", "\"default\";a=50;w=30")]), wanted, "draft 12");
        assert_eq!(windows(&[policy, ("ratelimit", "default;a=50;w=30")]), wanted, "a token for a name");
        assert_eq!(windows(&[("ratelimit", "\"a\";r=5;t=7")]), [(None, 5.0, 7.0, None)], "without a policy");
        assert_eq!(policies(&[policy]), [(100.0, 60.0)], "without what is left");
        let cost = [policy, ("ratelimit", "\"default\";a=55;w=30;c=10")];
        assert_eq!(windows(&cost), [(Some(10.0), 5.0, 30.0, Some(60.0))], "draft 12: ten units a request");
        assert_eq!(policies(&cost), [(10.0, 60.0)]);
    }

    #[test]
    fn test_lines_are_one_list_when_a_field_has_several() {
        let lines = [
            ("ratelimit-policy", "\"2-in-1sec\"; q=2; w=1; pk=:MTI3:"),
            ("ratelimit", "\"2-in-1sec\"; r=1; t=1"),
            ("ratelimit-policy", "\"5-in-10sec\"; q=5; w=10; pk=:MTI3:"),
            ("ratelimit", "\"5-in-10sec\"; r=0; t=8"),
        ];
        let wanted = [(Some(2.0), 1.0, 1.0, Some(1.0)), (Some(5.0), 0.0, 8.0, Some(10.0))];
        assert_eq!(windows(&lines), wanted, "express-rate-limit 8.7.5, draft-8, two limiters");
        assert_eq!(policies(&lines), [(2.0, 1.0), (5.0, 10.0)]);
        assert_eq!(tightest(&lines), Some((0.0, 8.0)));
        let joined = [
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "3"),
            ("x-ratelimit-reset", "Sun, 06 Nov 1994 08:49:47 UTC"),
            ("x-ratelimit-limit", "100"),
            ("x-ratelimit-remaining", "42"),
            ("x-ratelimit-reset", "Sun, 06 Nov 1994 08:50:37 UTC"),
        ];
        let wanted = [(Some(5.0), 3.0, 10.0, None), (Some(100.0), 42.0, 60.0, None)];
        assert_eq!(windows_at(784_111_777, &joined), wanted, "sethvargo/go-limiter v0.7.1 behind another");
    }

    #[test]
    fn test_all_partitions_count_when_an_answer_names_several() {
        let lines = [
            ("ratelimit-policy", "\"user\";q=9;w=60;pk=:Yg==:, \"user\";q=5;w=10;pk=:YQ==:"),
            ("ratelimit", "\"user\";a=8;w=59;pk=:Yg==:, \"user\";a=1;w=9;pk=:YQ==:"),
        ];
        let wanted = [(Some(9.0), 8.0, 59.0, Some(60.0)), (Some(5.0), 1.0, 9.0, Some(10.0))];
        assert_eq!(windows(&lines), wanted, "draft 12");
        assert_eq!(tightest(&lines), Some((1.0, 9.0)));
    }

    #[test]
    fn test_an_item_is_no_quota_when_its_unit_is_not_requests() {
        let policy = (
            "ratelimit-policy",
            "\"b\";q=9;qu=\"content-bytes\";w=1, \"n\";q=10;qu=\"requests\";w=1, \
             \"c\";q=4;qu=\"concurrent-requests\", \"d\";q=8;qu=\"concurrent-requests\"",
        );
        let read = told(&[policy, ("ratelimit", "\"b\";r=0;t=9, \"c\";r=1;t=1, \"n\";r=3;t=1")]);
        assert_eq!(read.windows.iter().map(|quota| quota.limit).collect::<Vec<_>>(), [Some(10.0)]);
        assert_eq!(read.policies.as_slice(), [Policy { limit: 10.0, window: Duration::from_secs(1) }]);
        assert_eq!(read.concurrent, Some(4), "the lower of both");
        let none = ("ratelimit-policy", "\"c\";q=0;qu=\"concurrent-requests\"");
        assert_eq!(told(&[none]).concurrent, None, "nothing could be sent, and nothing learned");
    }

    #[test]
    fn test_reset_is_the_policys_window_when_the_item_has_none() {
        let policy = ("ratelimit-policy", "\"a\";q=100;w=60");
        assert_eq!(tightest(&[policy, ("ratelimit", "\"a\";r=40")]), Some((40.0, 60.0)));
        assert_eq!(tightest(&[("ratelimit", "\"a\";r=40")]), None);
    }

    #[test]
    fn test_the_tightest_counts_when_there_are_several() {
        let field = ("ratelimit", "\"hour\";r=900;t=60, \"day\";r=100;t=36000, \"minute\";r=50;t=30");
        assert_eq!(tightest(&[field]), Some((100.0, 36_000.0)));
        let spent = ("ratelimit", "\"second\";r=0;t=1, \"day\";r=0;t=3600, \"minute\";r=1;t=60");
        assert_eq!(tightest(&[spent]), Some((0.0, 3_600.0)), "of those spent, the one that lasts");
    }

    #[test]
    fn test_no_more_than_the_most_are_read_when_a_server_sends_thousands() {
        let many = |item: &str| vec![item; 10_000].join(",");
        let lines = [("ratelimit", many("\"a\";r=1;t=1")), ("ratelimit-policy", many("\"b\";q=1;w=1"))];
        let read = told(&lines.each_ref().map(|(field, value)| (*field, value.as_str())));
        assert_eq!(read.windows.len(), MOST);
        let three = [("x-ratelimit-remaining", many("1")), ("x-ratelimit-reset", many("1"))];
        let read = told(&three.each_ref().map(|(field, value)| (*field, value.as_str())));
        assert_eq!(read.windows.len(), MOST);
    }
}
