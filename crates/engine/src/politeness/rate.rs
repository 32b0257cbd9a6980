//! A fixed rate as one timestamp: the generic cell rate algorithm.
//!
//! Source: ITU-T I.371 (2004), annex A, "virtual scheduling".

use std::time::{Duration, Instant};

use crate::options::Rate;

/// The longest span a rate may name, so that no sum of instants overflows. Longer ones are cut to it.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Lateness that is made up for, at most. More would let two requests follow each other too closely.
const MOST_CREDIT: Duration = Duration::from_millis(20);

/// Lateness that is made up for at least: the granularity of a timer and one turn of the event loop, even if many
/// requests fall into it.
const LEAST_CREDIT: Duration = Duration::from_millis(2);

/// When the next request at a fixed rate may be sent. Every operation is O(1).
///
/// The schedule advances from its own time, not from when a request was really sent, so a request that is up to
/// `credit` late does not delay those after it. In any span W at most `burst + (W + credit) / interval` requests are
/// sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    /// The theoretical arrival time of the next request; `None` before the first.
    due: Option<Instant>,
    /// What `due` lacks, in parts of a nanosecond: `fraction / count`. Without it 7 a minute would drift.
    fraction: u32,
    count: u32,
    /// `per / count`, whole nanoseconds.
    interval: Duration,
    /// `per % count`, nanoseconds.
    remainder: u32,
    /// How far ahead of the schedule a request may be sent: `burst - 1` intervals.
    tolerance: Duration,
    credit: Duration,
}

impl Gcra {
    /// A schedule on which the first request, and the rest of its burst, may be sent at once.
    pub(crate) fn new(rate: Rate) -> Self {
        let count = rate.count.max(1);
        let per = rate.per.min(LONGEST).as_nanos();
        let interval = nanoseconds(per / u128::from(count));
        Self {
            due: None,
            fraction: 0,
            count,
            interval,
            remainder: (per % u128::from(count)) as u32,
            tolerance: nanoseconds(per * u128::from(rate.burst.saturating_sub(1)) / u128::from(count)),
            credit: interval.clamp(LEAST_CREDIT, MOST_CREDIT),
        }
    }

    /// When a request may be sent; `None`: now.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        // Rounding up a part of a nanosecond guarantees that no request is early.
        let due = self.due? + Duration::from_nanos(u64::from(self.fraction > 0));
        let wait = due.saturating_duration_since(now).saturating_sub(self.tolerance);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Whether a whole burst may be sent again, as at first.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due < now)
    }

    /// A request is sent now.
    pub(crate) fn take(&mut self, now: Instant) {
        let due = match (self.due, now.checked_sub(self.credit)) {
            (None, _) => now,
            (Some(due), Some(earliest)) if due < earliest => {
                self.fraction = 0;
                earliest
            }
            (Some(due), _) => due,
        };
        let (fraction, carry) = match self.fraction.checked_sub(self.count - self.remainder) {
            Some(fraction) => (fraction, 1),
            None => (self.fraction + self.remainder, 0),
        };
        self.fraction = fraction;
        self.due = due.checked_add(self.interval + Duration::from_nanos(carry)).or(Some(due));
    }

    /// The last request was not sent after all.
    pub(crate) fn give_back(&mut self) {
        let (fraction, borrow) = match self.fraction.checked_sub(self.remainder) {
            Some(fraction) => (fraction, 0),
            None => (self.fraction + (self.count - self.remainder), 1),
        };
        if let Some(due) =
            self.due.and_then(|due| due.checked_sub(self.interval + Duration::from_nanos(borrow)))
        {
            self.due = Some(due);
            self.fraction = fraction;
        }
    }
}

/// A `Duration` of so many nanoseconds, at most `LONGEST`.
fn nanoseconds(count: u128) -> Duration {
    u64::try_from(count).map_or(LONGEST, Duration::from_nanos).min(LONGEST)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rate(count: u32, per: Duration, burst: u32) -> Rate {
        Rate { count, per, burst }
    }

    /// Random numbers that are the same in every run. Source: Marsaglia, "Xorshift RNGs", 2003.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    /// Sends whenever the schedule allows until `span` has passed, waking `late()` after each instant that the
    /// schedule names.
    fn sent(
        gcra: &mut Gcra,
        start: Instant,
        span: Duration,
        mut late: impl FnMut() -> Duration,
    ) -> Vec<Instant> {
        let mut now = start;
        let mut sent = Vec::new();
        while now < start + span {
            match gcra.next(now) {
                None => {
                    gcra.take(now);
                    sent.push(now);
                }
                Some(then) => {
                    assert!(then > now, "a wait that has no end");
                    now = then + late();
                }
            }
        }
        sent
    }

    fn assert_near(count: usize, expected: usize, tolerance: usize) {
        assert!(count.abs_diff(expected) <= tolerance, "{count} instead of {expected} ± {tolerance}");
    }

    #[test]
    fn test_rate_is_exact_when_wakeups_are_exact() {
        let start = Instant::now();
        let sent = sent(&mut Gcra::new(rate(100, MINUTE, 1)), start, 3 * MINUTE, || Duration::ZERO);
        assert_eq!(sent.len(), 300);
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(600)));
    }

    #[test]
    fn test_rate_is_exact_when_wakeups_are_late() {
        let mut random = Random(7);
        let late = || Duration::from_micros(random.below(3_000));
        assert_near(
            sent(&mut Gcra::new(rate(100, MINUTE, 1)), Instant::now(), 3 * MINUTE, late).len(),
            300,
            1,
        );
    }

    #[test]
    fn test_rate_is_exact_when_a_minute_was_idle() {
        let start = Instant::now();
        let mut gcra = Gcra::new(rate(100, MINUTE, 1));
        sent(&mut gcra, start, MINUTE, || Duration::ZERO);
        let again = sent(&mut gcra, start + 2 * MINUTE, 3 * MINUTE, || Duration::ZERO);
        assert_near(again.len(), 300, 1);
        assert!(again[1] - again[0] >= Duration::from_millis(580), "the idle time was saved up");
    }

    #[test]
    fn test_rate_is_reached_when_many_intervals_fit_in_a_tick() {
        let start = Instant::now();
        let mut gcra = Gcra::new(rate(10_000, Duration::from_secs(1), 1));
        let mut count = 0;
        for tick in 0..1_000 {
            let now = start + Duration::from_millis(tick);
            while gcra.next(now).is_none() {
                gcra.take(now);
                count += 1;
            }
        }
        assert_near(count, 10_000, 20);
    }

    #[test]
    fn test_schedule_does_not_drift_when_interval_is_no_whole_nanosecond() {
        for (count, per) in [(7, MINUTE), (1_000, Duration::from_secs(86_400)), (3, Duration::from_secs(1))] {
            let start = Instant::now();
            let mut gcra = Gcra::new(rate(count, per, 1));
            for _ in 0..1_000 * count {
                gcra.take(gcra.next(start).unwrap_or(start));
            }
            assert_eq!(gcra.next(start), Some(start + 1_000 * per), "{count} per {per:?}");
        }
    }

    #[test]
    fn test_burst_goes_at_once_when_the_schedule_is_new() {
        let start = Instant::now();
        let mut gcra = Gcra::new(rate(10, Duration::from_secs(1), 5));
        for _ in 0..5 {
            assert_eq!(gcra.next(start), None);
            gcra.take(start);
        }
        assert_eq!(gcra.next(start), Some(start + Duration::from_millis(100)));
    }

    #[test]
    fn test_burst_comes_back_when_the_host_was_left_alone() {
        let start = Instant::now();
        let mut gcra = Gcra::new(rate(10, Duration::from_secs(1), 5));
        (0..5).for_each(|_| gcra.take(start));
        let later = start + MINUTE;
        (0..5).for_each(|_| {
            assert_eq!(gcra.next(later), None);
            gcra.take(later);
        });
        assert_eq!(gcra.next(later), Some(later + Duration::from_millis(80)));
    }

    #[test]
    fn test_schedule_is_as_before_when_a_request_is_given_back() {
        let start = Instant::now();
        let mut gcra = Gcra::new(rate(7, MINUTE, 1));
        (0..20).for_each(|_| gcra.take(start));
        let before = gcra.next(start);
        (0..7).for_each(|_| gcra.take(start));
        assert_eq!(gcra.next(start), before.map(|then| then + MINUTE));
        (0..7).for_each(|_| gcra.give_back());
        assert_eq!(gcra.next(start), before);
    }

    #[test]
    fn test_request_may_go_at_once_when_the_only_one_was_given_back() {
        let now = Instant::now();
        let mut gcra = Gcra::new(rate(1, MINUTE, 1));
        gcra.take(now);
        assert_eq!(gcra.next(now), Some(now + MINUTE));
        gcra.give_back();
        assert_eq!(gcra.next(now), None);
    }

    #[test]
    fn test_nothing_overflows_when_the_rate_is_absurd() {
        let now = Instant::now();
        let mut gcra = Gcra::new(rate(1, Duration::MAX, u32::MAX));
        (0..1_000).for_each(|_| gcra.take(now));
        assert!(gcra.next(now).is_some());
        let mut gcra = Gcra::new(rate(u32::MAX, Duration::from_nanos(1), 1));
        (0..1_000).for_each(|_| gcra.take(now));
        assert_eq!(gcra.next(now + Duration::from_nanos(1)), None);
    }

    /// No span contains more requests than promised, whatever the pauses, the lateness and the requests given back.
    #[test]
    fn test_no_span_holds_too_many_when_arrivals_are_random() {
        let mut random = Random(42);
        for round in 0..200 {
            let (count, burst) = (1 + random.below(2_000) as u32, 1 + random.below(8) as u32);
            let per = Duration::from_millis(1 + random.below(20_000));
            let mut gcra = Gcra::new(rate(count, per, burst));
            let (mut now, mut sent) = (Instant::now(), Vec::new());
            while sent.len() < 150 {
                match gcra.next(now) {
                    None if random.below(10) == 0 => {
                        gcra.take(now);
                        gcra.give_back();
                    }
                    None => {
                        gcra.take(now);
                        sent.push(now);
                    }
                    Some(then) => now = then,
                }
                if random.below(4) == 0 {
                    now += gcra.interval * random.below(12) as u32 / 4;
                }
            }
            let interval = per.as_secs_f64() / f64::from(count);
            for (first, from) in sent.iter().enumerate() {
                for (last, to) in sent.iter().enumerate().skip(first) {
                    let span = (*to - *from).as_secs_f64() + gcra.credit.as_secs_f64();
                    let most = f64::from(burst) + span / interval + 1e-6;
                    assert!(
                        (last - first + 1) as f64 <= most,
                        "round {round}: {count} per {per:?}, burst {burst}"
                    );
                }
            }
        }
    }
}
