//! The clock of one attempt: which phase it is in, how long each took, and when it has to end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::options::Timeouts;
use crate::timings::{Phase, Timings};

/// A body that is slower than this, in bytes per second, is only waited for.
const TRICKLE_PER_S: f64 = 1024.0;

/// Advanced by the code that does the work, read by the worker that enforces the limit. One attempt is one task: no
/// lock, no timer of its own.
#[derive(Debug)]
pub(crate) struct PhaseClock {
    timeouts: Cell<Timeouts>,
    started: Cell<Instant>,
    /// An attempt is being made, and is up to the peer.
    runs: Cell<bool>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    spent: Spent,
    /// When the whole attempt has to end.
    end: Cell<Option<Instant>>,
    /// When the present phase has to end, if that is earlier.
    limit: Cell<Option<Instant>>,
    connect_by: Cell<Option<Instant>>,
    /// Bytes of the body so far.
    body_bytes: Cell<u64>,
    /// How long it stood still in the present phase.
    paused: Cell<Duration>,
}

impl PhaseClock {
    /// A clock that stands still.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            timeouts: Cell::default(),
            started: Cell::new(now),
            runs: Cell::new(false),
            phase: Cell::new(Phase::Queue),
            since: Cell::new(now),
            spent: Spent::default(),
            end: Cell::new(None),
            limit: Cell::new(None),
            connect_by: Cell::new(None),
            body_bytes: Cell::new(0),
            paused: Cell::default(),
        }
    }

    /// Starts an attempt at the moment its slot was granted. `deadline` is the request's own, all attempts included.
    pub(crate) fn start(&self, timeouts: Timeouts, queued: Instant, deadline: Option<Instant>) {
        let now = Instant::now();
        let end = earlier(timeouts.total.map(|total| now + total), deadline);
        self.timeouts.set(timeouts);
        self.started.set(now);
        self.runs.set(true);
        self.phase.set(Phase::Queue);
        self.since.set(now);
        self.spent.start(now.saturating_duration_since(queued));
        self.end.set(end);
        self.limit.set(end);
        self.connect_by.set(None);
        self.body_bytes.set(0);
    }

    pub(crate) fn started(&self) -> Instant {
        self.started.get()
    }

    /// The attempt is over, whatever becomes of its request.
    pub(crate) fn halt(&self) {
        self.runs.set(false);
    }

    /// Whether the attempt has been waiting for longer than `patience`: for the first byte of the response, from its
    /// start, or for a body of which next to nothing comes.
    pub(crate) fn only_waits(&self, patience: Duration, now: Instant) -> bool {
        let waits = |since: Instant| now.saturating_duration_since(since) > patience;
        if !self.runs.get() {
            return false;
        }
        if self.phase.get() != Phase::Body {
            return waits(self.started.get());
        }
        let due = now.saturating_duration_since(self.since.get()).as_secs_f64() * TRICKLE_PER_S;
        waits(self.since.get()) && (self.body_bytes.get() as f64) < due
    }

    /// How long it stood still in the present phase: so long the peer was made to wait.
    pub(crate) fn paused(&self) -> Duration {
        self.paused.get()
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
        self.paused.set(Duration::ZERO);
        let timeouts = self.timeouts.get();
        let own = match phase {
            Phase::Queue => None,
            Phase::Dns | Phase::Connect | Phase::Proxy | Phase::Tls => {
                if self.connect_by.get().is_none() {
                    self.connect_by.set(timeouts.connect.map(|connect| now + connect));
                }
                self.connect_by.get()
            }
            Phase::FirstByte => timeouts.first_byte.map(|first_byte| now + first_byte),
            Phase::Body => timeouts.read.map(|read| now + read),
        };
        self.limit.set(earlier(self.end.get(), own));
    }

    /// A piece of the body arrived, which has `so_far` bytes now. If there is more to come, the limit between two reads
    /// starts again.
    pub(crate) fn progressed(&self, so_far: u64, is_whole: bool) {
        self.body_bytes.set(so_far);
        if !is_whole {
            self.renew();
        }
    }

    fn renew(&self) {
        if let Some(read) = self.timeouts.get().read {
            self.limit.set(earlier(self.end.get(), Some(Instant::now() + read)));
        }
    }

    /// Stops the clock: the time until `resume` is not the peer's. Only `end` still counts, that of the whole job.
    pub(crate) fn stop(&self, end: Option<Instant>) -> Instant {
        self.limit.set(end);
        self.runs.set(false);
        Instant::now()
    }

    /// Starts the clock again, which was stopped at `stopped`; `end` is the same as then.
    pub(crate) fn resume(&self, stopped: Instant, end: Option<Instant>) {
        let pause = stopped.elapsed();
        self.paused.set(self.paused.get() + pause);
        self.runs.set(true);
        self.end.set(earlier(self.end.get().map(|end| end + pause), end));
        self.limit.set(self.end.get());
        self.renew();
    }

    /// Ends the attempt.
    pub(crate) fn finish(&self) -> Timings {
        let now = Instant::now();
        self.close_phase(now);
        let Spent { queue, dns, connect, tls, first_byte, body } = &self.spent;
        Timings {
            queue: queue.get(),
            dns: dns.get(),
            connect: connect.get(),
            tls: tls.get(),
            first_byte: first_byte.get(),
            body: body.get(),
            total: Some(now.saturating_duration_since(self.started.get())),
        }
    }

    fn close_phase(&self, now: Instant) {
        if let Some(spent) = self.spent.of(self.phase.get()) {
            let before = spent.get().unwrap_or(Duration::ZERO);
            spent.set(Some(before + now.saturating_duration_since(self.since.get())));
        }
        self.since.set(now);
    }
}

/// How long each phase of the attempt has taken so far.
#[derive(Debug, Default)]
struct Spent {
    queue: Cell<Option<Duration>>,
    dns: Cell<Option<Duration>>,
    connect: Cell<Option<Duration>>,
    tls: Cell<Option<Duration>>,
    first_byte: Cell<Option<Duration>>,
    body: Cell<Option<Duration>>,
}

impl Spent {
    /// Another attempt begins.
    fn start(&self, queued: Duration) {
        self.queue.set(Some(queued));
        for phase in [&self.dns, &self.connect, &self.tls, &self.first_byte, &self.body] {
            phase.set(None);
        }
    }

    /// Of a phase that is measured here.
    fn of(&self, phase: Phase) -> Option<&Cell<Option<Duration>>> {
        match phase {
            Phase::Queue => None,
            Phase::Dns => Some(&self.dns),
            Phase::Connect | Phase::Proxy => Some(&self.connect),
            Phase::Tls => Some(&self.tls),
            Phase::FirstByte => Some(&self.first_byte),
            Phase::Body => Some(&self.body),
        }
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

    fn started(timeouts: Timeouts, queued: Instant, deadline: Option<Instant>) -> PhaseClock {
        let clock = PhaseClock::new();
        clock.start(timeouts, queued, deadline);
        clock
    }

    const fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }

    #[test]
    fn only_phases_that_happened_have_a_time() {
        let clock = started(Timeouts::default(), Instant::now(), None);
        clock.enter(Phase::FirstByte);
        clock.enter(Phase::Body);
        let timings = clock.finish();
        assert!(timings.first_byte.is_some() && timings.body.is_some() && timings.total.is_some());
        assert_eq!((timings.dns, timings.connect, timings.tls), (None, None, None));
    }

    #[test]
    fn name_tcp_and_tls_share_the_connect_limit() {
        let timeouts = Timeouts { connect: Some(seconds(5)), ..Timeouts::default() };
        let clock = started(timeouts, Instant::now(), None);
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
        let clock = started(timeouts, Instant::now(), None);
        clock.enter(Phase::Body);
        let before = clock.limit();
        let stopped = clock.stop(None);
        assert_eq!(clock.limit(), None);
        std::thread::sleep(Duration::from_millis(2));
        clock.resume(stopped, None);
        assert!(clock.limit() >= before.map(|limit| limit + Duration::from_millis(2)));
    }

    #[test]
    fn what_waits_is_an_attempt_without_a_first_byte_or_with_a_trickle() {
        let clock = started(Timeouts::default(), Instant::now(), None);
        let (patience, at) = (seconds(1), |after| clock.started() + seconds(after));
        assert!(!clock.only_waits(patience, at(1)) && clock.only_waits(patience, at(2)));
        clock.enter(Phase::Body);
        assert!(!clock.only_waits(patience, at(0)));
        clock.progressed(5000, false);
        assert!(!clock.only_waits(patience, at(4)) && clock.only_waits(patience, at(9)));
        let stopped = clock.stop(None);
        assert!(!clock.only_waits(patience, at(9)), "the consumer is late, not the peer");
        clock.resume(stopped, None);
        assert!(clock.only_waits(patience, at(9)));
        clock.halt();
        assert!(!clock.only_waits(patience, at(9)));
    }

    #[test]
    fn the_total_and_the_deadline_cap_every_phase() {
        let timeouts = Timeouts { total: Some(seconds(30)), read: Some(seconds(60)), ..Timeouts::default() };
        let deadline = Instant::now() + Duration::from_secs(3);
        let clock = started(timeouts, Instant::now(), Some(deadline));
        clock.enter(Phase::Body);
        clock.progressed(1, false);
        assert_eq!(clock.limit(), Some(deadline));
    }
}
