//! A host that is down is asked only now and then, by one request at a time, until it answers.
//!
//! Source: Nygard, "Release It!", 2007, the circuit breaker.

use std::time::{Duration, Instant};

use super::signal::Signal;

/// So much trouble in a row, and nothing else in between, means that a host is down.
const THRESHOLD: u32 = 10;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// No request before `until`.
    Open {
        until: Instant,
    },
    /// One request finds out.
    Probing {
        since: Instant,
    },
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

/// The circuit of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circuit {
    state: State,
    /// Trouble of any kind in a row; without an answer at all in a row.
    troubled: u32,
    unanswered: u32,
    probes_failed: u32,
    /// It has served something, ever.
    has_served: bool,
}

impl Circuit {
    /// `has_served`: the host has been well before.
    pub(super) fn new(has_served: bool) -> Self {
        Self { state: State::Closed, troubled: 0, unanswered: 0, probes_failed: 0, has_served }
    }

    /// Whether requests wait for the host to come back.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether its last answers give no hope that the next one is better.
    pub(super) fn is_hopeless(&self) -> bool {
        self.troubled >= THRESHOLD
    }

    /// Whether enough probes have failed, where the caller grants `rounds`.
    pub(super) fn is_beyond(&self, rounds: u32) -> bool {
        let granted = if self.has_served { rounds } else { rounds.min(STRANGER_ROUNDS) };
        self.is_open() && self.probes_failed >= granted
    }

    pub(super) fn turn(&self, now: Instant) -> Turn {
        match self.state {
            State::Open { until } if now < until => Turn::At(until),
            State::Probing { .. } => Turn::AfterProbe,
            State::Closed | State::Open { .. } => Turn::Now,
        }
    }

    /// A request goes.
    pub(super) fn take(&mut self, now: Instant) {
        if let State::Open { .. } = self.state {
            self.state = State::Probing { since: now };
        }
    }

    /// The probe has ended without telling anything: another may go.
    pub(super) fn abandon_probe(&mut self) {
        if let State::Probing { since } = self.state {
            self.state = State::Open { until: since };
        }
    }

    /// The next probe may go at once.
    pub(super) fn probe_now(&mut self, now: Instant) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// An attempt that began at `started` ended with `signal`.
    pub(super) fn note(
        &mut self,
        signal: Signal,
        started: Instant,
        now: Instant,
        waits: ProbeWaits,
    ) -> Change {
        match signal {
            Signal::Silent => return Change::Nothing,
            Signal::Served | Signal::Answered | Signal::Slow => return self.answered(signal),
            Signal::Down => self.unanswered = self.unanswered.saturating_add(1),
            Signal::Throttled | Signal::Unavailable => self.unanswered = 0,
        }
        self.troubled = self.troubled.saturating_add(1);
        match self.state {
            State::Probing { since } if started >= since => {
                self.probes_failed = self.probes_failed.saturating_add(1);
                self.state = State::Open { until: now + waits.after(self.probes_failed) };
                Change::ProbeFailed
            }
            State::Closed
                if self.unanswered >= THRESHOLD || (self.has_served && self.troubled >= THRESHOLD) =>
            {
                self.probes_failed = 0;
                self.state = State::Open { until: now + waits.after(0) };
                Change::Opened
            }
            _ => Change::Nothing,
        }
    }

    fn answered(&mut self, signal: Signal) -> Change {
        let was_open = self.is_open();
        self.has_served |= signal == Signal::Served;
        (self.state, self.troubled, self.unanswered, self.probes_failed) = (State::Closed, 0, 0, 0);
        if was_open { Change::Closed } else { Change::Nothing }
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    const WAITS: ProbeWaits =
        ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };

    fn fail(circuit: &mut Circuit, times: u32, signal: Signal, now: Instant) -> Change {
        (0..times).map(|_| circuit.note(signal, now, now, WAITS)).last().unwrap_or(Change::Nothing)
    }

    #[test]
    fn ten_failures_in_a_row_open_it_and_an_answer_in_between_does_not() {
        let (mut circuit, now) = (Circuit::new(true), Instant::now());
        assert_eq!(fail(&mut circuit, 9, Signal::Down, now), Change::Nothing);
        circuit.note(Signal::Answered, now, now, WAITS);
        assert_eq!(fail(&mut circuit, 9, Signal::Unavailable, now), Change::Nothing);
        assert_eq!(fail(&mut circuit, 1, Signal::Throttled, now), Change::Opened);
        assert_eq!(circuit.turn(now), Turn::At(now + Duration::from_millis(500)));
    }

    #[test]
    fn a_stranger_that_answers_with_errors_is_not_down() {
        let (mut circuit, now) = (Circuit::new(false), Instant::now());
        assert_eq!(fail(&mut circuit, 100, Signal::Unavailable, now), Change::Nothing);
        assert!(!circuit.is_open() && circuit.is_hopeless());
        assert_eq!(fail(&mut circuit, 10, Signal::Down, now), Change::Opened);
    }

    #[test]
    fn one_probe_at_a_time_at_growing_intervals() {
        let (mut circuit, mut now) = (Circuit::new(true), Instant::now());
        fail(&mut circuit, 10, Signal::Down, now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let Turn::At(until) = circuit.turn(now) else { panic!("{circuit:?}") };
            waits.push((until - now).as_millis());
            now = until;
            assert_eq!(circuit.turn(now), Turn::Now);
            circuit.take(now);
            assert_eq!(circuit.turn(now), Turn::AfterProbe);
            assert_eq!(circuit.note(Signal::Down, now, now, WAITS), Change::ProbeFailed);
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert!(circuit.is_beyond(9) && !circuit.is_beyond(10));
    }

    #[test]
    fn an_answer_closes_it_also_that_of_a_request_sent_before() {
        let (mut circuit, now) = (Circuit::new(true), Instant::now());
        fail(&mut circuit, 10, Signal::Down, now);
        assert_eq!(circuit.note(Signal::Served, now, now, WAITS), Change::Closed);
        assert_eq!((circuit.turn(now), circuit.is_beyond(0)), (Turn::Now, false));
    }

    #[test]
    fn stragglers_are_no_probes() {
        let (mut circuit, before) = (Circuit::new(true), Instant::now());
        let now = before + Duration::from_secs(5);
        fail(&mut circuit, 10, Signal::Down, before);
        circuit.take(now);
        assert_eq!(circuit.note(Signal::Down, before, now, WAITS), Change::Nothing);
        assert_eq!(circuit.note(Signal::Down, now, now, WAITS), Change::ProbeFailed);
    }

    #[test]
    fn a_probe_that_vanished_makes_room_for_another() {
        let (mut circuit, now) = (Circuit::new(true), Instant::now());
        fail(&mut circuit, 10, Signal::Down, now);
        let later = now + Duration::from_secs(1);
        circuit.take(later);
        circuit.abandon_probe();
        assert_eq!(circuit.turn(later), Turn::Now);
    }

    #[test]
    fn a_stranger_gets_two_rounds_at_most() {
        let (mut circuit, now) = (Circuit::new(false), Instant::now());
        fail(&mut circuit, 10, Signal::Down, now);
        assert!(circuit.is_beyond(0) && !circuit.is_beyond(1));
        for _ in 0..2 {
            circuit.take(now);
            circuit.note(Signal::Down, now, now, WAITS);
        }
        assert!(circuit.is_beyond(2) && circuit.is_beyond(6));
    }
}
