//! Finds the rate that one host can take, from what it accepts, what it refuses and what its headers say.
//!
//! The rate doubles each second until the first refusal. From then on a ceiling is known: the rate falls below what
//! was accepted, returns to just under the ceiling, stays there, and after a while grows slowly to see whether the
//! ceiling has moved. Headers that name a quota cap the rate and never raise it.
//!
//! Source: growth around a known ceiling follows RFC 9438 (CUBIC); that a rate grows only while it is used is from
//! RFC 7661.

use std::time::{Duration, Instant};

use super::advice::Quota;

/// Where the search begins, and the rate for a host that refuses everything: requests per second.
const FIRST_PER_S: f64 = 5.0;

/// The lowest rate of the search: one request in ten seconds.
const LEAST_PER_S: f64 = 0.1;

/// The highest rate: far above what one client sends to one host.
const MOST_PER_S: f64 = 1e6;

/// What each success adds while no ceiling is known, requests per second: doubles the rate in a second.
const RAMP_PER_S: f64 = std::f64::consts::LN_2;

/// The part of the accepted rate that a refusal leaves.
const CUT: f64 = 0.95;

/// The part of the rate that a refusal leaves when it comes soon after the last one: the search is still far off.
const DEEP_CUT: f64 = 0.8;

/// What counts as soon.
const SOON: Duration = Duration::from_secs(2);

/// The part of a ceiling that the rate returns to: of one that was approached slowly, and of one that was hit at
/// speed.
const SETTLE: f64 = 0.97;
const SETTLE_UNSURE: f64 = 0.95;

/// The time constant of that return: seconds, or requests if those take longer, because a low rate gets fewer
/// responses.
const RETURN_S: f64 = 3.0;
const RETURN_REQUESTS: f64 = 16.0;

/// Growth in each second after a hold: below the ceiling, and above it, when it has evidently moved.
const CREEP: f64 = 0.01;
const CREEP_ABOVE: f64 = 0.03;

/// Growth is faster by this factor if the host's window is a second, and slower in proportion if it is longer.
const WINDOWS_TO_TELL: f64 = 5.0;

/// What is left of a quota is spread over a third of the time until its reset: there may be requests after that.
const AHEAD: f64 = 3.0;

/// How far a ceiling must be exceeded before it is forgotten.
const PASSED: f64 = 1.1;

/// How long the rate stays below a ceiling before it tries it again: at first, and at most.
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_secs(120);

/// The window that most limiters count in, and that is assumed until a pause tells of a longer one.
const WINDOW: Duration = Duration::from_secs(1);

/// The longest pause by our own choice, and the longest that a host can ask for; the retry policy gives up long
/// before that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_WISH: Duration = Duration::from_secs(86_400);

/// A pause of this length says more about the host's window than the last second does.
const TELLING_PAUSE: Duration = Duration::from_secs(2);

/// Lateness that is made up for: the granularity of a timer and one turn of the event loop.
const CREDIT: Duration = Duration::from_millis(2);

/// The rate is in use while the gaps between requests are less than this many intervals. While it doubles, the rate
/// may run further ahead of what is sent.
const SLACK_OF_RAMP: f64 = 2.0;
const SLACK: f64 = 1.3;

/// Gaps are averaged over about this many requests, and none counts for more than this many intervals.
const GAPS: f64 = 16.0;

/// What is known about the host's ceiling, requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing yet.
    Ramp,
    /// It refused `ceiling`; the rate returns to `settled`, just below it.
    Return { ceiling: f64, settled: f64 },
    /// The rate stays as it is.
    Hold { ceiling: f64, until: Instant },
    /// The rate grows slowly, to see whether the ceiling has moved.
    Creep { ceiling: f64 },
}

/// What the host's headers allow, until they are out of date.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    per_s: f64,
    until: Instant,
}

/// The last refusal, and what followed it.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// When it arrived. Refusals of requests that began earlier count as the same one.
    at: Instant,
    /// When the first of a series arrived, between which nothing was accepted.
    since: Instant,
    /// How many of that series followed the first.
    in_vain: u32,
    /// Requests accepted after the pause that followed.
    accepted: u32,
}

/// The rate of requests to one host, found by trial. Every operation is O(1) and allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct AutoRate {
    per_s: f64,
    phase: Phase,
    hold: Duration,
    /// The window that the host seems to count in.
    window: Duration,
    allowance: Option<Allowance>,
    /// The last quota that its headers told, and when its window ends at the soonest.
    window_told: Option<(f64, Instant)>,
    /// When its headers said that more would be taken, and whether they say so too early.
    told: Option<Instant>,
    rounds_down: bool,
    refusal: Option<Refusal>,
    /// The end of the last pause, and whether the host has yet to accept a request after it.
    resume: Instant,
    probing: bool,
    /// The last request's place on the schedule, and when it was really sent.
    scheduled: Option<Instant>,
    taken: Instant,
    /// The gaps between the last requests, in intervals. Above 1, something other than this rate holds them up.
    slack: f64,
    /// When the rate last had a chance to grow.
    grown: Instant,
    accepted: Recent,
}

impl AutoRate {
    /// The search at its beginning.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            per_s: FIRST_PER_S,
            phase: Phase::Ramp,
            hold: FIRST_HOLD,
            window: WINDOW,
            allowance: None,
            window_told: None,
            told: None,
            rounds_down: false,
            refusal: None,
            resume: now,
            probing: false,
            scheduled: None,
            taken: now,
            slack: 1.0,
            grown: now,
            accepted: Recent::new(now),
        }
    }

    /// When a request may go: `None` is now.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let due = self.scheduled.map_or(now, |scheduled| scheduled + self.interval(now)).max(self.resume);
        (due > now).then_some(due)
    }

    /// A request is sent now.
    pub(crate) fn take(&mut self, now: Instant) {
        let interval = self.interval(now);
        if let Some(scheduled) = self.scheduled {
            let gap = now.saturating_duration_since(self.taken.max(self.resume));
            let gap = (gap.as_secs_f64() / interval.as_secs_f64()).min(GAPS);
            self.slack += (gap - self.slack) / GAPS;
            // A pause does not count as lateness.
            let earliest = now.checked_sub(CREDIT).unwrap_or(now).max(self.resume);
            self.scheduled = Some((scheduled + interval).max(earliest));
        } else {
            self.scheduled = Some(now);
        }
        self.taken = now;
    }

    /// The last request was not sent after all.
    pub(crate) fn give_back(&mut self) {
        self.scheduled =
            self.scheduled.and_then(|scheduled| scheduled.checked_sub(self.interval(self.taken)));
    }

    /// A request was accepted.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.accepted.add(now);
        if let Some(refusal) = self.refusal.as_mut().filter(|_| now >= self.resume) {
            refusal.accepted = refusal.accepted.saturating_add(1);
            refusal.in_vain = 0;
            self.probing = false;
        }
        self.grow(now);
    }

    /// A request that began at `started` was refused: a 429, or a 503 with a `Retry-After`.
    pub(crate) fn throttled(&mut self, started: Instant, now: Instant, retry_after: Option<Duration>) {
        let wish = retry_after.unwrap_or_default().min(LONGEST_WISH);
        // Refused as soon as the host had said that more would be taken: it rounds its seconds down.
        self.rounds_down |= self.told.take().is_some_and(|told| started >= told && started < told + WINDOW);
        let pause = match self.refusal {
            Some(last) if started < last.at => wish,
            last => self.refused(started, now, last).max(wish),
        };
        self.probing |= pause > WINDOW;
        self.resume = self.resume.max(now + pause);
    }

    /// The host's headers say what is left.
    pub(crate) fn advised(&mut self, quota: &Quota, now: Instant) {
        let reset = quota.reset.min(LONGEST_WISH);
        let in_whole_seconds = reset.subsec_nanos() == 0;
        let led = self.allowance.is_some_and(|allowance| now < allowance.until);
        if in_whole_seconds && reset <= SOON && !led {
            // The window is about as short as its unit: nothing to spread over. It only tells that the window was
            // used up, which is a refusal that cost no request.
            if quota.remaining < 1.0 && now >= self.resume {
                self.throttled(now, now, Some(reset));
            }
            return;
        }
        let end = self.end_of_window(quota, now + reset, now);
        let end = if in_whole_seconds && self.rounds_down { end + Duration::from_secs(1) } else { end };
        if quota.remaining < 1.0 {
            self.resume = self.resume.max(end);
            self.told = Some(self.resume);
        } else {
            let left_s = end.saturating_duration_since(now).as_secs_f64();
            let per_s = (AHEAD * quota.remaining / left_s).min(MOST_PER_S);
            self.allowance = Some(Allowance { per_s, until: end });
        }
    }

    /// When the window ends that a quota is of. Each answer tells it with an error of its own: where whole seconds are
    /// rounded up the soonest is the closest, and where they are rounded down a second after the soonest.
    fn end_of_window(&mut self, quota: &Quota, told: Instant, now: Instant) -> Instant {
        let end = match self.window_told {
            Some((remaining, soonest)) if quota.remaining <= remaining && now < soonest => soonest.min(told),
            _ => told,
        };
        self.window_told = Some((quota.remaining, end));
        end
    }

    /// The current requests per second.
    #[cfg(test)]
    pub(crate) fn rate(&self) -> f64 {
        self.rate_at(self.taken)
    }

    /// The requests per second that it allows at `now`.
    pub(crate) fn rate_at(&self, now: Instant) -> f64 {
        let found = if self.probing { self.per_s.min(FIRST_PER_S) } else { self.per_s };
        self.allowance
            .filter(|allowance| now < allowance.until)
            .map_or(found, |allowance| found.min(allowance.per_s))
    }

    fn interval(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.rate_at(now).recip())
    }

    /// Grows the rate if it is in use; how much depends on what is known about the ceiling.
    fn grow(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.grown.max(self.resume)).min(WINDOW).as_secs_f64();
        self.grown = now;
        let most = if self.phase == Phase::Ramp { SLACK_OF_RAMP } else { SLACK };
        if now < self.resume || self.slack > most || self.rate_at(now) < self.per_s {
            return;
        }
        match self.phase {
            Phase::Ramp => self.per_s += RAMP_PER_S,
            Phase::Return { ceiling, settled } => {
                self.per_s += (settled - self.per_s) * (passed / RETURN_S.max(RETURN_REQUESTS / self.per_s));
                if self.per_s >= 0.99 * settled {
                    self.phase = Phase::Hold { ceiling, until: now + self.hold.max(self.window) };
                }
            }
            Phase::Hold { ceiling, until } if now >= until => self.phase = Phase::Creep { ceiling },
            Phase::Hold { .. } => {}
            Phase::Creep { ceiling } => {
                let creep = if self.per_s < ceiling { CREEP } else { CREEP_ABOVE };
                // Within one window of a minute or a day nothing can be measured: grow slowly in proportion.
                let windows = passed / (self.window.as_secs_f64() / WINDOWS_TO_TELL).max(1.0);
                self.per_s *= 1.0 + creep * windows;
                if self.per_s > PASSED * ceiling {
                    (self.phase, self.hold, self.window) = (Phase::Ramp, FIRST_HOLD, WINDOW);
                }
            }
        }
        self.per_s = self.per_s.min(MOST_PER_S);
    }

    /// Records a refusal that is not the same as the last one, and returns how long to pause for it.
    fn refused(&mut self, started: Instant, now: Instant, last: Option<Refusal>) -> Duration {
        let nothing_since = last.map_or(self.accepted.total(now) < 1.0, |last| last.accepted == 0);
        if nothing_since {
            // The window has not ended yet, which says nothing about the rate within it.
            let in_vain = last.map_or(1, |last| last.in_vain.saturating_add(1));
            let since = last.map_or(now, |last| last.since);
            self.refusal = Some(Refusal { at: now, since, in_vain, accepted: 0 });
            self.probing = true;
            return WINDOW.saturating_mul(1 << (in_vain - 1).min(16)).min(LONGEST_PAUSE);
        }
        let was_ramp = self.phase == Phase::Ramp;
        let before = self.fall(started, now, last);
        self.refusal = Some(Refusal { at: now, since: now, in_vain: 0, accepted: 0 });
        self.probing |= was_ramp;
        // What exceeded a window of a second drains in this time.
        if was_ramp { WINDOW } else { WINDOW.mul_f64((1.0 - self.per_s / before).clamp(0.0, 1.0)) }
    }

    /// Lowers the rate to what was accepted, and remembers the ceiling. Returns the rate that was refused.
    fn fall(&mut self, started: Instant, now: Instant, last: Option<Refusal>) -> f64 {
        let mut before = self.rate_at(now) / self.slack.max(1.0);
        if self.phase == Phase::Ramp {
            // It has grown since the request was sent, at most to double in a second.
            let ago = now.saturating_duration_since(started).min(WINDOW);
            before *= (-ago.as_secs_f64()).exp2();
        }
        // A ceiling that was approached slowly is at the current rate: counting requests would be less precise.
        let sure = matches!(self.phase, Phase::Creep { .. });
        let running = now.saturating_duration_since(self.resume);
        let mut accepted = before;
        if !sure && (running >= WINDOW || last.is_none()) {
            accepted = accepted.min(self.accepted.total(now));
        }
        if last.is_some() && running < SOON {
            accepted = accepted.min(before * DEEP_CUT / CUT);
        }
        let mut ceiling = before;
        if let Some(last) = last {
            let paused = self.resume.saturating_duration_since(last.since);
            if paused >= TELLING_PAUSE && running <= paused {
                self.window = now.saturating_duration_since(last.since);
                accepted =
                    accepted.min(f64::from(last.accepted.saturating_add(1)) / self.window.as_secs_f64());
                ceiling = PASSED * accepted;
            }
        }
        let ceiling = ceiling.max(LEAST_PER_S);
        let settled = if sure {
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
            SETTLE * ceiling
        } else {
            SETTLE_UNSURE * ceiling
        };
        self.per_s = (accepted * CUT).max(LEAST_PER_S);
        self.phase = Phase::Return { ceiling, settled };
        before
    }
}

/// Counts what happened in the last second.
#[derive(Clone, Debug)]
struct Recent {
    began: Instant,
    /// The number of the newest bucket since then.
    newest: u64,
    /// Newest first. One more than a second holds, because the newest is never full.
    buckets: [u16; Self::PER_WINDOW + 1],
}

impl Recent {
    const PER_WINDOW: usize = 20;
    const BUCKET: Duration = Duration::from_millis(1_000 / Self::PER_WINDOW as u64);

    fn new(now: Instant) -> Self {
        Self { began: now, newest: 0, buckets: [0; Self::PER_WINDOW + 1] }
    }

    fn add(&mut self, now: Instant) {
        self.advance(now);
        if let Some(newest) = self.buckets.first_mut() {
            *newest = newest.saturating_add(1);
        }
    }

    /// How many in the last second; the oldest bucket counts in part.
    fn total(&mut self, now: Instant) -> f64 {
        let newest_full = self.advance(now);
        let sum: f64 = self.buckets.iter().copied().map(f64::from).sum();
        sum - self.buckets.last().copied().map_or(0.0, f64::from) * newest_full
    }

    /// Ages the buckets, and returns how much of the newest one's time has passed, from 0 to 1.
    fn advance(&mut self, now: Instant) -> f64 {
        let buckets = now.saturating_duration_since(self.began).as_secs_f64() / Self::BUCKET.as_secs_f64();
        let number = buckets as u64;
        let steps = usize::try_from(number.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        let steps = steps.min(self.buckets.len());
        self.buckets.rotate_right(steps);
        self.buckets.iter_mut().take(steps).for_each(|bucket| *bucket = 0);
        self.newest = self.newest.max(number);
        buckets.fract()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, VecDeque};

    use super::*;

    /// A host's limiter: whether it accepts a request that arrives after so many seconds.
    type Limiter = Box<dyn FnMut(f64) -> bool>;

    fn sliding_window(limit: impl Fn(f64) -> f64 + 'static) -> Limiter {
        let mut accepted = VecDeque::new();
        Box::new(move |at| {
            while accepted.front().is_some_and(|first| *first <= at - 1.0) {
                accepted.pop_front();
            }
            let accepts = (accepted.len() as f64) < limit(at);
            if accepts {
                accepted.push_back(at);
            }
            accepts
        })
    }

    fn fixed_window(limit: impl Fn(f64) -> f64 + 'static, window_s: f64) -> Limiter {
        let (mut window, mut count) = (0, 0.0);
        Box::new(move |at| {
            let now = (at / window_s) as u64;
            if now != window {
                (window, count) = (now, 0.0);
            }
            count += 1.0;
            count <= limit(at) || {
                count -= 1.0;
                false
            }
        })
    }

    fn token_bucket(limit: impl Fn(f64) -> f64 + 'static, burst: f64) -> Limiter {
        let (mut tokens, mut last) = (burst, 0.0);
        Box::new(move |at| {
            tokens = burst.min(tokens + (at - last) * limit(at));
            last = at;
            let accepts = tokens > 1.0 - 1e-9;
            if accepts {
                tokens -= 1.0;
            }
            accepts
        })
    }

    fn limiters(per_s: f64) -> [(&'static str, Limiter); 4] {
        [
            ("sliding window", sliding_window(move |_| per_s)),
            ("fixed window", fixed_window(move |_| per_s, 1.0)),
            ("token bucket", token_bucket(move |_| per_s, per_s)),
            ("GCRA", token_bucket(move |_| per_s, 1.0)),
        ]
    }

    /// A client that always has a request to send, and a distant host, on a simulated clock.
    struct Simulation {
        host: Limiter,
        latency: Duration,
        /// The part of the latency that differs from request to request.
        jitter: f64,
        retry_after: Option<Duration>,
        /// The window of a host that tells what is left in it, and how many it takes, as headers with whole seconds.
        quota: Option<(Duration, f64)>,
        in_flight: usize,
    }

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Event {
        Arrived { started: Duration },
        Answered { started: Duration, accepted: bool, remaining: u64 },
    }

    struct Run {
        /// When each request was accepted and refused, seconds.
        accepted: Vec<f64>,
        refused: Vec<f64>,
    }

    impl Run {
        fn per_s(&self, from_s: f64, to_s: f64) -> f64 {
            self.accepted.iter().filter(|at| (from_s..to_s).contains(*at)).count() as f64 / (to_s - from_s)
        }

        fn wasted(&self) -> f64 {
            self.refused.len() as f64 / (self.accepted.len() + self.refused.len()) as f64
        }
    }

    impl Simulation {
        fn new(host: Limiter, latency_ms: u64) -> Self {
            let latency = Duration::from_millis(latency_ms);
            Self { host, latency, jitter: 0.0, retry_after: None, quota: None, in_flight: 10 }
        }

        fn run(mut self, span: Duration) -> Run {
            let start = Instant::now();
            let mut auto = AutoRate::new(start);
            let mut events = BinaryHeap::new();
            let mut run = Run { accepted: Vec::new(), refused: Vec::new() };
            let (mut now, mut in_flight, mut random) = (Duration::ZERO, 0, 1_u64);
            while now < span {
                let mut wake = Duration::MAX;
                while in_flight < self.in_flight {
                    if let Some(then) = auto.next(start + now) {
                        // A timer goes off at the end of its millisecond.
                        wake = Duration::from_millis((then - start).as_nanos().div_ceil(1_000_000) as u64);
                        break;
                    }
                    auto.take(start + now);
                    in_flight += 1;
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let share = (random >> 40) as f64 / f64::from(1_u32 << 24);
                    let way = self.latency.mul_f64(0.5 * (1.0 + self.jitter * share));
                    events.push(Reverse((now + way, Event::Arrived { started: now })));
                }
                let next = events.peek().map_or(Duration::MAX, |Reverse((at, _))| *at);
                if wake < next {
                    now = wake;
                    continue;
                }
                let Some(Reverse((at, event))) = events.pop() else { break };
                now = at;
                match event {
                    Event::Arrived { started } => {
                        let answer = self.arrive(now, started, &mut run);
                        events.push(Reverse((now + self.latency / 2, answer)));
                    }
                    Event::Answered { started, accepted, remaining } => {
                        in_flight -= 1;
                        self.answer(&mut auto, start, now, accepted.then_some(remaining).ok_or(started));
                    }
                }
            }
            run
        }

        fn arrive(&mut self, now: Duration, started: Duration, run: &mut Run) -> Event {
            let at = now.as_secs_f64();
            let accepted = (self.host)(at);
            if accepted {
                run.accepted.push(at);
            } else {
                run.refused.push(at);
            }
            let remaining = self.quota.map_or(0.0, |(window, limit)| {
                let from = (at / window.as_secs_f64()).floor() * window.as_secs_f64();
                limit - run.accepted.iter().rev().take_while(|accepted| **accepted >= from).count() as f64
            });
            Event::Answered { started, accepted, remaining: remaining as u64 }
        }

        fn answer(
            &self,
            auto: &mut AutoRate,
            start: Instant,
            now: Duration,
            remaining: Result<u64, Duration>,
        ) {
            if let (Some((window, limit)), Ok(remaining)) = (self.quota, remaining) {
                // The header was written half a latency ago, and rounds down.
                let written = now.saturating_sub(self.latency / 2).as_secs_f64();
                let reset =
                    Duration::from_secs((window.as_secs_f64() - written % window.as_secs_f64()) as u64);
                auto.advised(
                    &Quota { limit: Some(limit), remaining: remaining as f64, reset, window: None },
                    start + now,
                );
            }
            match remaining {
                Ok(_) => auto.succeeded(start + now),
                Err(started) => auto.throttled(start + started, start + now, self.retry_after),
            }
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn assert_within(value: f64, least: f64, most: f64, what: &str) {
        assert!((least..=most).contains(&value), "{what}: {value} is not within {least} to {most}");
    }

    #[test]
    fn test_rate_is_found_when_the_host_limits_in_any_of_four_ways() {
        for per_s in [3.0, 50.0, 500.0] {
            for latency_ms in [1, 50, 300] {
                for (name, host) in limiters(per_s) {
                    let what = format!("{name} of {per_s}/s, {latency_ms} ms away");
                    let run = Simulation::new(host, latency_ms).run(MINUTE);
                    // Ten in flight cannot reach more than this.
                    let reachable = per_s.min(10_000.0 / latency_ms as f64);
                    // A bucket that was full at 20 s adds its content.
                    assert_within(run.per_s(20.0, 60.0) / reachable, 0.9, 1.02, &what);
                    assert_within(run.wasted(), 0.0, 0.05, &what);
                }
            }
        }
    }

    #[test]
    fn test_rate_is_found_when_answers_are_far_apart_and_many_in_flight() {
        for (name, host) in limiters(50.0) {
            let run = Simulation { in_flight: 1_000, ..Simulation::new(host, 300) }.run(MINUTE);
            assert_within(run.per_s(20.0, 60.0), 45.0, 51.0, name);
            assert_within(run.wasted(), 0.0, 0.05, name);
        }
    }

    #[test]
    fn test_rate_is_found_when_latency_varies() {
        for (name, host) in limiters(50.0).into_iter().take(3) {
            let run = Simulation { jitter: 0.3, ..Simulation::new(host, 50) }.run(MINUTE);
            assert_within(run.per_s(20.0, 60.0), 45.0, 51.0, name);
            assert_within(run.wasted(), 0.0, 0.05, name);
        }
    }

    #[test]
    fn test_rate_is_found_when_refusals_say_when_to_come_back() {
        for (name, host) in limiters(50.0) {
            let retry_after = Some(Duration::from_secs(1));
            let run = Simulation { retry_after, ..Simulation::new(host, 50) }.run(MINUTE);
            assert_within(run.per_s(20.0, 60.0), 45.0, 51.0, name);
            assert_within(run.wasted(), 0.0, 0.05, name);
        }
    }

    #[test]
    fn test_ceiling_is_tried_less_often_when_it_stays_where_it_is() {
        let refused =
            |run: &Run, from: f64| run.refused.iter().filter(|at| (from..from + 300.0).contains(*at)).count();
        let run = Simulation::new(token_bucket(|_| 50.0, 1.0), 1).run(20 * MINUTE);
        let (early, late) = (refused(&run, 0.0), refused(&run, 900.0));
        assert!(late > 0 && late < early, "{early} refused in the first five minutes, {late} in the last");
    }

    /// The limit of a host that changes it after 30 s.
    fn changed(before: f64, after: f64) -> impl Fn(f64) -> f64 + Copy {
        move |at| if at < 30.0 { before } else { after }
    }

    fn changing(before: f64, after: f64) -> [(&'static str, Limiter); 4] {
        let limit = changed(before, after);
        [
            ("sliding window", sliding_window(limit)),
            ("fixed window", fixed_window(limit, 1.0)),
            ("token bucket", token_bucket(limit, before)),
            ("GCRA", token_bucket(limit, 1.0)),
        ]
    }

    #[test]
    fn test_rate_is_found_again_when_the_limit_drops_to_half() {
        for (name, host) in changing(50.0, 25.0) {
            let run = Simulation::new(host, 50).run(2 * MINUTE);
            assert_within(run.per_s(60.0, 120.0), 22.5, 25.5, name);
            assert_within(run.wasted(), 0.0, 0.05, name);
        }
    }

    #[test]
    fn test_rate_is_found_again_when_the_limit_doubles() {
        for (name, host) in changing(50.0, 100.0) {
            let run = Simulation::new(host, 50).run(2 * MINUTE);
            assert_within(run.per_s(60.0, 120.0), 90.0, 102.0, name);
            assert_within(run.wasted(), 0.0, 0.05, name);
        }
    }

    #[test]
    fn test_no_request_is_refused_when_headers_tell_what_is_left() {
        for latency_ms in [1, 50, 300] {
            let host = fixed_window(|_| 100.0, 60.0);
            let quota = Some((MINUTE, 100.0));
            let run = Simulation { quota, ..Simulation::new(host, latency_ms) }.run(10 * MINUTE);
            // Those that show that whole seconds are rounded down.
            assert!(run.refused.len() <= 2, "{latency_ms} ms: {:?}", run.refused);
            assert_within(run.accepted.len() as f64, 950.0, 1_001.0, "accepted in ten windows of 100");
        }
    }

    #[test]
    fn test_rate_is_found_when_headers_tell_of_a_window_as_short_as_their_unit() {
        let quota = Some((WINDOW, 50.0));
        let run = Simulation { quota, ..Simulation::new(fixed_window(|_| 50.0, 1.0), 50) }.run(MINUTE);
        assert_within(run.per_s(20.0, 60.0), 45.0, 50.5, "accepted per second");
        // Most of what would be refusals is read from the headers before a request is lost: half as many as without.
        assert_within(run.refused.len() as f64, 0.0, 7.0, "refused");
    }

    #[test]
    fn test_rate_is_found_when_the_window_is_a_minute_and_nothing_tells() {
        for retry_after in [None, Some(Duration::from_secs(20))] {
            let host = fixed_window(|_| 100.0, 60.0);
            let run = Simulation { retry_after, ..Simulation::new(host, 50) }.run(20 * MINUTE);
            assert_within(run.per_s(300.0, 1_200.0) * 60.0, 75.0, 100.0, "per minute");
            assert_within(run.wasted(), 0.0, 0.05, "wasted");
        }
    }

    #[test]
    fn test_few_requests_are_sent_when_the_host_refuses_all() {
        let run = Simulation::new(Box::new(|_| false), 50).run(10 * MINUTE);
        assert_within(run.refused.len() as f64, 10.0, 30.0, "refused in ten minutes");
    }

    #[test]
    fn test_host_is_hardly_asked_when_it_goes_away_for_a_minute() {
        let host = Box::new(|at| !(20.0..80.0).contains(&at));
        let run = Simulation { in_flight: 50, ..Simulation::new(host, 100) }.run(2 * MINUTE);
        assert_within(run.refused.len() as f64, 1.0, 80.0, "refused");
        assert!(run.per_s(115.0, 120.0) > 20.0, "did not come back: {}", run.per_s(115.0, 120.0));
    }

    #[test]
    fn test_rate_does_not_grow_when_something_else_holds_requests_up() {
        let (start, latency) = (Instant::now(), Duration::from_millis(100));
        let (mut auto, mut now) = (AutoRate::new(start), start);
        for _ in 0..1_000 {
            now = auto.next(now).unwrap_or(now);
            auto.take(now);
            now += latency;
            auto.succeeded(now);
        }
        // Twice as fast, and what the average over the last requests lags behind.
        assert_within(auto.rate(), 15.0, 35.0, "the rate of a client that sends 10 a second");
    }

    #[test]
    fn test_refusals_count_once_when_their_requests_began_before_the_first_was_known() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut auto = AutoRate::new(start);
        for request in 0..20 {
            auto.take(at(request * 50));
            auto.succeeded(at(request * 50 + 10));
        }
        auto.throttled(at(990), at(1_000), None);
        let once = auto.rate();
        auto.throttled(at(995), at(1_005), None);
        auto.throttled(at(998), at(1_008), Some(Duration::from_secs(5)));
        assert_within(auto.rate(), once, once, "the rate after three refusals");
        assert_eq!(auto.next(at(1_010)), Some(at(6_008)), "the longest wish counts");
    }

    #[test]
    fn test_request_waits_for_the_reset_when_nothing_is_left() {
        let start = Instant::now();
        let mut auto = AutoRate::new(start);
        auto.take(start);
        auto.advised(
            &Quota { limit: None, remaining: 0.0, reset: Duration::from_millis(30_500), window: None },
            start,
        );
        assert_eq!(auto.next(start), Some(start + Duration::from_millis(30_500)));
    }

    #[test]
    fn test_what_is_left_is_spread_when_a_quota_is_told() {
        let start = Instant::now();
        let mut auto = AutoRate::new(start);
        auto.advised(
            &Quota { limit: None, remaining: 20.0, reset: Duration::from_millis(10_500), window: None },
            start,
        );
        auto.take(start);
        assert_eq!(auto.next(start), Some(start + Duration::from_millis(200)));
        assert_within(auto.rate(), FIRST_PER_S, FIRST_PER_S, "20 in a third of 10.5 s would be more");
        let later = start + Duration::from_secs(11);
        auto.take(later);
        assert_within(auto.rate(), FIRST_PER_S, FIRST_PER_S, "after the window");
    }

    #[test]
    fn test_next_is_as_before_when_a_request_is_given_back() {
        let start = Instant::now();
        let mut auto = AutoRate::new(start);
        assert_eq!(auto.next(start), None);
        auto.take(start);
        assert_eq!(auto.next(start), Some(start + Duration::from_millis(200)));
        auto.give_back();
        assert_eq!(auto.next(start), None);
    }

    #[test]
    fn test_only_the_last_second_counts_when_buckets_grow_old() {
        let start = Instant::now();
        let mut recent = Recent::new(start);
        let at = |ms: u64| start + Duration::from_millis(ms);
        for ms in (0..3_000).step_by(10) {
            recent.add(at(ms));
        }
        assert_within(recent.total(at(3_000)), 99.0, 101.0, "100 a second");
        assert_within(recent.total(at(3_525)), 47.0, 48.0, "half a second later");
        assert_within(recent.total(at(4_100)), 0.0, 0.0, "when the second is over");
        assert_within(recent.total(at(10_000_000)), 0.0, 0.0, "long after");
    }
}
