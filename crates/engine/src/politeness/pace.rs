//! When the next request may follow the last: at a fixed rate, or at one that adapts.

use std::time::{Duration, Instant};

use super::advice::Quotas;
use super::auto_rate::AutoRate;
use super::note::Note;
use super::rate::Gcra;
use super::signal::Signal;
use crate::options::{Rate, RateLimit};

/// The rate of one host, or of all.
#[derive(Debug)]
pub(crate) enum Pace {
    /// As set by the caller.
    Fixed(Gcra),
    /// As found by trying.
    Auto(Box<AutoRate>),
}

impl Pace {
    /// None: there is no limit.
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Option<Self> {
        match limit {
            RateLimit::Unlimited => None,
            RateLimit::Fixed(rate) => Some(Self::Fixed(Gcra::new(rate))),
            RateLimit::Auto => Some(Self::Auto(Box::new(AutoRate::new(now)))),
        }
    }

    /// One request in each `delay`.
    pub(crate) fn every(delay: Duration) -> Self {
        Self::Fixed(Gcra::new(Rate { count: 1, per: delay, burst: 1 }))
    }

    /// Whether it learns from answers.
    pub(crate) fn is_auto(&self) -> bool {
        matches!(self, Self::Auto(_))
    }

    /// The requests per second that it has found, if it learns from answers.
    pub(crate) fn found_per_s(&self, now: Instant) -> Option<f64> {
        match self {
            Self::Fixed(_) => None,
            Self::Auto(auto) => Some(auto.rate_at(now)),
        }
    }

    /// None: a request may be sent now. Otherwise: not before that instant.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Fixed(gcra) => gcra.next(now),
            Self::Auto(auto) => auto.next(now),
        }
    }

    /// Whether a new one would allow no more than this one does now.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        match self {
            Self::Fixed(gcra) => gcra.is_rested(now),
            Self::Auto(_) => false,
        }
    }

    /// A request is sent.
    pub(crate) fn take(&mut self, now: Instant) {
        match self {
            Self::Fixed(gcra) => gcra.take(now),
            Self::Auto(auto) => auto.take(now),
        }
    }

    /// It was not sent after all.
    pub(crate) fn give_back(&mut self) {
        match self {
            Self::Fixed(gcra) => gcra.give_back(),
            Self::Auto(auto) => auto.give_back(),
        }
    }

    /// Learns from the end of an attempt, if it does.
    pub(crate) fn learn(&mut self, note: &Note<'_>) {
        let Self::Auto(auto) = self else { return };
        let Note { signal, started, ended, retry_after, quotas, .. } = *note;
        if signal == Signal::Throttled {
            auto.throttled(started, ended, retry_after);
        } else if matches!(signal, Signal::Served | Signal::Declined) {
            auto.succeeded(ended);
        }
        if let Some(quota) = quotas.and_then(Quotas::tightest) {
            auto.advised(&quota, ended);
        }
    }
}
