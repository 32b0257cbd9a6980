//! Whether, and after how long, a request is tried again. Pure: the random share is an argument.
//!
//! What is known of an attempt decides, not its method alone: what cannot have been worked on may be repeated whatever
//! it is (RFC 9110, section 9.2.2), and a refusal is no failure.

use std::time::Duration;

use http::Method;

use crate::error::Code;
use crate::options::{Refused, RetryPolicy};
use crate::outcome::AttemptEnd;

/// How an attempt ended, as far as retrying is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A complete response with this status.
    Status(u16),
    /// A failure with this code.
    Failed(Code),
}

/// An attempt that has ended, and what came before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) method: &'a Method,
    pub(crate) ended: Ended,
    pub(crate) end: AttemptEnd,
    /// Its number among those that count, from 1: refusals do not.
    pub(crate) number: u32,
    /// For how long the request has been refused.
    pub(crate) refused_for: Duration,
    /// The origin has served before.
    pub(crate) has_served: bool,
    /// The wait that the host names.
    pub(crate) named: Option<Duration>,
}

/// Whether another attempt may end otherwise, whatever came before this one.
pub(crate) fn is_worth_repeating(policy: &RetryPolicy, ended: Ended) -> bool {
    match ended {
        Ended::Status(421) => policy.total > 0,
        Ended::Status(status) => policy.statuses.contains(&status),
        Ended::Failed(code) => code.retryable(),
    }
}

/// The wait before the next attempt, or None when this was the last.
///
/// The wait is what the host asked for, up to `max_retry_after`; where it asked for nothing it doubles from `backoff` up
/// to `max_backoff`, and the share `jitter` of it is random (full jitter at 1.0). A refused request waits until its host
/// may be asked again, which is not for this to say: then it is zero. Source: "Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015.
pub(crate) fn next_wait(policy: &RetryPolicy, attempt: &Attempt<'_>, random: f64) -> Option<Duration> {
    if !is_worth_repeating(policy, attempt.ended) {
        return None;
    }
    let may_repeat = policy.methods.contains(attempt.method);
    match (attempt.end, policy.patience) {
        (AttemptEnd::Refused, Some(patience)) => {
            let may_repeat = may_repeat || policy.refused == Refused::Any;
            // A host that wants more than all the patience there is will not be asked for this again.
            let wish = attempt.named.unwrap_or_default();
            (may_repeat && attempt.refused_for.saturating_add(wish) <= patience).then_some(Duration::ZERO)
        }
        (AttemptEnd::Unsent, _) => {
            // An origin that has served is worth as many attempts more as one that is down is probed.
            let rounds = if attempt.has_served && policy.total > 0 { policy.rounds } else { 0 };
            backed_off(policy, attempt, policy.total + rounds, random)
        }
        _ if may_repeat => backed_off(policy, attempt, policy.total, random),
        _ => None,
    }
}

fn backed_off(policy: &RetryPolicy, attempt: &Attempt<'_>, total: u32, random: f64) -> Option<Duration> {
    if attempt.number > total {
        return None;
    }
    let doubled = policy.backoff.saturating_mul(1 << (attempt.number - 1).min(20));
    let ceiling = doubled.min(policy.max_backoff);
    let own = ceiling.mul_f64(1.0 - policy.jitter * random.clamp(0.0, 1.0));
    match attempt.named {
        // Rounded down, it may be nothing.
        Some(named) if !named.is_zero() => Some(named.min(policy.max_retry_after)),
        _ => Some(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { total: 3, backoff: Duration::from_secs(1), ..RetryPolicy::default() }
    }

    fn attempt(ended: Ended, number: u32) -> Attempt<'static> {
        Attempt {
            method: &Method::GET,
            ended,
            end: AttemptEnd::Answered,
            number,
            refused_for: Duration::ZERO,
            has_served: false,
            named: None,
        }
    }

    const UNAVAILABLE: Ended = Ended::Status(503);

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let policy = RetryPolicy { total: 10, max_backoff: Duration::from_secs(5), jitter: 0.0, ..policy() };
        let waits: Vec<_> = (1..=5)
            .map(|number| next_wait(&policy, &attempt(UNAVAILABLE, number), 0.7))
            .map(|wait| wait.map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), Some(5)]);
    }

    #[test]
    fn full_jitter_spans_zero_to_the_ceiling() {
        let at = |random| next_wait(&policy(), &attempt(UNAVAILABLE, 2), random);
        assert_eq!(at(0.0), Some(Duration::from_secs(2)));
        assert_eq!(at(1.0), Some(Duration::ZERO));
        assert_eq!(at(0.5), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_host_that_names_its_wait_gets_it_up_to_the_cap_and_nothing_is_no_wait() {
        let policy = RetryPolicy { max_retry_after: Duration::from_secs(90), jitter: 0.0, ..policy() };
        let after = |seconds| {
            let named = Some(Duration::from_secs(seconds));
            next_wait(&policy, &Attempt { named, ..attempt(UNAVAILABLE, 1) }, 0.5).map(|wait| wait.as_secs())
        };
        assert_eq!((after(0), after(2), after(999_999_999)), (Some(1), Some(2), Some(90)));
    }

    #[test]
    fn the_last_attempt_is_final() {
        assert!(next_wait(&policy(), &attempt(UNAVAILABLE, 3), 0.5).is_some());
        assert_eq!(next_wait(&policy(), &attempt(UNAVAILABLE, 4), 0.5), None);
    }

    #[test]
    fn a_post_of_which_nothing_is_known_is_sent_once() {
        let post = Attempt { method: &Method::POST, ..attempt(UNAVAILABLE, 1) };
        let unknown = Attempt { end: AttemptEnd::Unknown, ended: Ended::Failed(Code::ConnectReset), ..post };
        for attempt in [post, unknown] {
            assert_eq!(next_wait(&policy(), &attempt, 0.5), None);
            let asked = RetryPolicy { methods: vec![Method::POST], ..policy() };
            assert!(next_wait(&asked, &attempt, 0.5).is_some());
        }
    }

    #[test]
    fn what_was_not_sent_is_tried_again_whatever_it_is() {
        let refused = Ended::Failed(Code::ConnectRefused);
        let unsent = Attempt { method: &Method::POST, end: AttemptEnd::Unsent, ..attempt(refused, 3) };
        assert!(next_wait(&policy(), &unsent, 0.5).is_some());
        assert_eq!(next_wait(&policy(), &Attempt { number: 4, ..unsent }, 0.5), None);
        let known = Attempt { number: 9, has_served: true, ..unsent };
        assert!(next_wait(&policy(), &known, 0.5).is_some(), "as often as an origin is probed that is down");
        assert_eq!(next_wait(&policy(), &Attempt { number: 10, ..known }, 0.5), None);
        let once = RetryPolicy { total: 0, ..policy() };
        assert_eq!(next_wait(&once, &Attempt { number: 1, ..known }, 0.5), None);
    }

    #[test]
    fn refusals_spend_patience_and_no_attempts() {
        let refused = Attempt { end: AttemptEnd::Refused, ..attempt(Ended::Status(429), 1) };
        let post = Attempt { method: &Method::POST, ..refused };
        let seconds = |refused_for, wish| Attempt {
            refused_for: Duration::from_secs(refused_for),
            named: Some(Duration::from_secs(wish)),
            ..post
        };
        assert!(next_wait(&policy(), &refused, 0.5).is_some());
        assert!(next_wait(&policy(), &seconds(840, 60), 0.5).is_some());
        assert_eq!(next_wait(&policy(), &seconds(840, 61), 0.5), None, "15 minutes are over before");
        let careful = RetryPolicy { refused: Refused::Idempotent, ..policy() };
        assert_eq!(next_wait(&careful, &post, 0.5), None);
        assert!(next_wait(&careful, &refused, 0.5).is_some());
        let impatient = RetryPolicy { patience: None, ..policy() };
        assert_eq!(next_wait(&impatient, &Attempt { number: 4, ..refused }, 0.5), None);
    }

    #[test]
    fn only_what_may_end_differently_is_tried_again() {
        let wait = |ended| next_wait(&policy(), &attempt(ended, 1), 0.5);
        assert_eq!(wait(Ended::Status(404)), None);
        assert_eq!(wait(Ended::Status(200)), None);
        assert_eq!(wait(Ended::Failed(Code::DnsNotFound)), None);
        assert!(wait(Ended::Failed(Code::ConnectRefused)).is_some());
    }
}
