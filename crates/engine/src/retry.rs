//! Whether, and after how long, a request is retried. Pure: the random share is an argument.

use std::time::Duration;

use http::Method;

use crate::error::Code;
use crate::options::RetryPolicy;

/// How an attempt ended, as far as retrying is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A complete response with this status.
    Status(u16),
    /// A failure with this code.
    Failed(Code),
}

/// The wait before the next attempt, or None when this was the last.
///
/// `attempt` counts from 1. The wait is what the host asked for, up to `max_retry_after`; if it asked for nothing the
/// wait doubles from `backoff` up to `max_backoff`, and the share `jitter` of it is random (full jitter at 1.0).
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
pub(crate) fn next_wait(
    policy: &RetryPolicy,
    method: &Method,
    attempt: u32,
    ended: Ended,
    retry_after: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let again = match ended {
        Ended::Status(status) => policy.statuses.contains(&status),
        Ended::Failed(code) => code.retryable(),
    };
    if !again || attempt > policy.total || !policy.methods.contains(method) {
        return None;
    }
    if let Some(asked) = retry_after {
        return Some(asked.min(policy.max_retry_after));
    }
    let doubled = policy.backoff.saturating_mul(1 << (attempt - 1).min(20));
    let ceiling = doubled.min(policy.max_backoff);
    Some(ceiling.mul_f64(1.0 - policy.jitter * random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { total: 3, backoff: Duration::from_secs(1), ..RetryPolicy::default() }
    }

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let policy = RetryPolicy { total: 10, max_backoff: Duration::from_secs(5), jitter: 0.0, ..policy() };
        let waits: Vec<_> = (1..=5)
            .map(|attempt| next_wait(&policy, &Method::GET, attempt, Ended::Status(503), None, 0.7))
            .map(|wait| wait.map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), Some(5)]);
    }

    #[test]
    fn full_jitter_spans_zero_to_the_ceiling() {
        let at = |random| next_wait(&policy(), &Method::GET, 2, Ended::Status(503), None, random);
        assert_eq!(at(0.0), Some(Duration::from_secs(2)));
        assert_eq!(at(1.0), Some(Duration::ZERO));
        assert_eq!(at(0.5), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_host_that_names_its_wait_gets_it_up_to_the_cap() {
        let policy = RetryPolicy { max_retry_after: Duration::from_secs(90), ..policy() };
        let after = |seconds| {
            let asked = Some(Duration::from_secs(seconds));
            next_wait(&policy, &Method::GET, 1, Ended::Status(429), asked, 0.5).map(|wait| wait.as_secs())
        };
        assert_eq!((after(0), after(2), after(999_999_999)), (Some(0), Some(2), Some(90)));
    }

    #[test]
    fn the_last_attempt_is_final() {
        assert!(next_wait(&policy(), &Method::GET, 3, Ended::Status(503), None, 0.5).is_some());
        assert_eq!(next_wait(&policy(), &Method::GET, 4, Ended::Status(503), None, 0.5), None);
    }

    #[test]
    fn a_post_is_sent_once() {
        assert_eq!(next_wait(&policy(), &Method::POST, 1, Ended::Status(503), None, 0.5), None);
        let asked = RetryPolicy { methods: vec![Method::POST], ..policy() };
        assert!(next_wait(&asked, &Method::POST, 1, Ended::Status(503), None, 0.5).is_some());
    }

    #[test]
    fn only_what_may_end_differently_is_tried_again() {
        let wait = |ended| next_wait(&policy(), &Method::GET, 1, ended, None, 0.5);
        assert_eq!(wait(Ended::Status(404)), None);
        assert_eq!(wait(Ended::Status(200)), None);
        assert_eq!(wait(Ended::Failed(Code::DnsNotFound)), None);
        assert!(wait(Ended::Failed(Code::ConnectRefused)).is_some());
    }
}
