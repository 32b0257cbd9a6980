//! How long a host's period is, as far as is known, and how its quota is spread over it.

use std::time::{Duration, Instant};

use super::{AHEAD, CLOSE, LATE, LONG_PERIOD, MARGIN, Opening, Refusals, Trial};

/// The periods that limiters count in, in milliseconds.
const PERIODS_MS: [u64; 18] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000,
];

/// The next period to be supposed is longer by this factor: the host would refuse again just after the last one.
pub(super) const NEXT_PERIOD: f64 = 1.2;

/// By so much at most a period may seem longer than it is where waits are told in whole seconds (rounded up, by a clock
/// that is a second late, and one more), and by so much at least for it to matter.
const ROUNDED: Duration = Duration::from_millis(3_100);
const MOST_ROUNDED: f64 = 0.6;
const LEAST_ROUNDED: Duration = Duration::from_millis(400);

/// A quota of a minute or a day need not be spread further than so.
const LONGEST_SPACING: Duration = Duration::from_millis(500);

/// A wait that is this part of the period may be all of it, though the host was refused in the middle: some name the
/// whole, however much is left.
const WHOLE: f64 = 0.55;

const EARLY: f64 = 0.95;

/// The margin after a period is at most this part of it, one fiftieth.
const MOST_MARGIN: u32 = 50;

impl Refusals {
    /// When the cycle's window began, as the host counts.
    pub(super) fn opened(&self) -> Instant {
        self.cycle.opening.without_delay(self.quickest)
    }

    /// What the cycle began with. Of the first one it is known how long its answer took: the server may have been started
    /// only then, or the way to it opened.
    pub(super) fn beginning(&self) -> Opening {
        if self.quickest.is_none() { self.cycle.opening } else { Opening::at(self.cycle.began) }
    }

    /// When the last cycle began in which it accepted something, as late as that may have been.
    pub(super) fn last_began(&self) -> Option<Instant> {
        self.last.map(|last| last.went + last.took)
    }

    /// How long it was from the last cycle to this one. Where that is no period that limiters have, and a first answer took
    /// long, its request came late, and the host's period is shorter by as much.
    pub(super) fn passed_since(&self, last: &Opening) -> Duration {
        let whole = self.cycle.began.saturating_duration_since(last.went);
        if whole >= supposed(whole.mul_f64(CLOSE)) {
            return whole;
        }
        self.cycle.began.saturating_duration_since(last.without_delay(self.quickest))
    }

    /// How much later than at the end of a period the host is asked: it is on time by its own clock, and requests are not
    /// equally long on their way.
    pub(super) fn margin(&self) -> Duration {
        let most = self.high.unwrap_or_default() / MOST_MARGIN;
        self.spread.min(most).max(MARGIN)
    }

    /// The period as it is kept to.
    pub(super) fn period(&self) -> Option<Duration> {
        let high = self.high?;
        if self.cycle.trial == Trial::Low {
            // The wait was a little longer than the period that was supposed.
            return Some(supposed(self.low.mul_f64(EARLY)).min(self.low));
        }
        if self.cycle.trial != Trial::Sooner {
            return Some(high);
        }
        Some(self.unrounded().unwrap_or_else(|| (self.low + high) / 2))
    }

    /// The period that limiters have and that the host's own words made up to three seconds longer: they are in whole
    /// seconds, rounded up, and some add one more.
    pub(super) fn unrounded(&self) -> Option<Duration> {
        let high = self.high.filter(|_| !self.named.is_zero())?;
        let is_shorter = |shorter: &Duration| *shorter + LEAST_ROUNDED < high && *shorter > self.low;
        let rounded = supposed(high.saturating_sub(ROUNDED).max(high.mul_f64(MOST_ROUNDED)).max(self.low));
        let whole = Some(self.named).filter(|_| self.names_a_period());
        Some(rounded).filter(is_shorter).or(whole.filter(is_shorter))
    }

    /// How far apart requests go: a quota is sent in the first third of its period. A trial of more grows as it goes.
    pub(super) fn spacing(&self) -> Option<Duration> {
        let quota = self.quota?.max(if self.cycle.trial == Trial::More { self.cycle.sent } else { 1 });
        if self.ahead > 1 {
            let even = self.period()? / quota.max(1);
            return Some((even / AHEAD).min(LONGEST_SPACING).max(self.pace.min(even)));
        }
        // Averages are rounded. Where a refusal costs the wait that it names, half a request fewer goes.
        let fewer = u32::from(!self.named.is_zero() && quota > 1);
        Some(self.period()? * 2 / quota.saturating_mul(2).saturating_sub(fewer).max(1))
    }

    /// Whether the named wait may be a whole period, however much of it is left.
    pub(super) fn names_a_period(&self) -> bool {
        self.named >= LONG_PERIOD
            && is_known(self.named)
            && self.high.is_none_or(|high| self.named >= high.mul_f64(WHOLE))
    }

    /// The wait after a refusal that names none: to the end of the host's period, or of one that it may have.
    pub(super) fn wait(&self, now: Instant, backoff: Duration) -> Duration {
        if let (Some(high), Some(last)) = (self.high, self.last_began()) {
            return (last + high + self.margin()).saturating_duration_since(now).max(backoff / 2);
        }
        let elapsed = now.saturating_duration_since(self.last_began().or(self.since).unwrap_or(now));
        let least = elapsed.mul_f64(NEXT_PERIOD).max(elapsed + backoff.min(Duration::from_secs(1)));
        (supposed(least.max(backoff * 2)).mul_f64(LATE) + MARGIN).saturating_sub(elapsed)
    }
}

/// Whether limiters have this period.
fn is_known(period: Duration) -> bool {
    supposed(period) == period
}

/// The first period that limiters have and that is not shorter than `least`.
pub(super) fn supposed(least: Duration) -> Duration {
    let known = PERIODS_MS.iter().map(|&ms| Duration::from_millis(ms)).find(|&period| period >= least);
    known.unwrap_or(least * 2)
}
