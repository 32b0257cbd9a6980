//! What holds a host back beyond its permits. A host that is well and has no rate has none of this.

use std::collections::VecDeque;
use std::time::Instant;

use super::aimd::Aimd;
use super::circuit::{Circuit, Turn};
use super::note::Note;
use super::pace::Pace;
use super::signal::Signal;

/// The reins of one host.
#[derive(Debug)]
pub(super) struct Throttle<T> {
    pub(super) pace: Option<Pace>,
    /// robots.txt asks for this distance.
    pub(super) crawl_delay: Option<Pace>,
    parked_until: Option<Instant>,
    /// Some: the host is down.
    pub(super) circuit: Option<Circuit>,
    pub(super) aimd: Option<Aimd>,
    /// Retries that wait until the budget has something for them, with their priorities.
    pub(super) held: VecDeque<(T, i32)>,
    /// When somebody will look after `held`.
    pub(super) held_until: Option<Instant>,
    /// The host waits for this instant, and has its place among those that wait.
    pub(super) wakes_at: Option<Instant>,
}

impl<T> Default for Throttle<T> {
    fn default() -> Self {
        Self {
            pace: None,
            crawl_delay: None,
            parked_until: None,
            circuit: None,
            aimd: None,
            held: VecDeque::new(),
            held_until: None,
            wakes_at: None,
        }
    }
}

impl<T> Throttle<T> {
    /// Whether nothing holds the host back any more, and nothing would be lost without it.
    pub(super) fn is_spent(&self) -> bool {
        let paced = self.pace.is_some() || self.crawl_delay.is_some() || self.aimd.is_some();
        let waits = self.parked_until.is_some() || self.wakes_at.is_some() || self.held_until.is_some();
        !paced && !waits && self.circuit.is_none() && self.held.is_empty()
    }

    /// Nobody asks the host before `until`.
    pub(super) fn park(&mut self, until: Instant) {
        self.parked_until = self.parked_until.max(Some(until));
    }

    /// Whether the host's next request may go.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let circuit = match self.circuit.map_or(Turn::Now, |circuit| circuit.turn(now)) {
            Turn::AfterProbe => return Turn::AfterProbe,
            Turn::At(until) => Some(until),
            Turn::Now => None,
        };
        let parked = self.parked_until.filter(|&until| until > now);
        let pace = self.pace.as_ref().and_then(|pace| pace.next(now));
        let crawl = self.crawl_delay.as_ref().and_then(|pace| pace.next(now));
        circuit.max(parked).max(pace).max(crawl).map_or(Turn::Now, Turn::At)
    }

    /// A request goes.
    pub(super) fn take(&mut self, now: Instant) {
        // Its turn has come, so that instant has passed.
        self.parked_until = None;
        if let Some(circuit) = &mut self.circuit {
            circuit.take(now);
        }
        if let Some(pace) = &mut self.pace {
            pace.take(now);
        }
        if let Some(pace) = &mut self.crawl_delay {
            pace.take(now);
        }
    }

    /// It did not go after all.
    pub(super) fn give_back(&mut self) {
        if let Some(circuit) = &mut self.circuit {
            circuit.abandon_probe();
        }
        if let Some(pace) = &mut self.pace {
            pace.give_back();
        }
        if let Some(pace) = &mut self.crawl_delay {
            pace.give_back();
        }
    }

    /// Learns from the end of an attempt. `in_use`: the host's limit kept further requests back.
    pub(super) fn learn(&mut self, note: &Note<'_>, in_use: bool) {
        let Note { signal, started, ended, retry_after, .. } = *note;
        if let Some(wait) = retry_after {
            self.park(ended + wait);
        }
        if let Some(aimd) = &mut self.aimd {
            if signal.is_trouble() {
                aimd.troubled(started, ended);
            } else if signal == Signal::Served {
                aimd.succeeded(in_use);
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.learn(note);
        }
    }
}
