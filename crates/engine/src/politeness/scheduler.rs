//! Which request starts next: per-host queues and slots, and a ring of the hosts that are ready.
//!
//! A host is in exactly one state, which follows from its slot:
//! EMPTY (nothing queued), SATURATED (queued, every permit taken), READY (queued and a permit free; then, and only
//! then, it has a place in the ring) or WAITING (as READY, but its rate, a `Retry-After` or its circuit says: not
//! before that instant). Every operation is O(1) amortised, or O(log of the hosts that wait) where an instant is
//! involved: nothing ever scans hosts.

mod down;
mod forget;
mod slow;
mod told;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::aimd::Aimd;
use super::circuit::{Change, ProbeWaits, Streak};
use super::note::{Note, Noted};
use super::pace::Pace;
use super::slot::{Place, Retried, Slot};
use crate::paged::Paged;
use crate::timers::Timers;

/// How many requests the holder of a permit may take in a row while other hosts wait. High enough to make use of a
/// warm connection, low enough that a long queue does not starve the others.
const QUANTUM: u32 = 16;

/// A host known to a scheduler, or a group of hosts that share their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostId(u32);

impl HostId {
    /// No host.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
}

/// The queues and slots of one shard's hosts. Only the shard's own thread touches it.
pub(crate) struct Scheduler<T> {
    slots: Paged<Slot<T>>,
    ring: VecDeque<HostId>,
    second_ring: VecDeque<HostId>,
    third_ring: VecDeque<HostId>,
    /// Permits are scarce: the third ring has to wait.
    is_sparing: bool,
    /// Hosts that wait, each with the instant it waits for: one that woke earlier leaves its entry behind.
    waiting: Timers<(HostId, Instant)>,
    waiting_count: usize,
    /// Those of them that wait because they refused.
    refusing_count: usize,
    /// Those that did once, some of them for the last time.
    refusing: Vec<HostId>,
    /// Hosts with something set apart: retries that wait for their budget, requests of origins that are down.
    chores: Timers<(HostId, Instant)>,
    /// Origins that are down.
    down: Vec<(HostId, u32)>,
    /// Failures in a row, by the origin's number.
    streaks: Vec<Streak>,
    waits: ProbeWaits,
    started: Instant,
    in_flight: usize,
}

impl<T> Scheduler<T> {
    pub(crate) fn new(waits: ProbeWaits) -> Self {
        Self {
            slots: Paged::new(),
            ring: VecDeque::new(),
            second_ring: VecDeque::new(),
            third_ring: VecDeque::new(),
            is_sparing: false,
            waiting: Timers::new(),
            waiting_count: 0,
            refusing_count: 0,
            refusing: Vec::new(),
            chores: Timers::new(),
            down: Vec::new(),
            streaks: Vec::new(),
            waits,
            started: Instant::now(),
            in_flight: 0,
        }
    }

    /// Adds a host that may have `limit` requests in flight.
    pub(crate) fn add_host(&mut self, limit: u32) -> HostId {
        HostId(u32::try_from(self.slots.push(Slot::new(limit))).unwrap_or(u32::MAX))
    }

    /// From now on requests to the host keep this pace.
    pub(crate) fn set_pace(&mut self, host: HostId, pace: Pace) {
        if let Some(slot) = self.slot_mut(host) {
            slot.throttle_or_default().pace = Some(pace);
        }
    }

    /// From now on the host's limit adapts.
    pub(crate) fn set_aimd(&mut self, host: HostId, aimd: Aimd) {
        if let Some(slot) = self.slot_mut(host) {
            slot.throttle_or_default().aimd = Some(aimd);
        }
    }

    /// From now on two requests to the host are at least `delay` apart, whatever the other limits; the first is sent
    /// `now`. Of several delays, for several origins or agents, the longest counts.
    pub(crate) fn set_crawl_delay(&mut self, host: HostId, delay: Duration, now: Instant) {
        if let Some(throttle) = self.slot_mut(host).map(Slot::throttle_or_default)
            && throttle.crawl_delay.as_ref().is_none_or(|(longest, _)| delay > *longest)
        {
            let mut pace = Pace::every(delay);
            pace.take(now);
            throttle.crawl_delay = Some((delay, pace));
        }
    }

    /// Requests waiting, all hosts.
    #[cfg(test)]
    fn queued(&mut self) -> usize {
        self.slots.iter_mut().map(|slot| slot.queue.len()).sum()
    }

    /// Permits taken, all hosts.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether some host is ready for a request.
    pub(crate) fn has_ready(&self) -> bool {
        let others = self.gives_to_strangers() && !self.third_ring.is_empty();
        !self.ring.is_empty() || !self.second_ring.is_empty() || others
    }

    /// How many hosts wait for an instant.
    pub(crate) fn waiting_hosts(&self) -> usize {
        self.waiting_count
    }

    /// How many of them wait because they refused.
    pub(crate) fn refusing_hosts(&self) -> usize {
        self.refusing_count
    }

    /// Whether the host's answers are worth a look at what they grant.
    pub(crate) fn learns(&self, host: HostId) -> bool {
        let Some(slot) = self.slot(host) else { return false };
        slot.throttle().is_some_and(|throttle| {
            throttle.refusals().is_some() || throttle.pace.as_ref().is_some_and(Pace::is_auto)
        }) || (slot.is_stranger() && !slot.queue.is_empty())
    }

    /// Whether an origin of the host is down, as far as is known.
    pub(crate) fn is_down(&self, host: HostId, origin: u32) -> bool {
        self.slot(host).is_some_and(|slot| slot.is_down(origin))
    }

    /// Whether an origin of the host has responded with errors only: another attempt is pointless.
    pub(crate) fn is_resigned(&self, host: HostId, origin: u32) -> bool {
        self.slot(host).and_then(Slot::throttle).is_some_and(|throttle| throttle.is_resigned(origin))
    }

    /// Queues a request: before those of its host that have a lower priority. O(1) for priority 0.
    pub(crate) fn push(&mut self, host: HostId, item: T, priority: i32) {
        if let Some(slot) = self.slot_mut(host) {
            slot.queue.push(item, priority);
        }
        self.refresh(host);
    }

    /// Queues a request that is already on its way (a redirect) before those that are not. O(1).
    pub(crate) fn push_front(&mut self, host: HostId, item: T) {
        if let Some(slot) = self.slot_mut(host) {
            slot.queue.push_front(item);
        }
        self.refresh(host);
    }

    /// Queues a request that was tried before, as soon as the host's budget allows. `attempt` is the one to come.
    pub(crate) fn push_retry(&mut self, host: HostId, item: T, priority: i32, attempt: u32, now: Instant) {
        let since_start = now.saturating_duration_since(self.started);
        let Some(slot) = self.slot_mut(host) else { return };
        if let Retried::Held(until) = slot.retry(item, priority, attempt, since_start) {
            self.schedule_chore(host, self.started + until);
        }
        self.refresh(host);
    }

    /// Queues a request for an origin that is down.
    pub(crate) fn push_suspended(&mut self, host: HostId, origin: u32, item: T, priority: i32) {
        if let Some(slot) = self.slot_mut(host) {
            slot.push_suspended(origin, item, priority);
        }
        self.schedule_probes(host, None);
        self.refresh(host);
    }

    /// Sets apart the requests that `which` gives a priority: they are for an origin that is down. O(queue).
    pub(crate) fn suspend(&mut self, host: HostId, origin: u32, which: impl FnMut(&T) -> Option<i32>) {
        if let Some(slot) = self.slot_mut(host) {
            slot.suspend(origin, which);
        }
        self.schedule_probes(host, None);
    }

    /// Takes the next request of the next ready host, and with it one of the host's permits. O(1) amortised.
    pub(crate) fn start(&mut self, now: Instant) -> Option<(HostId, T)> {
        while let Some(host) = self.next_in_turn() {
            let Some(slot) = self.slots.get_mut(host.0 as usize) else { continue };
            slot.place = Place::None;
            if !slot.wants() {
                continue;
            }
            if let Some(until) = slot.next(now) {
                let throttle = slot.throttle_or_default();
                throttle.wakes_at = Some(until);
                throttle.waits_as_refusing = throttle.is_refusing(now);
                if throttle.waits_as_refusing {
                    self.refusing_count += 1;
                    self.refusing.push(host);
                }
                self.waiting.add(until, (host, until));
                self.waiting_count += 1;
                continue;
            }
            let Some(item) = slot.start(now) else { continue };
            self.in_flight += 1;
            self.refresh(host);
            return Some((host, item));
        }
        None
    }

    /// The last request taken for the host was not sent after all; its permit is still taken. `probed`: the origin that
    /// it was to probe, if it was a probe; the next probe may follow at once.
    pub(crate) fn give_back(&mut self, host: HostId, probed: Option<u32>, now: Instant) {
        let Some(throttle) = self.slot_mut(host).and_then(Slot::throttle_mut) else { return };
        throttle.give_back();
        if let Some(outage) = probed.and_then(|origin| throttle.outage(origin)) {
            let _ = outage.abandon_probe();
            self.schedule_probes(host, Some(now));
            self.refresh(host);
        }
    }

    /// The holder of a permit asks for its host's next request and keeps the permit. `streak` is how many it took in
    /// a row. None: nothing may start, or it is another host's turn; then the holder calls `finish`. O(1).
    pub(crate) fn next_of(
        &mut self,
        host: HostId,
        streak: u32,
        others_wait: bool,
        now: impl FnOnce() -> Instant,
    ) -> Option<T> {
        let contended = others_wait || self.ring.iter().take(2).any(|&other| other != host);
        if contended && streak >= QUANTUM {
            return None;
        }
        let slot = self.slot_mut(host)?;
        let next = slot.go_on(now)?;
        if slot.is_stranger() {
            // One answer lets two go.
            self.refresh(host);
        }
        Some(next)
    }

    /// Gives a permit back. Returns retries that are pointless now. O(1).
    pub(crate) fn finish(&mut self, host: HostId) -> Vec<T> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let (mut hopeless, mut is_abandoned) = (Vec::new(), false);
        if let Some(slot) = self.slot_mut(host) {
            is_abandoned = slot.finish();
            hopeless = slot.take_hopeless();
        }
        if is_abandoned {
            self.schedule_probes(host, None);
        }
        self.refresh(host);
        hopeless
    }

    /// Notes a good answer to a first attempt, if nothing holds the host back: there is nothing else to learn from it.
    /// False: nothing is noted, it is to be learned from. O(1).
    pub(crate) fn note_usual(&mut self, host: HostId, origin: u32) -> bool {
        let is_usual = |slot: &&mut Slot<T>| slot.has_answered && slot.throttle().is_none();
        let slot = self.slots.get_mut(host.0 as usize).filter(is_usual);
        let (Some(slot), Some(streak)) = (slot, self.streaks.get_mut(origin as usize)) else { return false };
        slot.note_usual(streak);
        true
    }

    /// Learns from the end of an attempt. O(1), or O(hosts that are down) when one comes back.
    pub(crate) fn note(&mut self, host: HostId, origin: u32, note: &Note<'_>) -> Noted {
        let waits = self.waits;
        let nothing = Noted { change: Change::Nothing, refused: None, rate_per_s: None };
        let Some(slot) = self.slots.get_mut(host.0 as usize) else { return nothing };
        if self.streaks.len() <= origin as usize {
            self.streaks.resize(origin as usize + 1, Streak::default());
        }
        let Some(streak) = self.streaks.get_mut(origin as usize) else { return nothing };
        let had_answered = slot.has_answered;
        streak.begin(note.started.saturating_duration_since(self.started));
        let noted = slot.note(origin, note, waits, streak);
        let change = noted.change;
        if slot.throttle().is_none() {
            if !had_answered {
                // From now on it may have all that its limits allow.
                self.refresh(host);
            }
            return noted;
        }
        match change {
            Change::Opened => self.opened(host, origin),
            Change::Closed => self.down.retain(|&other| other != (host, origin)),
            Change::ProbeFailed => self.schedule_probes(host, None),
            Change::Nothing => {}
        }
        self.release_held(host, note.ended);
        self.heed_answer(host, note.ended);
        noted
    }

    /// Nothing is sent to the host before `until`.
    pub(crate) fn park(&mut self, host: HostId, until: Instant) {
        if let Some(slot) = self.slot_mut(host) {
            slot.throttle_or_default().park(until);
        }
    }

    /// The next instant at which `wake_due` has something to do.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.waiting.next_due().into_iter().chain(self.chores.next_due()).min()
    }

    /// Puts the hosts whose instant has come into the ring again. O(log of the hosts that wait), each.
    pub(crate) fn wake_due(&mut self, now: Instant) {
        while let Some((host, until)) = self.waiting.pop_due(now) {
            if self.slot(host).is_some_and(|slot| slot.wakes_at() == Some(until)) {
                self.wake(host);
            }
        }
        while let Some((host, at)) = self.chores.pop_due(now) {
            let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
            if throttle.is_some_and(|throttle| throttle.chore_at.take_if(|due| *due == at).is_some()) {
                self.release_held(host, now);
                self.schedule_probes(host, Some(now));
                self.refresh(host);
            }
        }
    }

    /// All requests that wait for the host.
    pub(crate) fn waiting_for(&mut self, host: HostId) -> impl Iterator<Item = &mut T> {
        self.slot_mut(host).into_iter().flat_map(Slot::waiting_mut)
    }

    /// Takes out what `which` picks, in all hosts. O(hosts and what waits for them).
    pub(crate) fn take_everywhere(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        self.slots.iter_mut().flat_map(|slot| slot.take_where(&mut which)).collect()
    }

    /// Takes out what `which` picks of what waits for a host. O(what waits for it).
    pub(crate) fn take_from(&mut self, host: HostId, which: impl FnMut(&T) -> bool) -> Vec<T> {
        self.slot_mut(host).map(|slot| slot.take_where(which)).unwrap_or_default()
    }

    fn slot(&self, host: HostId) -> Option<&Slot<T>> {
        self.slots.get(host.0 as usize)
    }

    fn slot_mut(&mut self, host: HostId) -> Option<&mut Slot<T>> {
        self.slots.get_mut(host.0 as usize)
    }

    /// The host no longer waits for its instant; its entry stays in the heap without effect.
    fn wake(&mut self, host: HostId) {
        let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
        if let Some(throttle) = throttle
            && throttle.wakes_at.take().is_some()
        {
            let was_refusing = std::mem::take(&mut throttle.waits_as_refusing);
            self.waiting_count = self.waiting_count.saturating_sub(1);
            self.refusing_count = self.refusing_count.saturating_sub(usize::from(was_refusing));
        }
        self.refresh(host);
    }

    fn release_held(&mut self, host: HostId, now: Instant) {
        let since_start = now.saturating_duration_since(self.started);
        if let Some(until) = self.slot_mut(host).and_then(|slot| slot.release_held(since_start)) {
            self.schedule_chore(host, self.started + until);
        }
    }

    /// Checks what a host has set apart at `at`, or earlier.
    fn schedule_chore(&mut self, host: HostId, at: Instant) {
        let throttle = self.slot_mut(host).and_then(Slot::throttle_mut);
        if let Some(throttle) = throttle.filter(|throttle| throttle.chore_at.is_none_or(|due| at < due)) {
            throttle.chore_at = Some(at);
            self.chores.add(at, (host, at));
        }
    }

    /// The next host of the first ring, or else of the second, or of the third.
    fn next_in_turn(&mut self) -> Option<HostId> {
        if let Some(host) = self.ring.pop_front() {
            return Some(host);
        }
        while let Some(host) = self.second_ring.pop_front() {
            let Some(slot) = self.slots.get_mut(host.0 as usize) else { continue };
            slot.is_named_second = false;
            if slot.place == Place::Second {
                return Some(host);
            }
        }
        while self.gives_to_strangers()
            && let Some(host) = self.third_ring.pop_front()
        {
            let Some(slot) = self.slots.get_mut(host.0 as usize) else { continue };
            slot.is_named_third = false;
            if slot.place == Place::Third {
                return Some(host);
            }
        }
        None
    }

    /// Puts a host that became ready at the end of its ring. Whether it has to wait is decided at its turn.
    fn refresh(&mut self, host: HostId) {
        let Some(slot) = self.slots.get_mut(host.0 as usize) else { return };
        if slot.place == Place::First || slot.wakes_at().is_some() || !slot.wants() {
            return;
        }
        slot.place = slot.due_place();
        match slot.place {
            Place::First => self.ring.push_back(host),
            Place::Third if !std::mem::replace(&mut slot.is_named_third, true) => {
                self.third_ring.push_back(host);
            }
            Place::Second if !std::mem::replace(&mut slot.is_named_second, true) => {
                self.second_ring.push_back(host);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::options::{Rate, RateLimit};
    use crate::politeness::advice::block;
    use crate::politeness::{Signal, quotas};

    const WAITS: ProbeWaits =
        ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };

    fn scheduler<T>() -> Scheduler<T> {
        Scheduler::new(WAITS)
    }

    fn per_second(count: u32) -> Pace {
        let rate = Rate { count, per: Duration::from_secs(1), burst: 1 };
        Pace::new(RateLimit::Fixed(rate), Instant::now()).unwrap()
    }

    fn note(signal: Signal, at: Instant) -> Note<'static> {
        Note {
            signal,
            has_served: false,
            is_retry: false,
            started: at,
            ended: at,
            retry_after: None,
            backoff: Duration::from_millis(500),
            quotas: None,
        }
    }

    /// Starts everything that may start at `now`, and ends it at once with `signal`.
    fn play(scheduler: &mut Scheduler<char>, now: Instant, signal: Signal) -> String {
        scheduler.wake_due(now);
        let mut started = String::new();
        while let Some((host, item)) = scheduler.start(now) {
            started.push(item);
            if scheduler.note(host, 0, &note(signal, now)).change == Change::Opened {
                scheduler.suspend(host, 0, |_| Some(0));
            }
            scheduler.finish(host);
        }
        started
    }

    /// What is known of hosts and origins.
    fn known(scheduler: &Scheduler<char>) -> String {
        format!("{:?} {:?}", scheduler.slots, scheduler.streaks)
    }

    #[test]
    fn a_usual_answer_is_noted_as_every_good_answer_of_a_host_that_nothing_holds_back() {
        let now = Instant::now();
        let [mut one, mut other] = [(); 2].map(|()| {
            let mut scheduler = scheduler();
            let host = scheduler.add_host(10);
            for signal in [Signal::Served, Signal::Unavailable, Signal::Down, Signal::Unavailable] {
                scheduler.push(host, 'a', 0);
                play(&mut scheduler, now, signal);
            }
            scheduler
        });
        let (host, before) = (HostId(0), known(&one));
        one.note(host, 0, &note(Signal::Served, now));
        assert!(other.note_usual(host, 0));
        assert_eq!(known(&one), known(&other));
        assert_ne!(known(&one), before);
    }

    #[test]
    fn a_host_that_tells_of_its_quota_is_a_usual_one_once_it_is_no_stranger() {
        let now = Instant::now();
        let told = |lines: &[(&str, &str)]| quotas(&block(lines), SystemTime::UNIX_EPOCH);
        let plenty = told(&[("x-ratelimit-remaining", "5000"), ("x-ratelimit-reset", "60")]);
        let at_once = told(&[("ratelimit-policy", "\"c\";q=2;qu=\"concurrent-requests\"")]);
        for (quotas, is_usual) in [(plenty, true), (at_once, false)] {
            let mut scheduler = scheduler();
            let host = scheduler.add_host(5);
            (0..12).for_each(|_| scheduler.push(host, 'a', 0));
            scheduler.start(now).unwrap();
            for _ in 1..12 {
                scheduler.start(now).unwrap();
                scheduler.note(host, 0, &Note { quotas: Some(&quotas), ..note(Signal::Served, now) });
                scheduler.finish(host);
            }
            assert_eq!(scheduler.note_usual(host, 0), is_usual, "{quotas:?}");
        }
    }

    #[test]
    fn a_late_refusal_tells_when_its_window_began_only_if_it_went_with_the_first_crowd() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let period_after = |served| {
            let mut scheduler = scheduler();
            let host = scheduler.add_host(10);
            (0..=served + 1).for_each(|_| scheduler.push(host, 'a', 0));
            for _ in 0..served {
                scheduler.start(start).unwrap();
                scheduler.note(host, 0, &note(Signal::Served, start));
                scheduler.finish(host);
            }
            scheduler.start(at(250)).unwrap();
            let retry_after = Some(Duration::from_secs(1));
            let refusal = Note { ended: at(450), retry_after, ..note(Signal::Throttled, at(250)) };
            scheduler.note(host, 0, &refusal);
            scheduler.finish(host);
            scheduler.wake_due(at(1_460));
            scheduler.start(at(1_460)).unwrap();
            let rate_per_s = scheduler.note(host, 0, &note(Signal::Served, at(1_460))).rate_per_s.unwrap();
            (f64::from(served) / rate_per_s * 1_000.0).round()
        };
        assert_eq!((period_after(5), period_after(60)), (1_010.0, 1_210.0));
    }

    #[test]
    fn an_answer_is_not_usual_when_the_host_is_held_back_or_the_origin_new() {
        let mut scheduler = scheduler();
        let (host, now) = (scheduler.add_host(10), Instant::now());
        let before = known(&scheduler);
        assert!(!scheduler.note_usual(host, 0));
        assert_eq!(known(&scheduler), before);
        scheduler.note(host, 0, &note(Signal::Throttled, now));
        let before = known(&scheduler);
        assert!(!scheduler.note_usual(host, 0));
        assert_eq!(known(&scheduler), before);
    }

    #[test]
    fn a_host_with_a_rate_waits_and_holds_up_nobody() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let (a, b) = (scheduler.add_host(10), scheduler.add_host(10));
        scheduler.set_pace(a, per_second(10));
        "aaaa".chars().for_each(|item| scheduler.push(a, item, 0));
        "bbbb".chars().for_each(|item| scheduler.push(b, item, 0));
        assert_eq!(play(&mut scheduler, start, Signal::Served), "abbbb");
        assert_eq!((scheduler.waiting_hosts(), scheduler.has_ready()), (1, false));
        let wake = scheduler.next_wake().unwrap();
        assert!(wake > start && wake <= start + Duration::from_millis(100));
        assert_eq!(play(&mut scheduler, wake, Signal::Served), "a");
        assert_eq!(play(&mut scheduler, start + Duration::from_millis(210), Signal::Served), "a");
        assert_eq!(play(&mut scheduler, start + Duration::from_millis(310), Signal::Served), "a");
        assert_eq!((scheduler.waiting_hosts(), scheduler.queued()), (0, 0));
    }

    #[test]
    fn the_holder_of_a_permit_keeps_to_the_rate_too() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(1);
        scheduler.set_pace(a, per_second(10));
        "aa".chars().for_each(|item| scheduler.push(a, item, 0));
        scheduler.start(start).unwrap();
        assert_eq!(scheduler.next_of(a, 1, false, || start), None);
        assert_eq!(scheduler.next_of(a, 1, false, || start + Duration::from_millis(100)), Some('a'));
    }

    #[test]
    fn a_parked_host_waits_for_its_instant_alone() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let (a, b) = (scheduler.add_host(10), scheduler.add_host(10));
        scheduler.park(a, start + Duration::from_secs(2));
        "aa".chars().for_each(|item| scheduler.push(a, item, 0));
        scheduler.push(b, 'b', 0);
        assert_eq!(play(&mut scheduler, start, Signal::Served), "b");
        assert_eq!(scheduler.next_wake(), Some(start + Duration::from_secs(2)));
        assert_eq!(play(&mut scheduler, start + Duration::from_secs(1), Signal::Served), "");
        assert_eq!(play(&mut scheduler, start + Duration::from_secs(2), Signal::Served), "aa");
    }

    #[test]
    fn a_host_that_wants_more_than_all_patience_refuses_beyond_any_instant() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(10);
        "ab".chars().for_each(|item| scheduler.push(a, item, 0));
        assert_eq!(play(&mut scheduler, start, Signal::Throttled), "a");
        let (soon, late) = (start + Duration::from_millis(1), start + Duration::from_secs(3600));
        assert_eq!((scheduler.refusing_beyond(soon), scheduler.refusing_beyond(late)), (vec![a], vec![]));
        scheduler.set_wants_more(a);
        assert_eq!(scheduler.refusing_beyond(late), [a]);
    }

    #[test]
    fn an_origin_that_is_down_is_probed_from_all_over_its_queue() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(100);
        ('a'..='z').for_each(|item| scheduler.push(a, item, 0));
        assert_eq!(play(&mut scheduler, start, Signal::Down), "abcdefghij");
        assert!(scheduler.is_down(a, 0) && !scheduler.is_down(a, 1));
        assert_eq!(play(&mut scheduler, start + Duration::from_millis(499), Signal::Down), "");
        assert_eq!(play(&mut scheduler, start + Duration::from_millis(500), Signal::Down), "k");
        assert_eq!(play(&mut scheduler, start + Duration::from_millis(1499), Signal::Down), "");
        assert_eq!(scheduler.given_up(1, 2, Instant::now(), Instant::now()), [(a, 0, false)]);
        assert_eq!(scheduler.given_up(2, 2, Instant::now(), Instant::now()), []);
        // Another port of the same host is not affected.
        scheduler.push(a, 'A', 0);
        assert_eq!(scheduler.start(start), Some((a, 'A')));
        scheduler.note(a, 1, &note(Signal::Served, start));
        scheduler.finish(a);
        assert!(scheduler.is_down(a, 0));
        let well = play(&mut scheduler, start + Duration::from_millis(1500), Signal::Served);
        assert!(well.starts_with('s'), "{well}: from the middle");
        assert_eq!(well.len(), 15);
        assert_eq!(
            (scheduler.is_down(a, 0), scheduler.origins_down(), scheduler.waiting_hosts()),
            (false, 0, 0)
        );
    }

    #[test]
    fn while_a_probe_is_out_no_other_goes_and_one_that_vanished_makes_room() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(100);
        ('a'..='m').for_each(|item| scheduler.push(a, item, 0));
        play(&mut scheduler, start, Signal::Down);
        let later = start + Duration::from_secs(1);
        scheduler.wake_due(later);
        assert_eq!(scheduler.start(later), Some((a, 'k')));
        scheduler.wake_due(later + Duration::from_secs(100));
        assert_eq!(scheduler.start(later), None);
        // It is cancelled with its job, while a request to another port of the host waits for its turn.
        scheduler.push(a, 'A', 0);
        scheduler.finish(a);
        scheduler.wake_due(later);
        let next = [scheduler.start(later), scheduler.start(later)];
        assert_eq!(next.map(|started| started.map(|(_, item)| item)), [Some('m'), Some('A')]);
    }

    #[test]
    fn trouble_in_a_row_is_counted_for_each_origin_and_so_is_giving_up() {
        let (mut scheduler, start) = (scheduler::<char>(), Instant::now());
        let a = scheduler.add_host(100);
        let mut ends = |origin, signal| scheduler.note(a, origin, &note(signal, start)).change;
        // Ten of a host's origins fail once each: none is down.
        assert!((1..=10).all(|origin| ends(origin, Signal::Unavailable) == Change::Nothing));
        // One fails again and again, while another answers in between.
        let changes: Vec<_> =
            (0..9).map(|_| (ends(1, Signal::Unavailable), ends(11, Signal::Served))).collect();
        let (last, before) = changes.split_last().unwrap();
        assert!(before.iter().all(|change| change.0 == Change::Nothing));
        assert_eq!(last.0, Change::Opened);
        assert!(scheduler.is_down(a, 1) && !scheduler.is_down(a, 2));
        scheduler.give_up(a, 1, |_| true);
        assert!(scheduler.is_resigned(a, 1) && !scheduler.is_resigned(a, 2));
        scheduler.note(a, 2, &note(Signal::Served, start));
        assert!(scheduler.is_resigned(a, 1), "that the other serves says nothing about it");
    }

    #[test]
    fn what_waits_for_a_silent_origin_is_given_up_and_for_one_with_errors_asked_once() {
        for (signal, is_silent) in [(Signal::Down, true), (Signal::Unavailable, false)] {
            let (mut scheduler, start) = (scheduler(), Instant::now());
            let a = scheduler.add_host(100);
            ('a'..='z').for_each(|item| scheduler.push(a, item, 0));
            play(&mut scheduler, start, signal);
            let (taken, silent) = scheduler.give_up(a, 0, |_| true);
            assert_eq!((taken.len(), silent, scheduler.is_resigned(a, 0)), (16, is_silent, !is_silent));
            assert_eq!(scheduler.is_down(a, 0), is_silent);
            if !is_silent {
                for item in taken {
                    scheduler.push(a, item, 0);
                }
                assert_eq!(play(&mut scheduler, start, signal).len(), 16, "and no circuit opens again");
                scheduler.push(a, 'A', 0);
                play(&mut scheduler, start, Signal::Served);
                assert!(!scheduler.is_resigned(a, 0));
            }
        }
    }

    #[test]
    fn retries_wait_for_the_budget_and_answers_set_them_free() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(100);
        ('a'..='n').for_each(|item| scheduler.push_retry(a, item, 0, 2, start));
        assert_eq!(scheduler.queued(), 10, "the floor of the budget");
        // Those ten are served, and that earns one more.
        assert_eq!(play(&mut scheduler, start, Signal::Served).len(), 11);
        let wake = scheduler.next_wake().unwrap();
        assert!(wake <= start + Duration::from_millis(100));
        assert_eq!(play(&mut scheduler, wake, Signal::Served).len(), 1);
        assert_eq!(play(&mut scheduler, wake + Duration::from_millis(200), Signal::Served).len(), 2);
        assert_eq!(scheduler.next_wake(), None);
    }

    #[test]
    fn retries_that_never_help_are_handed_back() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(1);
        (0..200).for_each(|item| scheduler.push_retry(a, item, 0, 2, start));
        let (mut now, mut hopeless, mut tried) = (start, Vec::new(), 0);
        while hopeless.is_empty() && tried < 200 {
            while let Some((host, _)) = scheduler.start(now) {
                tried += 1;
                scheduler.note(host, 0, &Note { is_retry: true, ..note(Signal::Answered, now) });
                hopeless.extend(scheduler.finish(host));
            }
            now += Duration::from_millis(100);
            scheduler.wake_due(now);
        }
        assert_eq!((tried, hopeless.len()), (100, 100));
    }

    #[test]
    fn one_that_helps_gives_hope() {
        let (mut scheduler, now) = (scheduler(), Instant::now());
        let a = scheduler.add_host(1);
        (0..20).for_each(|item| scheduler.push_retry(a, item, 0, 2, now));
        // Retries come before first attempts.
        scheduler.push_retry(a, 99, 0, 3, now);
        (0..10).for_each(|_| {
            scheduler.start(now);
            scheduler.finish(a);
        });
        scheduler.wake_due(now + Duration::from_millis(150));
        assert_eq!(scheduler.start(now), Some((a, 99)));
    }

    #[test]
    fn what_is_picked_leaves_every_place_where_it_may_wait() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let (a, b) = (scheduler.add_host(1), scheduler.add_host(1));
        ('a'..='n').for_each(|item| scheduler.push_retry(a, item, 0, 2, start));
        scheduler.push(b, 'b', 3);
        assert_eq!(scheduler.waiting_for(a).count(), 14);
        let mut taken = scheduler.take_everywhere(|&item| "bn".contains(item));
        taken.sort_unstable();
        assert_eq!(taken, ['b', 'b', 'n']);
    }

    #[test]
    fn a_limit_that_moves_is_kept_by_those_in_flight() {
        let (mut scheduler, start) = (scheduler(), Instant::now());
        let a = scheduler.add_host(4);
        scheduler.set_aimd(a, Aimd::new(4, 100));
        (0..100).for_each(|item| scheduler.push(a, item, 0));
        let started = std::iter::from_fn(|| scheduler.start(start)).count();
        assert_eq!(started, 4);
        scheduler.note(a, 0, &note(Signal::Served, start));
        assert!(scheduler.next_of(a, 1, false, || start).is_some());
        assert!(scheduler.start(start).is_some(), "one more: the fifth");
        scheduler.note(a, 0, &note(Signal::Throttled, start));
        assert_eq!(scheduler.next_of(a, 1, false, || start), None);
    }

    #[test]
    fn hosts_whose_requests_do_not_end_come_second() {
        let (mut scheduler, now) = (scheduler(), Instant::now());
        let (a, b) = (scheduler.add_host(10), scheduler.add_host(10));
        (0..10).for_each(|_| scheduler.push(a, 'a', 0));
        (0..10).for_each(|_| scheduler.push(b, 'b', 0));
        let starts = |scheduler: &mut Scheduler<char>, count| -> String {
            std::iter::from_fn(|| scheduler.start(now)).take(count).map(|(_, item)| item).collect()
        };
        assert_eq!(starts(&mut scheduler, 2), "ab");
        let ends = |scheduler: &mut Scheduler<char>, host| {
            scheduler.note(host, 0, &note(Signal::Served, now));
            scheduler.finish(host);
        };
        // One of b ends: b may have more before a, which does not respond.
        ends(&mut scheduler, b);
        assert_eq!(starts(&mut scheduler, 3), "bbb");
        ends(&mut scheduler, a);
        assert_eq!(starts(&mut scheduler, 3), "aab");
        // If nobody else wants a permit, all are used.
        assert_eq!(starts(&mut scheduler, 20).len(), 12);
        assert_eq!((scheduler.queued(), scheduler.in_flight(), scheduler.has_ready()), (0, 18, false));
    }

    #[test]
    fn a_host_that_has_not_answered_gets_one_permit_while_they_are_scarce() {
        let (mut scheduler, now) = (scheduler(), Instant::now());
        let hosts: Vec<_> = "abcdef".chars().map(|name| (name, scheduler.add_host(4))).collect();
        for &(name, host) in &hosts {
            (0..5).for_each(|_| scheduler.push(host, name, 0));
        }
        let (a, b) = (hosts[0].1, hosts[1].1);
        let starts = |scheduler: &mut Scheduler<char>| -> String {
            std::iter::from_fn(|| scheduler.start(now)).map(|(_, item)| item).collect()
        };
        scheduler.set_sparing(true);
        assert_eq!((starts(&mut scheduler).as_str(), scheduler.has_ready()), ("abcdef", false));
        scheduler.note(a, 0, &note(Signal::Down, now));
        scheduler.note(b, 0, &note(Signal::Declined, now));
        assert_eq!(starts(&mut scheduler), "bbb", "one answer, and it has all that its limits allow");
        scheduler.finish(a);
        assert_eq!(starts(&mut scheduler), "a", "one at a time");
        scheduler.set_sparing(false);
        assert!(scheduler.has_ready());
        assert_eq!(starts(&mut scheduler).len(), 5 * 3);
    }

    #[test]
    fn a_few_hosts_that_have_not_answered_get_all_that_their_limits_allow() {
        let (mut scheduler, now) = (scheduler(), Instant::now());
        let a = scheduler.add_host(4);
        "aaaaa".chars().for_each(|item| scheduler.push(a, item, 0));
        scheduler.set_sparing(true);
        assert_eq!(std::iter::from_fn(|| scheduler.start(now)).count(), 4);
    }

    #[test]
    fn ready_hosts_take_turns() {
        let mut scheduler = scheduler();
        let (a, b) = (scheduler.add_host(10), scheduler.add_host(10));
        for n in 0..3 {
            scheduler.push(a, ('a', n), 0);
        }
        for n in 0..3 {
            scheduler.push(b, ('b', n), 0);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| scheduler.start(Instant::now())).map(|(_, item)| item).collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('a', 1), ('b', 1), ('a', 2), ('b', 2)]);
    }

    #[test]
    fn a_saturated_host_waits_and_holds_up_nobody() {
        let mut scheduler = scheduler();
        let (a, b) = (scheduler.add_host(1), scheduler.add_host(1));
        scheduler.push(a, 1, 0);
        scheduler.push(a, 2, 0);
        scheduler.push(b, 3, 0);
        assert_eq!(scheduler.start(Instant::now()), Some((a, 1)));
        assert_eq!(scheduler.start(Instant::now()), Some((b, 3)));
        assert_eq!(scheduler.start(Instant::now()), None);
        scheduler.finish(a);
        assert_eq!(scheduler.start(Instant::now()), Some((a, 2)));
    }

    #[test]
    fn a_holder_keeps_its_permit_until_the_queue_is_empty() {
        let mut scheduler = scheduler();
        let a = scheduler.add_host(1);
        for n in 0..100 {
            scheduler.push(a, n, 0);
        }
        assert_eq!(scheduler.start(Instant::now()), Some((a, 0)));
        for n in 1..100 {
            assert_eq!(scheduler.next_of(a, n, false, Instant::now), Some(n));
        }
        assert_eq!(scheduler.next_of(a, 100, false, Instant::now), None);
        scheduler.finish(a);
        assert_eq!((scheduler.queued(), scheduler.in_flight()), (0, 0));
    }

    #[test]
    fn a_holder_yields_after_its_quantum_when_others_wait() {
        let mut scheduler = scheduler();
        let (a, b) = (scheduler.add_host(1), scheduler.add_host(1));
        for n in 0..100 {
            scheduler.push(a, n, 0);
        }
        scheduler.start(Instant::now()).unwrap();
        scheduler.push(b, 1000, 0);
        assert!(scheduler.next_of(a, QUANTUM - 1, false, Instant::now).is_some());
        assert_eq!(scheduler.next_of(a, QUANTUM, false, Instant::now), None);
        scheduler.finish(a);
        assert_eq!(scheduler.start(Instant::now()), Some((b, 1000)));
        assert!(scheduler.next_of(a, QUANTUM, true, Instant::now).is_none());
    }

    #[test]
    fn no_host_ever_exceeds_its_limit_in_any_order_of_calls() {
        // A deterministic walk over all operations with a model beside it.
        let mut seed = 42_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut scheduler = scheduler();
        let limits = [1, 2, 3, 10];
        let hosts: Vec<_> = limits.iter().map(|&limit| scheduler.add_host(limit)).collect();
        let mut in_flight = [0_u32; 4];
        let (mut pushed, mut taken) = (0, 0);
        for _ in 0..100_000 {
            let which = random(4);
            match random(4) {
                0 => {
                    scheduler.push(hosts[which], which, 0);
                    pushed += 1;
                }
                1 => {
                    if let Some((_, item)) = scheduler.start(Instant::now()) {
                        in_flight[item] += 1;
                        taken += 1;
                    }
                }
                2 if in_flight[which] > 0 => {
                    if let Some(item) =
                        scheduler.next_of(hosts[which], random(32) as u32, false, Instant::now)
                    {
                        assert_eq!(item, which);
                        taken += 1;
                    }
                }
                _ if in_flight[which] > 0 => {
                    scheduler.finish(hosts[which]);
                    in_flight[which] -= 1;
                }
                _ => {}
            }
            for (count, limit) in in_flight.iter().zip(limits) {
                assert!(*count <= limit);
            }
            assert_eq!(scheduler.queued(), pushed - taken);
        }
        // Drain: nothing is left outside the ring.
        loop {
            while let Some((_, item)) = scheduler.start(Instant::now()) {
                in_flight[item] += 1;
            }
            let Some(busy) = in_flight.iter().position(|&count| count > 0) else { break };
            scheduler.finish(hosts[busy]);
            in_flight[busy] -= 1;
        }
        assert_eq!((scheduler.queued(), scheduler.in_flight()), (0, 0));
    }
}
