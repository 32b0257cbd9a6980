//! What holds a host back beyond its permits. A host that works and has no rate limit has none of this.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::aimd::Aimd;
use super::circuit::Outage;
use super::note::Note;
use super::pace::Pace;
use super::signal::Signal;

/// All of it, for one host.
#[derive(Debug)]
pub(super) struct Throttle<T> {
    pub(super) pace: Option<Pace>,
    /// robots.txt asks for this distance.
    pub(super) crawl_delay: Option<(Duration, Pace)>,
    parked_until: Option<Instant>,
    /// Origins of the host that are down. Most hosts have two at most.
    pub(super) outages: Vec<Outage<T>>,
    /// It responds with errors only, and was given up: each request is sent once, for its own response.
    pub(super) is_resigned: bool,
    pub(super) aimd: Option<Aimd>,
    /// Retries that wait for the budget, with their priorities.
    pub(super) held: VecDeque<(T, i32)>,
    /// When what waits apart will be checked.
    pub(super) chore_at: Option<Instant>,
    /// The host waits for this instant.
    pub(super) wakes_at: Option<Instant>,
}

impl<T> Default for Throttle<T> {
    fn default() -> Self {
        Self {
            pace: None,
            crawl_delay: None,
            parked_until: None,
            outages: Vec::new(),
            is_resigned: false,
            aimd: None,
            held: VecDeque::new(),
            chore_at: None,
            wakes_at: None,
        }
    }
}

impl<T> Throttle<T> {
    /// Whether nothing holds the host back any more, and it can be dropped.
    pub(super) fn is_spent(&self) -> bool {
        let paced = self.pace.is_some() || self.crawl_delay.is_some() || self.aimd.is_some();
        let waits = self.parked_until.is_some() || self.wakes_at.is_some() || !self.held.is_empty();
        !paced && !waits && self.outages.is_empty() && !self.is_resigned
    }

    /// Nothing is sent to the host before `until`.
    pub(super) fn park(&mut self, until: Instant) {
        self.parked_until = self.parked_until.max(Some(until));
    }

    /// When the host's next request may be sent; None: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let parked = self.parked_until.filter(|&until| until > now);
        let pace = self.pace.as_ref().and_then(|pace| pace.next(now));
        let crawl = self.crawl_delay.as_ref().and_then(|(_, pace)| pace.next(now));
        parked.max(pace).max(crawl)
    }

    /// A request is sent.
    pub(super) fn take(&mut self, now: Instant) {
        // Its turn has come, so that instant has passed.
        self.parked_until = None;
        self.paces().for_each(|pace| pace.take(now));
    }

    /// It was not sent after all.
    pub(super) fn give_back(&mut self) {
        self.paces().for_each(Pace::give_back);
    }

    fn paces(&mut self) -> impl Iterator<Item = &mut Pace> {
        self.pace.iter_mut().chain(self.crawl_delay.iter_mut().map(|(_, pace)| pace))
    }

    /// The origin's outage, if it is down.
    pub(super) fn outage(&mut self, origin: u32) -> Option<&mut Outage<T>> {
        self.outages.iter_mut().find(|outage| outage.origin == origin)
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
