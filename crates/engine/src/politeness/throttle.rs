//! What holds a host back beyond its permits. A host that works and has no rate limit has none of this.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::advice::Quota;
use super::aimd::Aimd;
use super::circuit::Outage;
use super::note::Note;
use super::pace::Pace;
use super::refusals::{Opening, Refusal, Refusals};
use super::signal::Signal;

/// Below so many requests per second, and after waits of such length, a rate that is found by counting what a second
/// accepts finds nothing: what refusals teach takes over.
const SLOW_PER_S: f64 = 4.0;
const LONG_WAIT: Duration = Duration::from_secs(2);

/// A host that has served fewer than these when it refuses for the first time has seen one crowd only.
const FIRST_CROWD: u32 = 10;

/// A quota that is used up for longer than this is asked about now and then.
const LONGEST_RESET: Duration = Duration::from_secs(120);

/// All of it, for one host.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one thing")]
pub(super) struct Throttle<T> {
    pub(super) pace: Option<Pace>,
    /// robots.txt asks for this distance.
    pub(super) crawl_delay: Option<(Duration, Pace)>,
    parked_until: Option<Instant>,
    /// What it taught by refusing. It is kept to where `refusals_rule`: a rate of its own may do better.
    refusals: Option<Refusals>,
    refusals_rule: bool,
    /// The first request of the window that its answers tell of, and how many the last of them left.
    window_began: Option<Opening>,
    pub(super) left: Option<u32>,
    /// They were seen to become fewer.
    counts: bool,
    /// It says that it takes so many at once.
    concurrent: Option<u32>,
    /// Origins of the host that are down. Most hosts have two at most.
    pub(super) outages: Vec<Outage<T>>,
    /// Origins that respond with errors only, and were given up: each request is sent once, for its own response.
    pub(super) resigned: Vec<u32>,
    pub(super) aimd: Option<Aimd>,
    /// Retries that wait for the budget, with their priorities.
    pub(super) held: VecDeque<(T, i32)>,
    /// When what waits apart will be checked.
    pub(super) chore_at: Option<Instant>,
    /// The host waits for this instant.
    pub(super) wakes_at: Option<Instant>,
    /// It does so because it refused.
    pub(super) waits_as_refusing: bool,
    /// It wants to be left alone for longer than all patience, as far as it said so once.
    pub(super) wants_more: bool,
}

impl<T> Default for Throttle<T> {
    fn default() -> Self {
        Self {
            pace: None,
            crawl_delay: None,
            parked_until: None,
            refusals: None,
            refusals_rule: false,
            window_began: None,
            left: None,
            counts: false,
            concurrent: None,
            outages: Vec::new(),
            resigned: Vec::new(),
            aimd: None,
            held: VecDeque::new(),
            chore_at: None,
            wakes_at: None,
            waits_as_refusing: false,
            wants_more: false,
        }
    }
}

impl<T> Throttle<T> {
    /// Whether nothing holds the host back any more, and it can be dropped.
    pub(super) fn is_spent(&self) -> bool {
        let paced = self.pace.is_some() || self.crawl_delay.is_some() || self.aimd.is_some();
        let paced = paced || self.refusals.is_some() || self.concurrent.is_some();
        let waits = self.parked_until.is_some() || self.wakes_at.is_some() || !self.held.is_empty();
        !paced && !waits && self.outages.is_empty() && self.resigned.is_empty()
    }

    /// Whether a new one would hold the host back as much as this one.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        let rested = |pace: &Pace| pace.is_rested(now);
        let paced = self.pace.as_ref().is_none_or(rested) && self.crawl_delay.is_none();
        let learned = self.refusals.is_some() || self.aimd.as_ref().is_some_and(Aimd::was_cut);
        let learned = learned || self.concurrent.is_some();
        let parked = self.parked_until.is_some_and(|until| until > now);
        let waits = self.wakes_at.is_some() || self.chore_at.is_some() || !self.held.is_empty();
        paced && !(learned || parked || waits) && self.outages.is_empty() && self.resigned.is_empty()
    }

    /// Whether an origin responds with errors only, and was given up.
    pub(super) fn is_resigned(&self, origin: u32) -> bool {
        self.resigned.contains(&origin)
    }

    /// Nothing is sent to the host before `until`.
    pub(super) fn park(&mut self, until: Instant) {
        self.parked_until = self.parked_until.max(Some(until));
    }

    /// When the host's next request may be sent; None: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let parked = self.parked_until.filter(|&until| until > now);
        let refusals = self.ruling().and_then(|refusals| refusals.next(now));
        let pace = self.pace.as_ref().filter(|pace| !(self.refusals_rule && pace.is_auto()));
        let pace = pace.and_then(|pace| pace.next(now));
        let crawl = self.crawl_delay.as_ref().and_then(|(_, pace)| pace.next(now));
        parked.max(pace).max(crawl).max(refusals)
    }

    /// How many requests its refusals and its own word leave in flight.
    pub(super) fn limit(&self) -> u32 {
        let told = self.concurrent.unwrap_or(u32::MAX);
        self.ruling().map_or(told, |refusals| refusals.limit().min(told))
    }

    /// What its refusals taught.
    pub(super) fn refusals(&self) -> Option<&Refusals> {
        self.refusals.as_ref()
    }

    /// Whether it has just said that it takes more now.
    pub(super) fn grants_more(&self) -> bool {
        self.ruling().is_some_and(Refusals::grant_more)
    }

    /// Whether what its refusals taught keeps requests back.
    pub(super) fn is_refusing(&self, now: Instant) -> bool {
        self.ruling().is_some_and(|refusals| refusals.next(now).is_some())
    }

    fn ruling(&self) -> Option<&Refusals> {
        self.refusals.as_ref().filter(|_| self.refusals_rule)
    }

    /// A request is sent.
    pub(super) fn take(&mut self, now: Instant) {
        // Its turn has come, so that instant has passed.
        self.parked_until = None;
        self.paces().for_each(|pace| pace.take(now));
        if let Some(refusals) = &mut self.refusals {
            refusals.take(now);
        }
    }

    /// It was not sent after all.
    pub(super) fn give_back(&mut self) {
        self.paces().for_each(Pace::give_back);
        if let Some(refusals) = &mut self.refusals {
            refusals.give_back();
        }
    }

    fn paces(&mut self) -> impl Iterator<Item = &mut Pace> {
        self.pace.iter_mut().chain(self.crawl_delay.iter_mut().map(|(_, pace)| pace))
    }

    /// The origin's outage, if it is down.
    pub(super) fn outage(&mut self, origin: u32) -> Option<&mut Outage<T>> {
        self.outages.iter_mut().find(|outage| outage.origin == origin)
    }

    /// Learns from the end of an attempt. `in_use`: the host's limit kept further requests back. `served`: requests
    /// that it had served before, if they are few. `in_flight`: those on their way now.
    pub(super) fn learn(&mut self, note: &Note<'_>, in_use: bool, served: Option<u32>, in_flight: u32) {
        let Note { signal, started, ended, .. } = *note;
        if signal == Signal::Throttled {
            self.refused(note, served);
        } else if let Some(refusals) = &mut self.refusals
            && !matches!(signal, Signal::Silent | Signal::Down | Signal::Unavailable)
        {
            refusals.accepted(started, ended);
            self.hand_back(ended);
        } else if signal == Signal::Unavailable {
            // It is down, or something in it is: no question of how much it is asked.
            self.refusals = None;
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
        self.concurrent = note.quotas.and_then(|quotas| quotas.concurrent).or(self.concurrent);
        self.heed_quota(note, served, in_flight);
    }

    fn refused(&mut self, note: &Note<'_>, served: Option<u32>) {
        let Note { started, ended, retry_after: wait, backoff, .. } = *note;
        let refusals = self.refusals.get_or_insert_with(|| {
            // Only one that went with the first of all is as old as the window.
            let is_of_first = served.is_some_and(|served| served < FIRST_CROWD);
            let took = if is_of_first { ended.saturating_duration_since(started) } else { Duration::ZERO };
            Refusals::new(served, Opening { went: started, took })
        });
        refusals.refused(&Refusal { started, ended, wait, backoff });
        let is_slow = wait.is_some_and(|wait| wait >= LONG_WAIT) || refusals.in_vain() > 0;
        let is_auto = self.pace.as_ref().is_some_and(Pace::is_auto);
        self.refusals_rule |= !is_auto || is_slow;
    }

    /// A rate that is found by itself takes over again where the host bears enough for it.
    fn hand_back(&mut self, ended: Instant) {
        let found_per_s = self.pace.as_ref().and_then(|pace| pace.found_per_s(ended));
        let borne_per_s = self.refusals.as_ref().and_then(Refusals::rate_per_s);
        if let (Some(found_per_s), Some(borne_per_s)) = (found_per_s, borne_per_s) {
            let is_slow = borne_per_s < if self.refusals_rule { 2.0 * SLOW_PER_S } else { SLOW_PER_S };
            self.refusals_rule = is_slow || found_per_s < SLOW_PER_S;
        }
    }

    /// The host tells what is left of its quota. Once that is used up the next request would be refused.
    fn heed_quota(&mut self, note: &Note<'_>, served: Option<u32>, in_flight: u32) {
        let Note { signal, started, ended, .. } = *note;
        let Some(quotas) = note.quotas.filter(|_| signal != Signal::Throttled) else { return };
        let (Some(quota), Some(left)) = (quotas.tightest(), quotas.left()) else { return };
        let is_used_up = quota.remaining < 1.0;
        // A host that says so from the beginning, and answers all the same, means something else.
        self.counts |= self.left.replace(left).is_some_and(|before| before > left);
        let is_first = quotas.are_new();
        if is_first || self.window_began.is_none() {
            let took = ended.saturating_duration_since(started);
            self.window_began = Some(Opening { went: started, took });
        }
        if let Some(refusals) = &mut self.refusals {
            if is_first {
                refusals.begin_window(started);
            }
            // Those on their way may have been counted or not.
            refusals.grant(started, left.saturating_sub(in_flight));
        }
        if !is_used_up || quota.reset.is_zero() {
            return;
        }
        let wait = quota.reset.min(LONGEST_RESET);
        if self.refusals.is_none() && self.counts {
            self.refusals = self.first_refusals(&quota, ended + wait, served);
            self.refusals_rule = self.refusals.is_some();
        }
        if let Some(refusals) = self.refusals.as_mut().filter(|_| self.refusals_rule) {
            refusals.used_up(started, ended, wait);
        }
    }

    /// What a host teaches that has not refused yet and says that its quota is used up until then. None: a rate that is
    /// found by itself does better.
    fn first_refusals(&self, quota: &Quota, until: Instant, served: Option<u32>) -> Option<Refusals> {
        let began = self.window_began?;
        let told = quota.limit.map(|limit| limit as u32);
        let count = served.map(|served| served + 1).into_iter().chain(told).min()?;
        let is_slow =
            f64::from(count) < SLOW_PER_S * until.saturating_duration_since(began.went).as_secs_f64();
        let is_auto = self.pace.as_ref().is_some_and(Pace::is_auto);
        (is_slow || !is_auto).then(|| Refusals::new(Some(count), began))
    }
}
