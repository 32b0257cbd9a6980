//! Requests that only wait lend their permits to others: a slow host holds nobody up.
//!
//! What waits for the first byte of its response for much longer than the others do, or for a body of which next to
//! nothing comes, needs a connection and no more. So it goes on without a permit, still within the limits of its host.
//! How long the others wait is measured as the run goes. A host that has waited so long once begins without a permit
//! until an answer of it comes in time. At most `LOANS_PER_PERMIT` requests for each permit go on in this way, and no
//! more than the descriptors of the process allow.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::{Message, Shard};
use crate::clock::PhaseClock;
use crate::connect::Descriptors;
use crate::options::{Concurrency, Options};
use crate::outcome::Outcome;
use crate::politeness::HostId;
use crate::timings::Timings;

/// A request that waits so many times as long as the others do only waits.
const PATIENCE: f64 = 4.0;
/// However fast the others are.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
/// While no host has answered, this part of the time for an attempt.
const BLIND_PART: u32 = 10;
/// And at most this long.
const MOST_BLIND: Duration = Duration::from_secs(3);
/// A new answer moves what is typical by this part of the difference.
const WEIGHT: f64 = 1.0 / 16.0;
/// One slow answer moves it no further than one so many times as slow as usual.
const OUTLIER: f64 = 4.0;

/// Idle connections per shard, unless `concurrency` allows more, or the descriptors fewer.
const MIN_IDLE: usize = 512;
/// Requests that may go on without a permit, for each permit.
const LOANS_PER_PERMIT: u32 = 4;

/// How many requests may go on without a permit.
pub(crate) fn most_loans(options: &Options, descriptors: Descriptors) -> u32 {
    let permits = first_limit(options, descriptors);
    descriptors.in_flight.saturating_sub(permits).min(permits.saturating_mul(LOANS_PER_PERMIT))
}

/// How many connections of each of the `shards` may be idle, so that those in use do not lack descriptors.
pub(crate) fn most_idle(options: &Options, descriptors: Descriptors, shards: usize) -> usize {
    let in_use = first_limit(options, descriptors).saturating_add(most_loans(options, descriptors));
    let spare = descriptors.idle.saturating_add(descriptors.in_flight.saturating_sub(in_use) as usize);
    super::most_in_flight(options).max(MIN_IDLE).min(spare / shards.max(1))
}

fn first_limit(options: &Options, descriptors: Descriptors) -> u32 {
    match options.concurrency {
        Concurrency::Fixed(limit) => limit.min(descriptors.in_flight),
        Concurrency::Auto => super::Capacity::new(descriptors.in_flight).limit(),
    }
}

/// How long requests usually wait for their first byte, connecting included.
#[derive(Debug, Default)]
pub(super) struct Waits {
    typical_us: Cell<Option<f64>>,
}

impl Waits {
    /// An answer came. Returns how long it was awaited.
    pub(super) fn note(&self, timings: &Timings) -> Duration {
        let phases = [timings.dns, timings.connect, timings.tls, timings.first_byte];
        let waited = phases.into_iter().flatten().sum::<Duration>();
        let waited_us = waited.as_micros() as f64;
        let typical_us = self.typical_us.get().unwrap_or(waited_us);
        let step = waited_us.min(OUTLIER * typical_us.max(1.0)) - typical_us;
        self.typical_us.set(Some(typical_us + WEIGHT * step));
        waited
    }

    /// What has waited for longer than this only waits. `attempt`: the time that an attempt has.
    pub(super) fn patience(&self, attempt: Option<Duration>) -> Duration {
        match self.typical_us.get() {
            Some(typical_us) => Duration::from_secs_f64(PATIENCE * typical_us / 1e6).max(LEAST_PATIENCE),
            None => {
                attempt.map_or(MOST_BLIND, |attempt| (attempt / BLIND_PART).clamp(LEAST_PATIENCE, MOST_BLIND))
            }
        }
    }
}

/// What a worker is doing, as the shard sees it.
pub(super) struct Post {
    /// The job it works for now.
    pub(super) job: Cell<Option<u64>>,
    /// The host whose permit it holds.
    pub(super) host: Cell<HostId>,
    /// Its request goes on without a permit of the engine.
    pub(super) lent: Cell<bool>,
    pub(super) clock: Rc<PhaseClock>,
}

impl Post {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            job: Cell::new(None),
            host: Cell::new(HostId::UNKNOWN),
            lent: Cell::new(false),
            clock: Rc::new(PhaseClock::new()),
        })
    }
}

/// The running workers of a shard, by their numbers.
#[derive(Default)]
pub(super) struct Workers {
    running: RefCell<HashMap<u64, (Rc<Post>, AbortHandle)>>,
    next: Cell<u64>,
}

impl Workers {
    /// A number for the next worker.
    pub(super) fn number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    pub(super) fn add(&self, number: u64, post: Rc<Post>, abort: AbortHandle) {
        self.running.borrow_mut().insert(number, (post, abort));
    }

    /// Removes a worker that has ended.
    pub(super) fn remove(&self, number: u64) {
        self.running.borrow_mut().remove(&number);
    }

    /// Ends those that work for a job.
    pub(super) fn abort(&self, job: u64) {
        for (post, abort) in self.running.borrow().values() {
            if post.job.get() == Some(job) {
                abort.abort();
            }
        }
    }

    /// Those that hold a permit and only wait. O(workers).
    fn that_wait(&self, patience: Duration) -> Vec<Rc<Post>> {
        let now = Instant::now();
        let running = self.running.borrow();
        let waits = |post: &&Rc<Post>| {
            post.job.get().is_some() && !post.lent.get() && post.clock.only_waits(patience, now)
        };
        running.values().map(|(post, _)| post).filter(waits).map(Rc::clone).collect()
    }
}

impl Shard {
    /// What only waits lends its permits, if there are requests to other hosts that need them; or if nothing is in flight
    /// but such requests, and they keep hosts that have not answered from more.
    pub(super) fn lend_permits(self: &Rc<Self>) {
        let permits = &self.core.permits;
        let others_wait = permits.others_wait(self.at);
        let is_wanted = permits.are_exhausted() && (others_wait || self.scheduler.borrow().has_ready());
        let keeps_strangers = !permits.are_plenty() && self.scheduler.borrow().has_strangers();
        if !is_wanted && !keeps_strangers {
            return;
        }
        for post in self.workers.that_wait(self.patience()) {
            if !keeps_strangers && !others_wait && !self.scheduler.borrow().has_ready_besides(post.host.get())
            {
                continue;
            }
            if !self.may_lend() {
                break;
            }
            post.lent.set(true);
            self.scheduler.borrow_mut().set_slow(post.host.get(), true);
            self.give_permit_back();
        }
        self.pump();
    }

    /// An answer shows how long it takes to get one, and whether its host still makes requests wait.
    pub(super) fn learn_of_wait(&self, host: HostId, outcome: &Outcome) {
        if outcome.failure.is_some() {
            return;
        }
        let waited = self.waits.note(&outcome.timings);
        let mut scheduler = self.scheduler.borrow_mut();
        if scheduler.is_slow(host) && waited <= self.patience() {
            scheduler.set_slow(host, false);
        }
    }

    /// What has waited for longer than this for its answer only waits.
    pub(super) fn patience(&self) -> Duration {
        self.waits.patience(self.core.options.timeout.total)
    }

    /// Whether a request to this host begins without a permit, which the caller has to give back.
    pub(super) fn begins_on_loan(&self, host: HostId) -> bool {
        let is_wanted = {
            let scheduler = self.scheduler.borrow();
            scheduler.is_slow(host) && scheduler.has_ready_besides(host)
        };
        is_wanted && !self.core.permits.are_plenty() && self.may_lend()
    }

    /// Counts one more request that goes on without a permit, which the caller has to give back. False: too many do.
    fn may_lend(&self) -> bool {
        self.core.permits.lend(self.core.most_loans)
    }

    /// A request that went on without a permit needs one for its next: False: there is none.
    pub(super) fn take_permit_again(&self) -> bool {
        let taken = self.core.permits.try_take();
        if taken {
            self.core.permits.end_loan();
        }
        taken
    }

    pub(super) fn give_permit_back(&self) {
        if let Some(other) = self.core.permits.give_back(self.at) {
            self.core.tell(other, Message::Permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn after(connect: u64, first_byte: u64) -> Timings {
        Timings { connect: Some(ms(connect)), first_byte: Some(ms(first_byte)), ..Timings::default() }
    }

    #[test]
    fn patience_follows_what_is_typical_and_no_single_answer() {
        let waits = Waits::default();
        assert_eq!(waits.patience(Some(ms(3000))), ms(300));
        assert_eq!(waits.patience(Some(ms(500))), LEAST_PATIENCE);
        assert_eq!(waits.patience(None), MOST_BLIND);
        let answers = |count: u32, answer: Timings| (0..count).map(|_| waits.note(&answer)).max();
        answers(10, after(50, 150));
        assert_eq!(waits.patience(None), ms(800));
        answers(1, after(0, 60_000));
        assert!(waits.patience(None) < ms(1000));
        answers(100, after(0, 1000));
        assert!(waits.patience(None) > ms(3900));
        answers(200, after(0, 1));
        assert_eq!(waits.patience(None), LEAST_PATIENCE);
    }

    #[test]
    fn loans_are_bounded_by_permits_and_by_descriptors() {
        let options = Options::default();
        let of = |in_flight, idle| Descriptors { in_flight, idle };
        assert_eq!(most_loans(&options, of(100_000, 30_000)), 1024);
        assert_eq!(most_loans(&options, of(300, 100)), 44);
        assert_eq!(most_loans(&options, of(75, 25)), 0);
        let idle = |in_flight, idle| most_idle(&options, of(in_flight, idle), 2);
        assert_eq!((idle(u32::MAX, usize::MAX), idle(300, 100), idle(75, 25)), (MIN_IDLE, 50, 12));
        assert_eq!(idle(1400, 100), 110, "what no request needs may be idle");
    }
}
