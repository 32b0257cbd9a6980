//! Decides what a profile does to a request: pure, except for the generator's counter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use crate::config::Profile;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answer,
    Error(StatusCode),
    Reset,
}

impl Verdict {
    pub(crate) fn error(status: u16) -> Self {
        Self::Error(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
    }
}

/// A profile with its generator. The order of arrival decides which request gets which number.
#[derive(Debug)]
pub(crate) struct Dice {
    profile: Profile,
    state: AtomicU64,
}

impl Dice {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { profile, state: AtomicU64::new(0x6875_7274_6c65) }
    }

    /// Says how long the next request waits.
    pub(crate) fn wait(&self) -> Duration {
        let Profile { latency, jitter, .. } = self.profile;
        if jitter.is_zero() { latency } else { latency + jitter.mul_f64(self.uniform()) }
    }

    /// Says how the next request ends.
    pub(crate) fn verdict(&self) -> Verdict {
        let Profile { error_rate, error_status, reset_rate, .. } = self.profile;
        if error_rate == 0.0 && reset_rate == 0.0 {
            return Verdict::Answer;
        }
        let drawn = self.uniform();
        if drawn < reset_rate {
            Verdict::Reset
        } else if drawn < reset_rate + error_rate {
            Verdict::error(error_status)
        } else {
            Verdict::Answer
        }
    }

    /// Draws from [0, 1). `SplitMix64` needs one atomic addition and no lock.
    ///
    /// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    fn uniform(&self) -> f64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(profile: Profile) -> (usize, usize) {
        let dice = Dice::new(profile);
        let verdicts: Vec<Verdict> = (0..10_000).map(|_| dice.verdict()).collect();
        let count = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|v| wanted(v)).count();
        (count(|v| matches!(v, Verdict::Error(_))), count(|v| *v == Verdict::Reset))
    }

    #[test]
    fn test_verdicts_follow_the_rates_when_both_are_set() {
        let (errors, resets) = shares(Profile { error_rate: 0.2, reset_rate: 0.05, ..Profile::default() });
        assert!((1900..2100).contains(&errors), "{errors}");
        assert!((400..600).contains(&resets), "{resets}");
        assert_eq!(shares(Profile::default()), (0, 0));
        assert_eq!(shares(Profile { error_rate: 1.0, ..Profile::default() }), (10_000, 0));
    }

    #[test]
    fn test_waits_spread_over_the_jitter_when_there_is_jitter() {
        let (latency, jitter) = (Duration::from_millis(10), Duration::from_millis(20));
        let dice = Dice::new(Profile { latency, jitter, ..Profile::default() });
        let waits: Vec<Duration> = (0..1000).map(|_| dice.wait()).collect();
        assert!(waits.iter().all(|wait| (latency..latency + jitter).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < latency + jitter / 10));
        assert!(waits.iter().any(|wait| *wait > latency + jitter * 9 / 10));
    }
}
