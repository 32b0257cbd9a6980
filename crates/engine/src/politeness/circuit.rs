//! A host that is down is asked only now and then, by one request at a time, until it answers.
//!
//! Source: Nygard, "Release It!", 2007, the circuit breaker.

use std::time::{Duration, Instant};

use super::signal::Signal;

/// So much trouble in a row, and nothing else in between, means that a host is down.
const THRESHOLD: u8 = 10;
/// However short the caller's backoff is, a host that is down is not asked more often.
const SHORTEST: Duration = Duration::from_millis(50);
/// How many probes decide about a host that has never answered: fewer, nothing says that it exists.
const STRANGER_ROUNDS: u32 = 2;

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
    /// A probe failed: they go on waiting.
    ProbeFailed,
    /// They may go.
    Closed,
}

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    At(Instant),
    /// Not before the request that is out has told how the host is.
    AfterProbe,
}

/// Trouble in a row, with nothing else in between: two bytes, for a million hosts have one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    /// Of any kind; without an answer at all.
    troubled: u8,
    unanswered: u8,
}

impl Streak {
    /// Counts how an attempt ended.
    pub(super) fn note(&mut self, signal: Signal) {
        match signal {
            Signal::Silent => {}
            Signal::Served | Signal::Answered | Signal::Slow => *self = Self::default(),
            Signal::Throttled | Signal::Unavailable => {
                (self.troubled, self.unanswered) = (self.troubled.saturating_add(1), 0);
            }
            Signal::Down => {
                self.troubled = self.troubled.saturating_add(1);
                self.unanswered = self.unanswered.saturating_add(1);
            }
        }
    }

    /// Whether the host is down. One that only ever answered with errors is not: that is its answer.
    pub(super) fn is_down(self, has_served: bool) -> bool {
        self.unanswered >= THRESHOLD || (has_served && self.is_hopeless())
    }

    /// Whether its last answers give no hope that the next one is better.
    pub(super) fn is_hopeless(self) -> bool {
        self.troubled >= THRESHOLD
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request before `until`.
    Waiting { until: Instant },
    /// One request finds out.
    Probing { since: Instant },
}

/// The open circuit of a host that is down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circuit {
    state: State,
    probes_failed: u32,
    /// The host has been well before.
    has_served: bool,
}

impl Circuit {
    /// Opens it.
    pub(super) fn open(has_served: bool, now: Instant, waits: ProbeWaits) -> Self {
        Self { state: State::Waiting { until: now + waits.after(0) }, probes_failed: 0, has_served }
    }

    /// Whether enough probes have failed, where the caller grants `rounds`.
    pub(super) fn is_beyond(&self, rounds: u32) -> bool {
        self.probes_failed >= if self.has_served { rounds } else { rounds.min(STRANGER_ROUNDS) }
    }

    pub(super) fn turn(&self, now: Instant) -> Turn {
        match self.state {
            State::Waiting { until } if now < until => Turn::At(until),
            State::Waiting { .. } => Turn::Now,
            State::Probing { .. } => Turn::AfterProbe,
        }
    }

    /// A request goes.
    pub(super) fn take(&mut self, now: Instant) {
        self.state = State::Probing { since: now };
    }

    /// The probe has ended without telling anything: another may go.
    pub(super) fn abandon_probe(&mut self) {
        if let State::Probing { since } = self.state {
            self.state = State::Waiting { until: since };
        }
    }

    /// The next probe may go at once.
    pub(super) fn probe_now(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// An attempt that began at `started` met trouble. False: it was no probe, and the circuit knew that already.
    pub(super) fn failed(&mut self, started: Instant, now: Instant, waits: ProbeWaits) -> bool {
        let is_probe = matches!(self.state, State::Probing { since } if started >= since);
        if is_probe {
            self.probes_failed = self.probes_failed.saturating_add(1);
            self.state = State::Waiting { until: now + waits.after(self.probes_failed) };
        }
        is_probe
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    const WAITS: ProbeWaits =
        ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };

    fn streak(signals: &[(Signal, u32)]) -> Streak {
        let mut streak = Streak::default();
        for &(signal, times) in signals {
            (0..times).for_each(|_| streak.note(signal));
        }
        streak
    }

    #[test]
    fn ten_in_a_row_are_needed_and_an_answer_in_between_starts_anew() {
        assert!(!streak(&[(Signal::Down, 9)]).is_down(true));
        assert!(streak(&[(Signal::Down, 9), (Signal::Silent, 5), (Signal::Down, 1)]).is_down(true));
        assert!(!streak(&[(Signal::Down, 9), (Signal::Answered, 1), (Signal::Unavailable, 9)]).is_down(true));
        assert!(streak(&[(Signal::Unavailable, 9), (Signal::Throttled, 1)]).is_down(true));
        assert!(streak(&[(Signal::Down, 1000)]).is_down(true));
    }

    #[test]
    fn a_stranger_that_answers_with_errors_is_not_down() {
        let errors = streak(&[(Signal::Unavailable, 100)]);
        assert!(!errors.is_down(false) && errors.is_hopeless());
        assert!(!streak(&[(Signal::Down, 9), (Signal::Unavailable, 1), (Signal::Down, 9)]).is_down(false));
        assert!(streak(&[(Signal::Down, 10)]).is_down(false));
    }

    #[test]
    fn one_probe_at_a_time_at_growing_intervals() {
        let mut now = Instant::now();
        let mut circuit = Circuit::open(true, now, WAITS);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Turn::At(until) = circuit.turn(now) else { panic!("{circuit:?}") };
            waits.push((until - now).as_millis());
            now = until;
            assert_eq!(circuit.turn(now), Turn::Now);
            circuit.take(now);
            assert_eq!(circuit.turn(now), Turn::AfterProbe);
            assert!(circuit.failed(now, now, WAITS));
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert!(circuit.is_beyond(9) && !circuit.is_beyond(10));
    }

    #[test]
    fn stragglers_are_no_probes() {
        let before = Instant::now();
        let mut circuit = Circuit::open(true, before, WAITS);
        let now = before + Duration::from_secs(5);
        circuit.take(now);
        assert!(!circuit.failed(before, now, WAITS));
        assert!(circuit.failed(now, now, WAITS));
    }

    #[test]
    fn a_probe_that_vanished_makes_room_for_another() {
        let now = Instant::now();
        let mut circuit = Circuit::open(true, now, WAITS);
        let later = now + Duration::from_secs(1);
        circuit.take(later);
        circuit.abandon_probe();
        assert_eq!(circuit.turn(later), Turn::Now);
    }

    #[test]
    fn a_stranger_gets_two_rounds_at_most() {
        let now = Instant::now();
        let mut circuit = Circuit::open(false, now, WAITS);
        assert!(circuit.is_beyond(0) && !circuit.is_beyond(1));
        for _ in 0..2 {
            circuit.take(now);
            circuit.failed(now, now, WAITS);
        }
        assert!(circuit.is_beyond(2) && circuit.is_beyond(6));
    }
}
