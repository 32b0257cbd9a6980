//! The clock of one attempt: which phase it is in, how long each took, and when it has to end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::options::Timeouts;
use crate::timings::{Phase, Timings};

/// Advanced by the code that does the work, read by the worker that enforces the limit. One attempt is one task: no
/// lock, no timer of its own.
#[derive(Debug)]
pub(crate) struct PhaseClock {
    timeouts: Timeouts,
    started: Instant,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    timings: Cell<Timings>,
    /// When the whole attempt has to end.
    end: Cell<Option<Instant>>,
    /// When the present phase has to end, if that is earlier.
    limit: Cell<Option<Instant>>,
    connect_by: Cell<Option<Instant>>,
}

impl PhaseClock {
    /// Starts an attempt at the moment its slot was granted. `deadline` is the request's own, all attempts included.
    pub(crate) fn start(timeouts: Timeouts, queued: Instant, deadline: Option<Instant>) -> Self {
        let now = Instant::now();
        let end = earlier(timeouts.total.map(|total| now + total), deadline);
        let timings = Timings { queue: Some(now.saturating_duration_since(queued)), ..Timings::default() };
        Self {
            timeouts,
            started: now,
            phase: Cell::new(Phase::Queue),
            since: Cell::new(now),
            timings: Cell::new(timings),
            end: Cell::new(end),
            limit: Cell::new(end),
            connect_by: Cell::new(None),
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the attempt has to be given up, unless it makes progress.
    pub(crate) fn limit(&self) -> Option<Instant> {
        self.limit.get()
    }

    /// Ends the present phase and begins another.
    pub(crate) fn enter(&self, phase: Phase) {
        let now = Instant::now();
        self.close_phase(now);
        self.phase.set(phase);
        let own = match phase {
            Phase::Queue => None,
            Phase::Dns | Phase::Connect | Phase::Tls => {
                if self.connect_by.get().is_none() {
                    self.connect_by.set(self.timeouts.connect.map(|connect| now + connect));
                }
                self.connect_by.get()
            }
            Phase::FirstByte => self.timeouts.first_byte.map(|first_byte| now + first_byte),
            Phase::Body => self.timeouts.read.map(|read| now + read),
        };
        self.limit.set(earlier(self.end.get(), own));
    }

    /// A piece of the body arrived: the limit between two reads starts again.
    pub(crate) fn progressed(&self) {
        if let Some(read) = self.timeouts.read {
            self.limit.set(earlier(self.end.get(), Some(Instant::now() + read)));
        }
    }

    /// Stops the clock: the time until `resume` is not the peer's.
    pub(crate) fn stop(&self) -> Instant {
        self.limit.set(None);
        Instant::now()
    }

    /// Starts the clock again, which was stopped at `stopped`.
    pub(crate) fn resume(&self, stopped: Instant) {
        let pause = stopped.elapsed();
        self.end.set(self.end.get().map(|end| end + pause));
        self.limit.set(self.end.get());
        self.progressed();
    }

    /// Ends the attempt.
    pub(crate) fn finish(&self) -> Timings {
        let now = Instant::now();
        self.close_phase(now);
        Timings { total: Some(now.saturating_duration_since(self.started)), ..self.timings.get() }
    }

    fn close_phase(&self, now: Instant) {
        let mut timings = self.timings.get();
        let slot = match self.phase.get() {
            Phase::Queue => None,
            Phase::Dns => Some(&mut timings.dns),
            Phase::Connect => Some(&mut timings.connect),
            Phase::Tls => Some(&mut timings.tls),
            Phase::FirstByte => Some(&mut timings.first_byte),
            Phase::Body => Some(&mut timings.body),
        };
        if let Some(slot) = slot {
            *slot = Some(slot.unwrap_or(Duration::ZERO) + now.saturating_duration_since(self.since.get()));
        }
        self.since.set(now);
        self.timings.set(timings);
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }

    #[test]
    fn only_phases_that_happened_have_a_time() {
        let clock = PhaseClock::start(Timeouts::default(), Instant::now(), None);
        clock.enter(Phase::FirstByte);
        clock.enter(Phase::Body);
        let timings = clock.finish();
        assert!(timings.first_byte.is_some() && timings.body.is_some() && timings.total.is_some());
        assert_eq!((timings.dns, timings.connect, timings.tls), (None, None, None));
    }

    #[test]
    fn name_tcp_and_tls_share_the_connect_limit() {
        let timeouts = Timeouts { connect: Some(seconds(5)), ..Timeouts::default() };
        let clock = PhaseClock::start(timeouts, Instant::now(), None);
        clock.enter(Phase::Dns);
        let limit = clock.limit();
        clock.enter(Phase::Tls);
        assert_eq!(clock.limit(), limit);
        clock.enter(Phase::FirstByte);
        assert!(clock.limit() > limit);
    }

    #[test]
    fn a_stopped_clock_strikes_nobody_and_loses_nothing() {
        let timeouts = Timeouts { total: Some(seconds(30)), ..Timeouts::default() };
        let clock = PhaseClock::start(timeouts, Instant::now(), None);
        clock.enter(Phase::Body);
        let before = clock.limit();
        let stopped = clock.stop();
        assert_eq!(clock.limit(), None);
        std::thread::sleep(Duration::from_millis(2));
        clock.resume(stopped);
        assert!(clock.limit() >= before.map(|limit| limit + Duration::from_millis(2)));
    }

    #[test]
    fn the_total_and_the_deadline_cap_every_phase() {
        let timeouts = Timeouts { total: Some(seconds(30)), read: Some(seconds(60)), ..Timeouts::default() };
        let deadline = Instant::now() + Duration::from_secs(3);
        let clock = PhaseClock::start(timeouts, Instant::now(), Some(deadline));
        clock.enter(Phase::Body);
        clock.progressed();
        assert_eq!(clock.limit(), Some(deadline));
    }
}
