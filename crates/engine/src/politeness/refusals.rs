//! What a host's refusals teach: when to ask again, with how many requests at once, and how many it takes in a while.
//!
//! After a refusal the host is left alone. When the wait ends one request goes, then two, then four: never the whole
//! crowd. What the host took between two refusals, and how long it was until it took something again, make a quota and
//! a period: from then on as many requests go in each period, spread over its first third, and the others wait for the
//! next one instead of being refused first. After periods without a refusal more is tried, or a shorter period.
//!
//! Where a refusal names no wait, the period is looked for among those that limiters have: a second, ten, a minute.
//!
//! Source: one request first is the half-open state of Nygard, "Release It!", 2007; growth by answers is the slow start
//! of RFC 5681; the periods are those of the limiters in docs/limiters.md.

use std::time::{Duration, Instant};

/// No wait after a refusal is shorter, whatever the host says: it says so in whole seconds, rounded down.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// The periods that limiters count in, in milliseconds.
const PERIODS_MS: [u64; 18] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000,
];

/// How much later than at the end of a supposed period the host is asked: clocks differ, and answers travel.
const LATE: f64 = 1.01;
const MARGIN: Duration = Duration::from_millis(20);

/// The next period to be supposed is longer by this factor: the host would refuse again just after the last one.
const NEXT_PERIOD: f64 = 1.2;

/// By so much at most a period may seem longer than it is where waits are told in whole seconds, and by so much at least
/// for it to matter.
const ROUNDED: Duration = Duration::from_millis(2_100);
const LEAST_ROUNDED: Duration = Duration::from_millis(400);

/// A quota is sent in this part of its period, one third, until that proves too fast.
const AHEAD: u32 = 3;

/// A quota of a minute or a day need not be spread further than so.
const LONGEST_SPACING: Duration = Duration::from_millis(500);

/// A period of this length is worth it to be kept to exactly.
const LONG_PERIOD: Duration = Duration::from_secs(2);

/// Bounds of a period that are this close are one.
const CLOSE: f64 = 0.9;

/// Periods without a refusal before more is tried: at first, and at most. A short period counts as this long.
const FIRST_HOLD: u32 = 4;
const LONGEST_HOLD: u32 = 64;
const SHORTEST_HOLD: Duration = Duration::from_millis(2_500);

/// After so many periods in a row that did not use up the quota it is forgotten: something else is the limit.
const UNUSED: u32 = 16;

/// What is tried in a period beyond what is known to go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Nothing,
    /// More than the quota.
    More,
    /// To begin the next period sooner.
    Sooner,
}

/// From the first request after a wait to the next wait.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    began: Instant,
    sent: u32,
    accepted: u32,
    trial: Trial,
}

impl Cycle {
    const fn new(began: Instant) -> Self {
        Self { began, sent: 0, accepted: 0, trial: Trial::Nothing }
    }
}

/// A refusal, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// When the refused request went, and when its refusal was known.
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// The wait that the host names.
    pub(crate) wait: Option<Duration>,
    /// The first wait where it names none.
    pub(crate) backoff: Duration,
}

/// What one host's refusals have taught. Every operation is O(1) and allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusals {
    /// Nobody asks before.
    until: Option<Instant>,
    /// When the last request went.
    taken: Option<Instant>,
    /// How many may be in flight.
    crowd: u32,
    cycle: Cycle,
    /// When the last cycle began in which the host accepted something.
    last: Option<Instant>,
    /// When the last refusal was known: requests that went earlier belong to the cycle before.
    refused: Option<Instant>,
    /// When that cycle began, while requests that it accepted may still be on their way back.
    stragglers: Option<Instant>,
    /// When the host last began to refuse everything, and how many waits have been in vain since.
    since: Option<Instant>,
    in_vain: u32,
    /// The last wait was named in whole seconds.
    is_rounded: bool,
    /// What the host takes in a period.
    quota: Option<u32>,
    /// Its period is longer than this, and no longer than that.
    low: Duration,
    high: Option<Duration>,
    /// The quota is sent so many times as fast as it may be on average.
    ahead: u32,
    /// Periods without a refusal since the last trial, and how many there have to be before the next.
    clean: u32,
    hold: u32,
    clean_since: Instant,
    /// Periods in a row that did not use up the quota.
    unused: u32,
}

impl Refusals {
    /// Nothing is known yet. `served`: the first refusal comes after so many requests, the first of which went at
    /// `first`; None: after so many that they say nothing about a quota.
    pub(crate) fn new(served: Option<u32>, first: Instant) -> Self {
        let accepted = served.unwrap_or_default();
        Self {
            until: None,
            taken: None,
            crowd: u32::MAX,
            cycle: Cycle { sent: accepted, accepted, ..Cycle::new(first) },
            last: served.map(|_| first),
            refused: None,
            stragglers: None,
            since: None,
            in_vain: 0,
            is_rounded: false,
            quota: None,
            low: Duration::ZERO,
            high: None,
            ahead: AHEAD,
            clean: 0,
            hold: FIRST_HOLD,
            clean_since: first,
            unused: 0,
        }
    }

    /// When the next request may go; None: now.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let spread = self.taken.and_then(|taken| Some(taken + self.spacing()?));
        let is_full =
            self.quota.is_some_and(|quota| self.cycle.sent >= quota) && self.cycle.trial != Trial::More;
        let over = self.period().filter(|_| is_full).map(|period| self.cycle.began + period + MARGIN);
        self.until.max(spread).max(over).filter(|&until| until > now)
    }

    /// How many requests may be in flight.
    pub(crate) fn limit(&self) -> u32 {
        match self.quota {
            Some(quota) if self.cycle.sent >= quota => self.crowd.min(1 + self.cycle.sent / 8),
            _ => self.crowd,
        }
    }

    /// Requests per second that the host bears, as far as is known.
    pub(crate) fn rate_per_s(&self) -> Option<f64> {
        Some(f64::from(self.quota?) / self.high?.as_secs_f64())
    }

    /// For how long the host has refused everything. None: it did not refuse the last time.
    pub(crate) fn refuses_for(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.since?))
    }

    /// Whether a request that went at `started` is of the crowd that the last refusal belongs to.
    pub(crate) fn are_known_since(&self, started: Instant) -> bool {
        self.refused.is_some_and(|refused| started < refused)
    }

    /// Whether it is known how many requests the host takes in a while.
    pub(crate) fn has_quota(&self) -> bool {
        self.quota.is_some()
    }

    /// How many waits in a row have been in vain.
    pub(crate) fn in_vain(&self) -> u32 {
        self.in_vain
    }

    /// Nobody asks the host before `until`.
    pub(crate) fn park(&mut self, until: Instant) {
        self.until = self.until.max(Some(until));
    }

    /// A request goes.
    pub(crate) fn take(&mut self, now: Instant) {
        self.until = None;
        self.taken = Some(now);
        if self.cycle.sent > 0 && self.period().is_some_and(|period| now >= self.cycle.began + period) {
            self.end_period(now);
        }
        if self.cycle.sent == 0 {
            self.cycle.began = now;
        }
        self.cycle.sent = self.cycle.sent.saturating_add(1);
    }

    /// It did not go after all.
    pub(crate) fn give_back(&mut self) {
        self.taken = None;
        self.cycle.sent = self.cycle.sent.saturating_sub(1);
    }

    /// A request that went at `started` was answered, and not with a refusal.
    pub(crate) fn accepted(&mut self, started: Instant) {
        if self.are_known_since(started) {
            // It went together with those that were refused.
            if let Some(began) = self.stragglers {
                self.quota = Some(self.quota.unwrap_or_default().saturating_add(1));
                (self.in_vain, self.last) = (0, Some(began));
            }
            return;
        }
        self.crowd = self.crowd.saturating_add(1);
        if started < self.cycle.began {
            return;
        }
        if self.cycle.accepted == 0 {
            self.note_period();
        }
        (self.stragglers, self.since, self.in_vain) = (None, None, 0);
        self.cycle.accepted = self.cycle.accepted.saturating_add(1);
    }

    /// A request was refused. Those that went before the last refusal was known say nothing new.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let Refusal { started, ended, wait, backoff } = *refusal;
        let wait = wait.filter(|wait| !wait.is_zero());
        if self.are_known_since(started) {
            if let Some(wait) = wait {
                self.park(ended + wait);
            }
            return;
        }
        self.since.get_or_insert(ended);
        (self.refused, self.crowd, self.stragglers) = (Some(ended), 1, None);
        (self.clean, self.clean_since) = (0, ended);
        let is_first = self.cycle.accepted == 0;
        self.in_vain = if is_first { self.in_vain.saturating_add(1) } else { 0 };
        if wait.is_some_and(|wait| self.is_of_longer_window(ended + wait)) {
            // What is known of the shorter one stays as it is.
        } else if is_first {
            self.note_vain(started);
        } else {
            self.note_quota();
        }
        self.is_rounded = wait.is_some_and(|wait| wait.subsec_nanos() == 0);
        let wait = wait.unwrap_or_else(|| self.wait(ended, backoff));
        self.until = Some(ended + wait.max(SHORTEST_WAIT));
        self.cycle = Cycle::new(ended);
    }

    /// Whether a wait until then means another limit besides, with a longer window.
    fn is_of_longer_window(&self, until: Instant) -> bool {
        self.high.is_some_and(|high| until > self.cycle.began + high.mul_f64(1.5) + ROUNDED)
    }

    /// The period as it is kept to.
    fn period(&self) -> Option<Duration> {
        let high = self.high?;
        if self.cycle.trial != Trial::Sooner {
            return Some(high);
        }
        Some(self.unrounded().unwrap_or_else(|| (self.low + high) / 2))
    }

    /// The period that limiters have and that a wait in whole seconds, rounded up, made a second longer.
    fn unrounded(&self) -> Option<Duration> {
        let high = self.high.filter(|_| self.is_rounded)?;
        let shorter = supposed(high.saturating_sub(ROUNDED).max(high.mul_f64(0.7)).max(self.low));
        (shorter + LEAST_ROUNDED < high).then_some(shorter)
    }

    /// How far apart requests go: a quota is sent in the first third of its period. A trial of more grows as it goes.
    fn spacing(&self) -> Option<Duration> {
        let quota = self.quota?.max(if self.cycle.trial == Trial::More { self.cycle.sent } else { 1 });
        let spacing = self.period()? / quota.max(1).saturating_mul(self.ahead);
        Some(if self.ahead > 1 { spacing.min(LONGEST_SPACING) } else { spacing })
    }

    /// A period is over without a refusal.
    fn end_period(&mut self, now: Instant) {
        let quota = self.quota.unwrap_or(u32::MAX);
        if self.cycle.trial == Trial::More && self.cycle.accepted > quota {
            // More goes well: try still more at once.
            (self.quota, self.hold, self.clean) = (Some(self.cycle.accepted), 1, 1);
        } else if self.cycle.sent < quota {
            self.unused += 1;
            if self.unused >= UNUSED {
                self.quota = None;
            }
        } else {
            self.unused = 0;
            self.clean += 1;
        }
        self.cycle = Cycle::new(now);
        if self.unrounded().is_some() {
            self.cycle.trial = Trial::Sooner;
        }
        let calm = now.saturating_duration_since(self.clean_since);
        if self.clean >= self.hold && calm >= SHORTEST_HOLD * self.hold {
            let is_known = self.high.is_none_or(|high| self.low >= high.mul_f64(CLOSE));
            (self.clean, self.clean_since) = (0, now);
            self.cycle.trial = if is_known { Trial::More } else { Trial::Sooner };
        }
    }

    /// The first request of a cycle was accepted: the host's period is no longer than from the cycle before.
    fn note_period(&mut self) {
        if let Some(last) = self.last {
            let passed = self.cycle.began.saturating_duration_since(last);
            // One that is shorter by a little is the same, measured by other clocks.
            let is_shorter = self.high.is_none_or(|high| passed < high.mul_f64(0.97));
            if is_shorter {
                self.high = Some(passed);
            }
            self.low = self.low.min(passed);
        }
        self.last = Some(self.cycle.began);
    }

    /// The first request after a wait, which went at `started`, was refused: the host's period is longer than that.
    fn note_vain(&mut self, started: Instant) {
        if let Some(last) = self.last {
            self.low = started.saturating_duration_since(last);
            let longer = if self.in_vain == 1 {
                self.low.mul_f64(1.1)
            } else {
                supposed(self.low.mul_f64(NEXT_PERIOD))
            };
            self.high = self.high.map(|high| high.max(longer));
        }
        if self.quota.is_none() {
            self.stragglers = Some(self.cycle.began);
        }
    }

    /// The host took some, and then no more.
    fn note_quota(&mut self) {
        let accepted = self.cycle.accepted;
        let quota = self.quota.unwrap_or(u32::MAX);
        match self.cycle.trial {
            Trial::More => self.quota = Some(quota.max(accepted)),
            Trial::Sooner if accepted < quota => {
                // What the period before has taken still counts.
                self.low = self.period().unwrap_or(self.low);
                self.high = self.high.max(Some(self.low));
            }
            _ if accepted < quota && self.quota.is_some() && self.may_smear() => self.ahead = 1,
            _ => {
                self.quota = Some(accepted);
                self.stragglers = Some(self.cycle.began);
                return;
            }
        }
        self.hold = (self.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD);
    }

    /// Whether its window may be no window but an average, in which a quota that is sent at once counts for longer: then
    /// it is to be spread over the whole period. Source: the sliding counters of go-chi/httprate.
    fn may_smear(&self) -> bool {
        self.ahead > 1 && self.high.is_some_and(|high| high >= LONG_PERIOD)
    }

    /// The wait after a refusal that names none: to the end of the host's period, or of one that it may have.
    fn wait(&self, now: Instant, backoff: Duration) -> Duration {
        if let (Some(high), Some(last)) = (self.high, self.last) {
            return (last + high + MARGIN).saturating_duration_since(now).max(backoff / 2);
        }
        let elapsed = now.saturating_duration_since(self.last.or(self.since).unwrap_or(now));
        let least = elapsed.mul_f64(NEXT_PERIOD).max(elapsed + backoff.min(Duration::from_secs(1)));
        (supposed(least.max(backoff * 2)).mul_f64(LATE) + MARGIN).saturating_sub(elapsed)
    }
}

/// The first period that limiters have and that is not shorter than `least`.
fn supposed(least: Duration) -> Duration {
    let known = PERIODS_MS.iter().map(|&ms| Duration::from_millis(ms)).find(|&period| period >= least);
    known.unwrap_or(least * 2)
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Duration = Duration::from_millis(500);

    fn refusal(started: Instant, wait: Option<Duration>) -> Refusal {
        Refusal { started, ended: started + Duration::from_millis(1), wait, backoff: BACKOFF }
    }

    #[test]
    fn one_request_goes_first_then_two_then_four() {
        let start = Instant::now();
        let mut refusals = Refusals::new(None, start);
        refusals.refused(&refusal(start, Some(Duration::from_secs(1))));
        let mut now = start + Duration::from_millis(1_001);
        assert_eq!((refusals.next(start), refusals.next(now)), (Some(now), None));
        for crowd in [1, 2, 4, 8] {
            assert_eq!(refusals.limit(), crowd);
            for _ in 0..crowd {
                refusals.take(now);
            }
            (0..crowd).for_each(|_| refusals.accepted(now));
            now += Duration::from_millis(10);
        }
    }

    #[test]
    fn a_wait_of_zero_is_none() {
        let start = Instant::now();
        let until = |wait| {
            let mut refusals = Refusals::new(None, start);
            refusals.refused(&refusal(start, wait));
            refusals.next(start).map(|until| until - start)
        };
        assert_eq!(until(Some(Duration::ZERO)), until(None));
        assert!(until(None) >= Some(2 * BACKOFF));
    }

    #[test]
    fn refusals_of_one_crowd_are_one_and_the_longest_wait_counts() {
        let start = Instant::now();
        let mut refusals = Refusals::new(Some(3), start);
        for seconds in [2, 5, 3] {
            refusals.refused(&refusal(start, Some(Duration::from_secs(seconds))));
        }
        assert_eq!(refusals.in_vain(), 0);
        assert_eq!(refusals.next(start), Some(start + Duration::from_millis(5_001)));
    }

    #[test]
    fn what_was_accepted_in_a_crowd_counts_when_its_answers_come_late() {
        let start = Instant::now();
        let mut refusals = Refusals::new(Some(0), start);
        refusals.refused(&refusal(start, Some(Duration::from_secs(5))));
        (0..5).for_each(|_| refusals.accepted(start));
        let later = start + Duration::from_secs(6);
        refusals.take(later);
        refusals.accepted(later);
        assert_eq!(refusals.rate_per_s(), Some(5.0 / 6.0));
        assert_eq!(refusals.refuses_for(later), None);
    }
}
