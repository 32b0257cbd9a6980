//! How many retries a host may get: a tenth of the requests it served, and a few in any case.
//!
//! A host must not get more requests because it fails. Source: the retry budgets of Finagle, whose floor is ten in a
//! second too; "Handling Overload" in Site Reliability Engineering, 2016.

use std::time::Duration;

/// One retry for this many requests served.
const SERVED_PER_RETRY: u32 = 10;
/// Retries that are always allowed: this many at once, and one more in each `FLOOR_INTERVAL`.
const FLOOR: u32 = 10;
const FLOOR_INTERVAL: Duration = Duration::from_millis(100);

/// The retries left for one host: eight bytes, because there may be a million hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// Taken from what was served.
    earned_spent: u32,
    /// Taken from the floor, as the instant at which all of it will be available again: in intervals since the start.
    floor_full_at: u32,
}

impl Budget {
    /// Takes one; `served` requests have been served so far, and `now` is the time since a fixed start. Err: none
    /// before that time, unless other requests are served first.
    pub(crate) fn take(&mut self, served: u32, now: Duration) -> Result<(), Duration> {
        if self.earned_spent < served / SERVED_PER_RETRY {
            self.earned_spent += 1;
            return Ok(());
        }
        let present = u32::try_from(now.as_millis() / FLOOR_INTERVAL.as_millis()).unwrap_or(u32::MAX);
        let full_at = self.floor_full_at.max(present).saturating_add(1);
        if full_at - present > FLOOR {
            return Err(FLOOR_INTERVAL * (full_at - FLOOR));
        }
        self.floor_full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn taken(budget: &mut Budget, served: u32, now: Duration) -> usize {
        (0..1000).filter(|_| budget.take(served, now).is_ok()).count()
    }

    #[test]
    fn a_host_that_never_served_anything_gets_the_floor_only() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, 0, ms(1000)), 10);
        assert_eq!(budget.take(0, ms(1000)), Err(ms(1100)));
        assert_eq!(taken(&mut budget, 0, ms(1250)), 2);
        assert_eq!(taken(&mut budget, 0, ms(60_000)), 10);
    }

    #[test]
    fn what_was_served_earns_a_tenth() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, 500, ms(0)), 50 + 10);
        assert_eq!(taken(&mut budget, 509, ms(0)), 0);
        assert_eq!(taken(&mut budget, 510, ms(0)), 1);
    }

    #[test]
    fn no_moment_ever_saw_more_than_a_tenth_and_the_floor() {
        let mut budget = Budget::default();
        let (mut served, mut extra) = (0_u32, 0_u32);
        for now in 0..20_000_u32 {
            served += u32::from(now % 7 == 0);
            extra += u32::from(budget.take(served, ms(now.into())).is_ok());
            assert!(extra <= served / 10 + 10 + now / 100, "{extra} at {now} ms");
        }
        assert!(extra >= served / 10 + 200, "what is allowed is also given: {extra}");
    }
}
