//! How many requests a host can take at once, found by trying: additive increase, multiplicative decrease.
//!
//! Source: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989;
//! the slow start and the one cut per round trip are those of RFC 5681.

use std::time::Instant;

/// A limit that adapts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aimd {
    limit: f64,
    most: f64,
    /// Grows by one with each success, until the first trouble.
    slow_start: bool,
    last_cut: Option<Instant>,
}

impl Aimd {
    /// Starts at `first` and never leaves 1 to `most`.
    pub(crate) fn new(first: u32, most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self { limit: f64::from(first).clamp(1.0, most), most, slow_start: true, last_cut: None }
    }

    /// The current limit.
    pub(crate) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Whether it has met trouble.
    pub(crate) fn was_cut(&self) -> bool {
        self.last_cut.is_some()
    }

    /// A request succeeded. `in_use`: more would have been sent if the limit were higher. Only then does it grow: a
    /// limit that was never reached tells nothing.
    pub(crate) fn succeeded(&mut self, in_use: bool) {
        if in_use {
            let step = if self.slow_start { 1.0 } else { 1.0 / self.limit };
            self.limit = (self.limit + step).min(self.most);
        }
    }

    /// A request that began at `started` met trouble. Those that began before the last cut report the same trouble.
    pub(crate) fn troubled(&mut self, started: Instant, now: Instant) {
        if self.last_cut.is_none_or(|cut| started >= cut) {
            self.limit = (self.limit / 2.0).max(1.0);
            self.slow_start = false;
            self.last_cut = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_doubles_each_round_until_the_first_trouble_then_grows_by_one() {
        let (mut aimd, now) = (Aimd::new(2, 1000), Instant::now());
        for expected in [4, 8, 16, 32] {
            (0..aimd.limit()).for_each(|_| aimd.succeeded(true));
            assert_eq!(aimd.limit(), expected);
        }
        aimd.troubled(now, now);
        assert_eq!(aimd.limit(), 16);
        (0..17).for_each(|_| aimd.succeeded(true));
        assert_eq!(aimd.limit(), 17);
    }

    #[test]
    fn one_burst_of_trouble_is_one_cut() {
        let (mut aimd, start) = (Aimd::new(64, 64), Instant::now());
        let cut = start + Duration::from_secs(1);
        (0..50).for_each(|_| aimd.troubled(start, cut));
        assert_eq!(aimd.limit(), 32);
        aimd.troubled(cut + Duration::from_millis(1), cut + Duration::from_secs(1));
        assert_eq!(aimd.limit(), 16);
    }

    #[test]
    fn it_stays_between_one_and_the_most_and_grows_only_in_use() {
        let (mut aimd, start) = (Aimd::new(3, 5), Instant::now());
        (0..100).for_each(|_| aimd.succeeded(false));
        assert_eq!(aimd.limit(), 3);
        (0..100).for_each(|_| aimd.succeeded(true));
        assert_eq!(aimd.limit(), 5);
        for second in 0..10 {
            aimd.troubled(start + Duration::from_secs(second), start + Duration::from_secs(second));
        }
        assert_eq!(aimd.limit(), 1);
    }

    #[test]
    fn it_settles_around_what_the_host_bears() {
        // Round trips against a host that refuses everything above 20.
        let (mut aimd, start) = (Aimd::new(4, 1000), Instant::now());
        let (mut seen, mut refused, mut sent) = (Vec::new(), 0, 0);
        for round in 0..2000_u32 {
            let began = start + Duration::from_millis(u64::from(round) * 10);
            let limit = aimd.limit();
            sent += limit;
            refused += limit.saturating_sub(20);
            (0..limit.min(20)).for_each(|_| aimd.succeeded(true));
            (20..limit).for_each(|_| aimd.troubled(began, began + Duration::from_millis(10)));
            seen.push(limit);
        }
        let late = seen.get(100..).unwrap_or_default();
        let mean = f64::from(late.iter().sum::<u32>()) / late.len() as f64;
        assert!((12.0..20.0).contains(&mean), "{mean}");
        assert!(f64::from(refused) < 0.02 * f64::from(sent), "{refused} of {sent}");
    }
}
