//! From one wait to the next: when the host's window opened, and what was sent in it.

use std::time::{Duration, Instant};

/// What is tried in a period beyond what is known to go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    Nothing,
    /// More than the quota.
    More,
    /// To begin the next period sooner.
    Sooner,
    /// To begin it after the longest wait that was in vain: it may have been so because refusals count.
    Low,
}

/// The request that opened a window: when it went, and how long its answer took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) went: Instant,
    pub(crate) took: Duration,
}

impl Opening {
    pub(super) const fn at(went: Instant) -> Self {
        Self { went, took: Duration::ZERO }
    }

    /// When it would have gone if nothing had kept it on its way for longer than the quickest: the host counts from its
    /// arrival. A server that has just been started may need seconds for its first answer.
    pub(super) fn without_delay(&self, quickest: Option<Duration>) -> Instant {
        self.went + self.took.saturating_sub(quickest.unwrap_or_default())
    }
}

/// From the first request after a wait to the next wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    pub(super) began: Instant,
    /// The first request that was accepted in it.
    pub(super) opening: Opening,
    pub(super) sent: u32,
    pub(super) accepted: u32,
    pub(super) trial: Trial,
    /// It began with the end of a period, and not with that of a wait.
    pub(super) follows: bool,
}

impl Cycle {
    pub(super) const fn new(began: Instant) -> Self {
        let opening = Opening::at(began);
        Self { began, opening, sent: 0, accepted: 0, trial: Trial::Nothing, follows: false }
    }
}
