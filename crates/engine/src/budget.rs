//! How many extra requests a host may be sent: a tenth of what it answered, and a few in any case.
//!
//! A host that fails must not be asked more often because it fails. Source: "Retry budgets", Finagle; "Handling
//! Overload", Site Reliability Engineering, 2016.

use std::time::{Duration, Instant};

/// One extra request for so many answers.
const ANSWERS_PER_RETRY: u64 = 10;
/// Extra requests that need no answers: this many at once, and one more in each `FLOOR_INTERVAL`.
const FLOOR: u32 = 10;
const FLOOR_INTERVAL: Duration = Duration::from_millis(100);

/// What one host may still be sent beyond the first attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Paid with answers so far.
    earned_spent: u64,
    /// Those of the floor, as the instant at which all of it will be there again.
    floor_full_at: Option<Instant>,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { earned_spent: 0, floor_full_at: None }
    }

    /// Takes one, where `answers` have come so far. Err: not before that instant, unless answers come first.
    pub(crate) fn take(&mut self, answers: u64, now: Instant) -> Result<(), Instant> {
        if self.earned_spent < answers / ANSWERS_PER_RETRY {
            self.earned_spent += 1;
            return Ok(());
        }
        let full_at = self.floor_full_at.map_or(now, |at| at.max(now)) + FLOOR_INTERVAL;
        let earliest = full_at.checked_sub(FLOOR_INTERVAL * FLOOR).unwrap_or(now);
        if earliest > now {
            return Err(earliest);
        }
        self.floor_full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, answers: u64, now: Instant) -> usize {
        (0..1000).filter(|_| budget.take(answers, now).is_ok()).count()
    }

    #[test]
    fn a_host_that_never_answered_gets_the_floor_only() {
        let (mut budget, now) = (Budget::new(), Instant::now());
        assert_eq!(taken(&mut budget, 0, now), 10);
        assert_eq!(budget.take(0, now), Err(now + FLOOR_INTERVAL));
        assert_eq!(taken(&mut budget, 0, now + Duration::from_millis(250)), 2);
        assert_eq!(taken(&mut budget, 0, now + Duration::from_secs(60)), 10);
    }

    #[test]
    fn answers_earn_a_tenth() {
        let (mut budget, now) = (Budget::new(), Instant::now());
        assert_eq!(taken(&mut budget, 500, now), 50 + 10);
        assert_eq!(taken(&mut budget, 509, now), 0);
        assert_eq!(taken(&mut budget, 510, now), 1);
    }

    #[test]
    fn no_moment_ever_saw_more_than_a_tenth_and_the_floor() {
        let (mut budget, start) = (Budget::new(), Instant::now());
        let (mut answers, mut extra) = (0_u64, 0_u64);
        for ms in 0..20_000_u64 {
            answers += u64::from(ms % 7 == 0);
            extra += u64::from(budget.take(answers, start + Duration::from_millis(ms)).is_ok());
            assert!(extra <= answers / 10 + 10 + ms / 100, "{extra} at {ms} ms");
        }
        assert!(extra >= answers / 10 + 200, "what is allowed is also given: {extra}");
    }
}
