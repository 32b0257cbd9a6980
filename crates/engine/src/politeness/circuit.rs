//! An origin that is down is probed now and then, by one request at a time, until it answers.
//!
//! This is per origin, not per host: if nothing listens on one port, another may work well. The probes are spread
//! over all requests that wait: if a part of a list fails, another part may show that the origin works.
//!
//! Source: Nygard, "Release It!", 2007, the circuit breaker.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::signal::Signal;

/// This many failures in a row, with nothing else in between, mean that an origin is down.
const THRESHOLD: u8 = 10;
/// So many failures in a row mean the same where each took `LONG` or more and the origin has never served: it makes
/// requests wait for nothing, be it for the start of a response or for its end.
const MUTE_THRESHOLD: u8 = 3;
const LONG: Duration = Duration::from_secs(1);
/// The last probe of such an origin is believed for so many times as long as it took.
const SETTLED: u32 = 3;
/// However short the caller's backoff is, an origin that is down is not probed more often.
const SHORTEST: Duration = Duration::from_millis(500);
/// How many probes decide about an origin that has never answered: fewer, because it may not exist at all.
const STRANGER_ROUNDS: u32 = 3;

/// The waits between probes: they double from `first` to `longest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeWaits {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl ProbeWaits {
    fn after(self, probes: u32) -> Duration {
        let doubled = self.first.max(SHORTEST).saturating_mul(1 << probes.min(20));
        doubled.min(self.longest.max(SHORTEST))
    }
}

/// What a signal changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// From now on requests wait.
    Opened,
    /// A probe failed: requests still wait.
    ProbeFailed,
    /// Requests may start again.
    Closed,
}

/// Failures in a row, with nothing else in between: eight bytes, because there may be a million origins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    /// Failures of any kind; those without any response.
    troubled: u8,
    unanswered: u8,
    /// Those that took long, with or without a response.
    mute: u8,
    /// When the first of these began, in milliseconds since a fixed start.
    mute_since_ms: u32,
}

impl Streak {
    /// An attempt began at a time since a fixed start, and is about to be counted.
    pub(super) fn begin(&mut self, began: Duration) {
        if self.mute == 0 {
            self.mute_since_ms = u32::try_from(began.as_millis()).unwrap_or(u32::MAX);
        }
    }

    /// Counts how an attempt ended that took so long.
    pub(super) fn note(&mut self, signal: Signal, took: Duration) {
        match signal {
            Signal::Silent => {}
            Signal::Slow if took >= LONG => {
                (self.troubled, self.unanswered) = (0, 0);
                self.mute = self.mute.saturating_add(1);
            }
            // A host that refuses is there, and says what it wants.
            Signal::Served | Signal::Declined | Signal::Answered | Signal::Slow | Signal::Throttled => {
                *self = Self::default();
            }
            Signal::Unavailable => {
                *self = Self { troubled: self.troubled.saturating_add(1), ..Self::default() };
            }
            Signal::Down => {
                self.troubled = self.troubled.saturating_add(1);
                self.unanswered = self.unanswered.saturating_add(1);
                self.mute = self.mute.saturating_add(u8::from(took >= LONG));
            }
        }
    }

    /// Whether there were so many failures in a row that the origin counts as down.
    pub(super) fn is_down(self, has_served: bool) -> bool {
        self.troubled >= THRESHOLD || (self.is_mute() && !has_served)
    }

    /// Whether requests only waited, for nothing.
    pub(super) fn is_mute(self) -> bool {
        self.mute >= MUTE_THRESHOLD
    }

    /// When the first of these began, since a fixed start.
    pub(super) fn mute_since(self) -> Duration {
        Duration::from_millis(self.mute_since_ms.into())
    }

    /// Whether there was no response at all.
    pub(super) fn is_silence(self) -> bool {
        self.unanswered >= THRESHOLD || (self.is_mute() && self.unanswered >= MUTE_THRESHOLD)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request before `until`.
    Waiting { until: Instant },
    /// One request is on its way as a probe.
    Probing { since: Instant },
}

/// An origin that is down, and what waits for it.
#[derive(Debug)]
pub(super) struct Outage<T> {
    pub(super) origin: u32,
    state: State,
    probes_failed: u32,
    /// The origin has worked before.
    has_served: bool,
    /// When it was noticed.
    began: Instant,
    /// No response at all; otherwise it responds with errors only.
    pub(super) is_silent: bool,
    /// It has never served, and made requests wait for nothing.
    pub(super) is_mute: bool,
    /// Since when requests have only waited, if it is mute.
    mute_since: Instant,
    /// How long the last attempt took, and when it ended.
    failed: (Duration, Instant),
    /// With their priorities.
    pub(super) waiting: VecDeque<(T, i32)>,
    probes_taken: u32,
}

impl<T> Outage<T> {
    pub(super) fn new(
        origin: u32,
        has_served: bool,
        streak: Streak,
        (started, now): (Instant, Instant),
        waits: ProbeWaits,
    ) -> Self {
        Self {
            origin,
            state: State::Waiting { until: now + waits.after(0) },
            probes_failed: 0,
            has_served,
            began: now,
            is_silent: streak.is_silence(),
            is_mute: streak.is_mute() && !has_served,
            mute_since: started,
            failed: (now.saturating_duration_since(started), now),
            waiting: VecDeque::new(),
            probes_taken: 0,
        }
    }

    /// Requests have only waited since then.
    pub(super) fn set_mute_since(&mut self, since: Instant) {
        self.mute_since = since;
    }

    /// Whether enough probes have failed, and none is on its way. The caller grants `rounds`, and `retries` to a
    /// request: an origin that is mute gets no more of its long probes than that, and one where it has made requests wait
    /// for as long as a request with all its retries may. `gained`: when any origin was last of
    /// use. If none was since this one went down, it may be this machine that has no network: one more round, as long as
    /// all before, shows whether that comes back.
    pub(super) fn is_beyond(&self, rounds: u32, retries: u32, gained: Instant) -> bool {
        let needed = match () {
            () if self.has_served => rounds + u32::from(rounds > 0 && gained <= self.began),
            () if self.is_mute && self.has_been_mute_for(retries) => rounds.min(1),
            () if self.is_mute => rounds.min(STRANGER_ROUNDS).min(retries),
            () => rounds.min(STRANGER_ROUNDS),
        };
        self.probes_failed >= needed && self.next_probe().is_some()
    }

    /// Whether it has made requests wait for longer than one takes that has so many retries.
    fn has_been_mute_for(&self, retries: u32) -> bool {
        let (took, ended) = self.failed;
        retries > 0 && ended.saturating_duration_since(self.mute_since) > took * (retries + 1)
    }

    /// Whether another probe would tell nothing new: the last was not long ago, for what it took.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let (took, ended) = self.failed;
        self.is_mute && now.saturating_duration_since(ended) <= SETTLED * took
    }

    /// When the next probe may start; None while one is on its way.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Probing { .. } => None,
        }
    }

    /// Takes the next probe out of the waiting requests, if it is time. O(1): the last one takes its place.
    pub(super) fn take_probe(&mut self, now: Instant) -> Option<T> {
        if self.next_probe().is_none_or(|until| until > now) {
            return None;
        }
        let place = (spread(self.probes_taken) * self.waiting.len() as f64) as usize;
        let taken = match place {
            0 => self.waiting.pop_front(),
            _ => self.waiting.swap_remove_back(place),
        };
        let (item, _) = taken?;
        self.probes_taken = self.probes_taken.wrapping_add(1);
        self.state = State::Probing { since: now };
        Some(item)
    }

    /// The probe has ended without a result: another may start. False: none was on its way.
    pub(super) fn abandon_probe(&mut self) -> bool {
        let State::Probing { since } = self.state else { return false };
        self.state = State::Waiting { until: since };
        true
    }

    /// The next probe may start at once.
    pub(super) fn probe_now(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// An attempt that began at `started` failed. False: it was not a probe, so this is nothing new.
    pub(super) fn failed(
        &mut self,
        is_silent: bool,
        started: Instant,
        now: Instant,
        waits: ProbeWaits,
    ) -> bool {
        let is_probe = matches!(self.state, State::Probing { since } if started >= since);
        if is_probe {
            self.is_silent = is_silent;
            self.failed = (now.saturating_duration_since(started), now);
            self.probes_failed = self.probes_failed.saturating_add(1);
            self.state = State::Waiting { until: now + waits.after(self.probes_failed) };
        }
        is_probe
    }
}

/// The `n`-th of a sequence that fills 0 to 1 evenly, from the start: 0, 1/2, 1/4, 3/4, 1/8 ... Source: van der Corput,
/// "Verteilungsfunktionen", 1935.
fn spread(n: u32) -> f64 {
    f64::from(n.reverse_bits()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: ProbeWaits =
        ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };

    fn streak(signals: &[(Signal, u32)]) -> Streak {
        let mut streak = Streak::default();
        for &(signal, times) in signals {
            (0..times).for_each(|_| streak.note(signal, Duration::ZERO));
        }
        streak
    }

    #[test]
    fn ten_in_a_row_are_needed_and_an_answer_in_between_starts_again() {
        assert!(!streak(&[(Signal::Down, 9)]).is_down(true));
        assert!(streak(&[(Signal::Down, 9), (Signal::Silent, 5), (Signal::Down, 1)]).is_down(true));
        assert!(!streak(&[(Signal::Down, 9), (Signal::Answered, 1), (Signal::Unavailable, 9)]).is_down(true));
        assert!(
            !streak(&[(Signal::Unavailable, 9), (Signal::Throttled, 100), (Signal::Down, 9)]).is_down(true)
        );
        assert!(streak(&[(Signal::Down, 1000)]).is_down(true));
    }

    #[test]
    fn a_stranger_that_makes_requests_wait_is_down_after_three() {
        let mut streak = Streak::default();
        (0..2).for_each(|_| streak.note(Signal::Down, LONG));
        streak.note(Signal::Down, Duration::ZERO);
        assert!(!streak.is_down(false));
        streak.note(Signal::Down, LONG);
        assert!(streak.is_down(false) && streak.is_silence() && !streak.is_down(true));
        streak.note(Signal::Answered, LONG);
        assert!(!streak.is_down(false));
    }

    #[test]
    fn a_stranger_whose_bodies_never_end_is_down_but_not_silent() {
        let mut streak = Streak::default();
        (0..2).for_each(|_| streak.note(Signal::Slow, LONG));
        assert!(!streak.is_mute());
        streak.note(Signal::Slow, LONG);
        assert!(streak.is_down(false) && !streak.is_silence() && !streak.is_down(true));
        streak.note(Signal::Slow, Duration::ZERO);
        assert!(!streak.is_down(false), "a short wait is the caller's own wish");
    }

    #[test]
    fn it_gets_no_more_probes_than_a_request_has_retries() {
        let (before, mut streak) = (Instant::now(), Streak::default());
        (0..3).for_each(|_| streak.note(Signal::Down, LONG));
        let now = before + 3 * LONG;
        let mut outage = Outage::new(0, false, streak, (before, now), WAITS);
        outage.waiting.push_back(('a', 0));
        assert!(outage.is_beyond(6, 0, now) && !outage.is_beyond(6, 1, now));
        assert!(outage.is_settled(now + 9 * LONG) && !outage.is_settled(now + 10 * LONG));
        let at = outage.next_probe().unwrap_or(now);
        assert!(outage.take_probe(at).is_some() && !outage.is_beyond(6, 0, now), "one is on its way");
        assert!(outage.failed(true, at, at + LONG, WAITS) && outage.is_beyond(6, 1, now));
    }

    #[test]
    fn it_gets_one_where_requests_have_waited_for_as_long_as_one_with_its_retries() {
        let (before, mut streak) = (Instant::now(), Streak::default());
        streak.begin(Duration::from_secs(5));
        (0..3).for_each(|_| streak.note(Signal::Down, LONG));
        streak.begin(Duration::from_secs(9));
        assert_eq!(streak.mute_since(), Duration::from_secs(5), "the first counts");
        let now = before + 5 * LONG;
        for (mute_since, beyond) in [(before + 3 * LONG, false), (before + LONG, true)] {
            let mut outage = Outage::new(0, false, streak, (before + 4 * LONG, now), WAITS);
            outage.set_mute_since(mute_since);
            outage.waiting.push_back(('a', 0));
            assert!(!outage.is_beyond(6, 3, now), "it gets one in any case");
            let at = outage.next_probe().unwrap_or(now);
            assert!(outage.take_probe(at).is_some() && outage.failed(true, at, at + LONG, WAITS));
            assert_eq!(outage.is_beyond(6, 3, now), beyond);
        }
    }

    #[test]
    fn errors_are_no_silence() {
        assert!(streak(&[(Signal::Down, 10)]).is_silence());
        assert!(!streak(&[(Signal::Down, 9), (Signal::Unavailable, 1), (Signal::Down, 9)]).is_silence());
    }

    fn outage(has_served: bool, now: Instant) -> Outage<u32> {
        let mut outage = Outage::new(0, has_served, Streak::default(), (now, now), WAITS);
        outage.waiting.extend((0..64).map(|item| (item, 0)));
        outage
    }

    #[test]
    fn one_probe_at_a_time_at_growing_intervals() {
        let began = Instant::now();
        let (mut now, mut outage) = (began, outage(true, began));
        let mut waits = Vec::new();
        for _ in 0..9 {
            let until = outage.next_probe().unwrap_or(now);
            waits.push((until - now).as_millis());
            assert_eq!(outage.take_probe(now), None);
            now = until;
            assert!(outage.take_probe(now).is_some());
            assert_eq!((outage.next_probe(), outage.take_probe(now)), (None, None));
            assert!(outage.failed(true, now, now, WAITS));
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert!(outage.is_beyond(9, 2, now) && !outage.is_beyond(10, 2, now));
        assert!(outage.is_beyond(8, 2, began) && !outage.is_beyond(9, 2, began), "the network may be away");
    }

    #[test]
    fn probes_come_from_all_over_what_waits() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut outage = outage(true, Instant::now());
        let picked = std::iter::from_fn(|| {
            let item = outage.take_probe(now);
            outage.abandon_probe();
            item
        });
        let first: Vec<u32> = picked.take(4).collect();
        assert_eq!(first, [0, 32, 16, 46]);
    }

    #[test]
    fn stragglers_are_no_probes() {
        let before = Instant::now();
        let mut outage = outage(true, before);
        let now = before + Duration::from_secs(5);
        assert!(outage.take_probe(now).is_some());
        assert!(!outage.failed(true, before, now, WAITS));
        assert!(outage.failed(true, now, now, WAITS));
    }

    #[test]
    fn a_stranger_gets_three_rounds_at_most() {
        let now = Instant::now();
        let mut outage = outage(false, now);
        for round in 0..3 {
            assert!(!outage.is_beyond(6, 2, now), "{round}");
            let now = outage.next_probe().unwrap_or(now);
            outage.take_probe(now);
            outage.failed(true, now, now, WAITS);
        }
        assert!(outage.is_beyond(6, 2, now) && outage.is_beyond(3, 2, now));
    }
}
