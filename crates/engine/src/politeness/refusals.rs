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

mod cycle;
mod notes;
mod period;
mod word;

use std::time::{Duration, Instant};

pub(crate) use cycle::Opening;
use cycle::{Cycle, Trial};
use word::Word;

/// No wait after a refusal is shorter, whatever the host says: it says so in whole seconds, rounded down.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// How much later than at the end of a supposed period the host is asked: clocks differ, and answers travel.
const LATE: f64 = 1.01;
const MARGIN: Duration = Duration::from_millis(20);

/// By so much a named wait may be too short, and the next be rounded down to nothing.
const ROUNDED_DOWN: Duration = Duration::from_secs(1);

/// A quota is sent in this part of its period, one third, until that proves too fast.
const AHEAD: u32 = 3;

/// A period of this length is worth it to be kept to exactly.
const LONG_PERIOD: Duration = Duration::from_secs(2);

/// Bounds of a period that are this close are one.
const CLOSE: f64 = 0.9;

/// Periods without a refusal before more is tried: at first, and at most. A short period counts as this long.
const FIRST_HOLD: u32 = 4;
const LONGEST_HOLD: u32 = 64;

/// Where the host tells what is left, its word is tried so many times less often.
const COUNTED: u32 = 4;

/// Quotas below this are tried less often: a refusal is a larger part of what they take.
const FEWEST: u32 = 3;
const SHORTEST_HOLD: Duration = Duration::from_millis(2_500);

/// After so many periods in a row that did not use up the quota it is forgotten: something else is the limit.
const UNUSED: u32 = 16;

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
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one thing")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusals {
    /// Nobody asks before.
    until: Option<Instant>,
    /// When the last request went.
    taken: Option<Instant>,
    /// How many may be in flight.
    crowd: u32,
    /// The shortest time from a request to its answer.
    quickest: Option<Duration>,
    /// By how much more the longest took, of those since the last cycle and half of it before.
    spread: Duration,
    cycle: Cycle,
    /// What opened the last cycle in which the host accepted something.
    last: Option<Opening>,
    /// When the last refusal was known: requests that went earlier belong to the cycle before.
    refused: Option<Instant>,
    /// It was the answer to a request that went when an earlier one was known.
    is_repeated: bool,
    /// What opened that cycle, while requests that it accepted may still be on their way back.
    stragglers: Option<Opening>,
    /// When the host last began to refuse everything, and how many waits have been in vain since.
    since: Option<Instant>,
    in_vain: u32,
    /// The last wait that the host named; zero where it named none.
    named: Duration,
    /// It named it with an answer, not with a refusal.
    is_used_up: bool,
    /// It tells what is left.
    is_counted: bool,
    word: Word,
    /// What the host takes in a period.
    quota: Option<u32>,
    /// Its period is longer than this, and no longer than that.
    low: Duration,
    high: Option<Duration>,
    /// The quota is sent so many times as fast as it may be on average.
    ahead: u32,
    /// The period is one that was in vain before.
    is_low: bool,
    /// Its requests are no closer to each other than those of the first period were, if that was used up slowly: in a
    /// window that slides each of them is free again one period after one of those.
    pace: Duration,
    /// Periods without a refusal since the last trial, and how many there have to be before the next.
    clean: u32,
    hold: u32,
    clean_since: Instant,
    /// Periods in a row that did not use up the quota.
    unused: u32,
    /// How often the host was not as what is known says.
    doubt: u32,
}

impl Refusals {
    /// Nothing is known yet. `served`: the first refusal comes after so many requests, the first of which was `first`;
    /// None: after so many that they say nothing about a quota.
    pub(crate) fn new(served: Option<u32>, first: Opening) -> Self {
        let accepted = served.unwrap_or_default();
        Self {
            until: None,
            taken: None,
            crowd: u32::MAX,
            quickest: None,
            spread: Duration::ZERO,
            cycle: Cycle { opening: first, sent: accepted, accepted, ..Cycle::new(first.went) },
            last: served.map(|_| first),
            refused: None,
            is_repeated: false,
            stragglers: None,
            since: None,
            in_vain: 0,
            named: Duration::ZERO,
            is_used_up: false,
            is_counted: false,
            word: Word::new(first.went),
            quota: None,
            low: Duration::ZERO,
            high: None,
            ahead: AHEAD,
            is_low: false,
            pace: Duration::ZERO,
            clean: 0,
            hold: FIRST_HOLD,
            clean_since: first.went,
            unused: 0,
            doubt: 0,
        }
    }

    /// When the next request may go; None: now.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let mut until = self.until;
        if !self.word.grants() {
            let spread = self.taken.and_then(|taken| Some(taken + self.spacing()?));
            let is_full = self.is_used() && self.cycle.trial != Trial::More;
            let over = self.period().filter(|_| is_full).map(|period| self.opened() + period + self.margin());
            until = until.max(spread).max(over);
        }
        until.filter(|&until| until > now)
    }

    /// Whether the host has just said that it takes more now.
    pub(crate) fn grant_more(&self) -> bool {
        self.word.grants()
    }

    /// Whether as many went in this cycle as the host is known to take.
    fn is_used(&self) -> bool {
        self.quota.is_some_and(|quota| self.cycle.sent >= quota)
    }

    /// How many requests may be in flight.
    pub(crate) fn limit(&self) -> u32 {
        let probes = self.is_used() && !self.word.grants();
        if probes { self.crowd.min(1 + self.cycle.sent / 8) } else { self.crowd }
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

    /// Whether the host refused although it had been left alone for as long as it said before.
    pub(crate) fn are_repeated(&self) -> bool {
        self.is_repeated
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
        self.word.take();
        if self.cycle.sent > 0 && self.period().is_some_and(|period| now >= self.opened() + period) {
            self.end_period(now);
        }
        if self.cycle.sent == 0 {
            (self.cycle.began, self.cycle.opening) = (now, Opening::at(now));
        }
        self.cycle.sent = self.cycle.sent.saturating_add(1);
    }

    /// It did not go after all.
    pub(crate) fn give_back(&mut self) {
        self.taken = None;
        self.word.give_back();
        self.cycle.sent = self.cycle.sent.saturating_sub(1);
    }

    /// A request that went at `started` was answered at `ended`, and not with a refusal.
    pub(crate) fn accepted(&mut self, started: Instant, ended: Instant) {
        if self.are_known_since(started) {
            // It went together with those that were refused.
            if let Some(opening) = self.stragglers {
                self.quota = Some(self.quota.unwrap_or_default().saturating_add(1));
                (self.in_vain, self.last) = (0, Some(opening));
            }
            return;
        }
        self.crowd = self.crowd.saturating_add(1);
        let took = ended.saturating_duration_since(started);
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        (self.quickest, self.spread) = (Some(quickest), self.spread.max(took.saturating_sub(quickest)));
        if started < self.cycle.began {
            return;
        }
        if self.cycle.accepted == 0 {
            self.cycle.opening = Opening { went: started, took };
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
                if std::mem::take(&mut self.is_used_up) {
                    // The wait of a refusal is more precise than a reset.
                    (self.until, self.named) = (None, wait);
                }
                self.park(ended + wait);
            }
            return;
        }
        self.since.get_or_insert(ended);
        self.is_repeated = self.refused.is_some();
        (self.refused, self.crowd, self.stragglers) = (Some(ended), 1, None);
        (self.clean, self.clean_since) = (0, ended);
        let is_first = self.cycle.accepted == 0;
        let is_of_longer_window = wait.is_some_and(|wait| self.is_of_longer_window(ended + wait));
        self.in_vain = if is_first { self.in_vain.saturating_add(1) } else { 0 };
        let named = std::mem::replace(&mut self.named, wait.unwrap_or_default());
        if is_of_longer_window {
            // What is known of the shorter one stays as it is.
            self.word.go_on();
        } else {
            self.word.refused(is_first);
            let breaks_off = self.cycle.follows && !self.is_used();
            let is_odd = self.cycle.trial == Trial::Nothing && (is_first || breaks_off);
            if is_first {
                self.note_vain(started);
            } else {
                self.note_quota();
            }
            if is_odd && self.high.is_some() {
                self.note_doubt();
            }
        }
        let has_waited = self.until.is_none() && !named.is_zero();
        let is_too_early = is_first && self.in_vain == 1 && has_waited;
        let is_same = std::mem::take(&mut self.is_used_up) || named == self.named;
        if is_too_early && is_same && self.names_a_period() {
            // The wait is over, and what was sent before still counts: an average. Its length is the wait.
            (self.high, self.ahead) = (Some(self.named), 1);
        }
        let wait =
            wait.unwrap_or_else(|| if is_too_early { ROUNDED_DOWN } else { self.wait(ended, backoff) });
        self.until = Some(ended + wait.max(SHORTEST_WAIT));
        if !self.named.is_zero() {
            // It took nothing of the host, which says when it takes more.
            self.taken = None;
        }
        self.cycle = Cycle::new(ended);
    }

    /// An answer says that nothing is left for so long: a refusal that costs no request. Once its period is known that
    /// says it better: resets are told in whole seconds, by another clock, and of other windows.
    pub(crate) fn used_up(&mut self, started: Instant, ended: Instant, wait: Duration) {
        if self.rate_per_s().is_some() || self.are_known_since(started) || self.cycle.accepted == 0 {
            return;
        }
        self.note_quota();
        let took = ended.saturating_duration_since(self.cycle.began);
        self.pace = took / self.quota.unwrap_or_default().saturating_sub(1).max(1);
        (self.refused, self.crowd) = (Some(ended), 1);
        (self.named, self.is_used_up, self.is_counted) = (wait, true, true);
        self.word.end();
        self.until = Some(ended + wait.max(SHORTEST_WAIT));
        self.cycle = Cycle::new(ended);
    }

    /// An answer to a request that went at `started` says that the host takes so many more now. They go at once, however
    /// few it took before; but an average has to be spread.
    pub(crate) fn grant(&mut self, started: Instant, left: u32) {
        if self.ahead > 1 && !self.are_known_since(started) {
            self.word.tell(started, left);
        }
    }

    /// An answer to a request that went at `started` says that it is the first of its window. All that the last one took
    /// is forgotten, so it does not slide.
    pub(crate) fn begin_window(&mut self, started: Instant) {
        if !self.are_known_since(started) {
            self.pace = Duration::ZERO;
            self.word.refresh();
        }
    }

    /// Whether a wait until then means another limit besides, with a longer window.
    fn is_of_longer_window(&self, until: Instant) -> bool {
        self.high.is_some_and(|high| until > self.cycle.began + high.mul_f64(1.4) + LONG_PERIOD)
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
        if self.cycle.trial == Trial::Low {
            // If it is accepted after as long as it was refused before, that depends on what went before: an average.
            (self.high, self.ahead, self.is_low) = (self.period(), 1, true);
        }
        self.cycle = Cycle { follows: true, ..Cycle::new(now) };
        self.spread /= 2;
        self.word.end();
        self.doubt = self.doubt.saturating_sub(1);
        let calm = now.saturating_duration_since(self.clean_since);
        let few = (FEWEST / quota).max(1);
        let patient = if self.is_counted { COUNTED } else { 1 };
        if self.clean >= self.hold * few * patient && calm >= SHORTEST_HOLD * self.hold {
            let is_known = self.high.is_none_or(|high| self.low >= high.mul_f64(CLOSE));
            (self.clean, self.clean_since) = (0, now);
            self.cycle.trial = if is_known { Trial::More } else { Trial::Sooner };
        }
    }
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
        let mut refusals = Refusals::new(None, Opening::at(start));
        refusals.refused(&refusal(start, Some(Duration::from_secs(1))));
        let mut now = start + Duration::from_millis(1_001);
        assert_eq!((refusals.next(start), refusals.next(now)), (Some(now), None));
        for crowd in [1, 2, 4, 8] {
            assert_eq!(refusals.limit(), crowd);
            for _ in 0..crowd {
                refusals.take(now);
            }
            (0..crowd).for_each(|_| refusals.accepted(now, now));
            now += Duration::from_millis(10);
        }
    }

    #[test]
    fn a_wait_of_zero_is_none() {
        let start = Instant::now();
        let until = |wait| {
            let mut refusals = Refusals::new(None, Opening::at(start));
            refusals.refused(&refusal(start, wait));
            refusals.next(start).map(|until| until - start)
        };
        assert_eq!(until(Some(Duration::ZERO)), until(None));
        assert!(until(None) >= Some(2 * BACKOFF));
    }

    #[test]
    fn refusals_of_one_crowd_are_one_and_the_longest_wait_counts() {
        let start = Instant::now();
        let mut refusals = Refusals::new(Some(3), Opening::at(start));
        for seconds in [2, 5, 3] {
            refusals.refused(&refusal(start, Some(Duration::from_secs(seconds))));
        }
        assert_eq!(refusals.in_vain(), 0);
        assert_eq!(refusals.next(start), Some(start + Duration::from_millis(5_001)));
    }

    #[test]
    fn what_was_accepted_in_a_crowd_counts_when_its_answers_come_late() {
        let start = Instant::now();
        let mut refusals = Refusals::new(Some(0), Opening::at(start));
        refusals.refused(&refusal(start, Some(Duration::from_secs(5))));
        (0..5).for_each(|_| refusals.accepted(start, start));
        let later = start + Duration::from_secs(6);
        refusals.take(later);
        refusals.accepted(later, later);
        assert_eq!(refusals.rate_per_s(), Some(5.0 / 6.0));
        assert_eq!(refusals.refuses_for(later), None);
    }

    #[test]
    fn a_period_begins_later_by_as_much_as_its_first_request_was_kept_on_its_way() {
        let start = Instant::now();
        let next_after = |answer_ms| {
            let mut refusals = Refusals::new(Some(5), Opening::at(start));
            refusals.refused(&refusal(start, Some(Duration::from_secs(5))));
            let mut now = start;
            for answer_ms in [1, answer_ms] {
                now += Duration::from_millis(5_100);
                refusals.take(now);
                refusals.accepted(now, now + Duration::from_millis(answer_ms));
                (1..5).for_each(|_| refusals.take(now));
            }
            refusals.next(now)
        };
        // 100 ms, and 80 ms because its requests are not equally long on their way.
        assert_eq!(next_after(101), next_after(1).map(|next| next + Duration::from_millis(180)));
    }

    #[test]
    fn a_period_is_one_that_limiters_have_whatever_the_first_answer_took() {
        let rate_after = |took_s: u64, wait_ms: u64| {
            let start = Instant::now();
            let took = Duration::from_secs(took_s);
            let mut refusals = Refusals::new(Some(6), Opening { went: start, took });
            refusals.refused(&refusal(start, Some(Duration::from_millis(wait_ms))));
            let now = start + Duration::from_millis(wait_ms + 1);
            refusals.take(now);
            refusals.accepted(now, now + Duration::from_secs(1));
            refusals.rate_per_s().map(|per_s| (6.0 / per_s).round())
        };
        assert_eq!(rate_after(9, 60_000), Some(60.0), "it was long in coming");
        assert_eq!(rate_after(4, 8_000), Some(5.0), "its request came late");
    }

    #[test]
    fn what_the_host_says_it_takes_now_goes_at_once() {
        let start = Instant::now();
        let mut refusals = Refusals::new(Some(5), Opening::at(start));
        refusals.refused(&refusal(start, Some(Duration::from_secs(5))));
        let now = start + Duration::from_millis(5_001);
        refusals.take(now);
        refusals.accepted(now, now + Duration::from_millis(1));
        assert!(refusals.next(now).is_some(), "a quota is spread");
        refusals.begin_window(now);
        refusals.grant(now, 3);
        for _ in 0..3 {
            assert_eq!(refusals.next(now), None);
            refusals.take(now);
        }
        assert!(refusals.next(now).is_some());
    }

    #[test]
    fn the_wait_of_a_refusal_replaces_what_an_answer_told_before() {
        let start = Instant::now();
        let ended = start + Duration::from_millis(1);
        let mut refusals = Refusals::new(Some(5), Opening::at(start));
        refusals.used_up(start, ended, Duration::from_secs(6));
        refusals.refused(&refusal(start, Some(Duration::from_secs(5))));
        assert_eq!(refusals.next(ended), Some(ended + Duration::from_secs(5)));
    }
}
