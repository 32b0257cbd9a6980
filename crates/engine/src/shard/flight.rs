//! A request on its way through one shard. Its course, which is what happened to it so far, is changed in this file
//! only.

mod record;

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::AUTHORIZATION;

use super::local_job::LocalJob;
use crate::exchange::{Audience, Follow, Partial, describes_body};
use crate::job::{JobState, Kept, Load};
use crate::outcome::{AttemptEnd, AttemptRecord, Exchange, Hop, Outcome};
use crate::politeness::HostId;
use crate::pool::OriginId;
use crate::request::{Request, basic};
use crate::timings::WallClock;

/// What happened to a request before its current attempt. Most have none.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Attempts that ended, redirects not counted.
    pub(super) earlier: Vec<AttemptRecord>,
    /// Redirects followed in the current attempt, and their bytes as sent and received.
    pub(super) hops: Vec<Hop>,
    pub(super) exchanges: Vec<Exchange>,
    /// To whom the hops have led: the caller's headers stay behind.
    audience: Audience,
    /// How often it was sent again because a kept-alive connection was closed; these are not attempts.
    resent: u32,
    /// The room that its body needs before it is sent again.
    room: u64,
    /// Attempts that cost patience alone, and when the first of them was refused.
    patient: u32,
    pub(super) first_refused: Option<Instant>,
    /// The wait before the present attempt, in microseconds.
    pub(super) wait_us: u64,
    /// The request before any redirect, for the next attempt and the row.
    pub(super) asked: Option<Box<Request>>,
    /// How the attempt before ended: what the row says if there is no other attempt.
    last: Option<Box<Outcome>>,
    /// The beginning of its body, from an attempt that was cut.
    partial: RefCell<Option<Box<Partial>>>,
    /// It does not ask for the rest of a body: its server sends something else.
    asks_for_all: bool,
    /// It fetches a robots.txt for an origin of some shard, and does not end as a row.
    robots: Option<Errand>,
}

/// The shard and the origin that wait for a robots.txt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) shard: usize,
    pub(super) origin: OriginId,
    /// To whom redirects had led the request that waits first.
    pub(super) audience: Audience,
}

/// What can go to another shard.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) job: Arc<JobState>,
    pub(super) request: Request,
    arrived: Instant,
    course: Option<Box<Course>>,
    counted: Option<NonZeroU32>,
    retrying: bool,
    noted: bool,
}

impl Transfer {
    /// The request, arrived at the shard of its host.
    pub(super) fn into_flight(self, job: Rc<LocalJob>, host: HostId, origin: OriginId) -> Flight {
        let Self { request, arrived, course, counted, retrying, noted, .. } = self;
        let retrying = retrying && job.state.begin_retry_wait();
        let flight = Flight::new(job, request, host, origin, Instant::now());
        Flight { arrived, course, counted, retrying, noted: Cell::new(noted), ..flight }
    }
}

/// A request on its way.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states of one thing
pub(super) struct Flight {
    pub(super) job: Rc<LocalJob>,
    pub(super) request: Request,
    pub(super) host: HostId,
    pub(super) origin: OriginId,
    /// The origin, or the way to it through a proxy: where its connections are.
    pub(super) route: OriginId,
    /// When it came to the engine.
    pub(super) arrived: Instant,
    /// When it came to its current queue.
    pub(super) queued: Instant,
    course: Option<Box<Course>>,
    /// It counts as waiting in its job's look-ahead, with so many bytes.
    counted: Option<NonZeroU32>,
    /// It counts among those that wait for another attempt.
    retrying: bool,
    /// It counts among those that wait for a host that is down.
    suspended: bool,
    /// It is sent as the probe of a host that is down.
    probes: bool,
    /// It is in the ledger of its job.
    noted: Cell<bool>,
}

impl Course {
    /// A refused request waits for its host: how long that was is known when it went again.
    pub(super) fn settle_wait(&mut self, outcome: &Outcome) {
        if let Some(last) = self.last.as_ref().filter(|last| last.end == AttemptEnd::Refused) {
            self.wait_us = outcome.started.saturating_duration_since(last.ended()).as_micros() as u64;
        }
    }
}

impl Flight {
    /// A request that has just come to the queue of its host.
    pub(super) fn new(
        job: Rc<LocalJob>,
        request: Request,
        host: HostId,
        origin: OriginId,
        now: Instant,
    ) -> Self {
        Self {
            job,
            host,
            origin,
            route: origin,
            arrived: now,
            queued: now,
            course: None,
            counted: NonZeroU32::new(request.bytes_waiting()),
            request,
            retrying: false,
            suspended: false,
            probes: false,
            noted: Cell::new(false),
        }
    }

    /// A request that the engine sends for itself, so that `other` can continue. It does not end as a row.
    pub(super) fn on_errand(other: &Self, request: Request, errand: Errand) -> Self {
        let course = Course { robots: Some(errand), ..Course::default() };
        Self {
            arrived: other.arrived,
            counted: None,
            course: Some(Box::new(course)),
            ..Self::new(Rc::clone(&other.job), request, other.host, other.origin, Instant::now())
        }
    }

    /// Whether it was never sent.
    pub(super) fn is_fresh(&self) -> bool {
        let was_sent =
            |course: &Course| course.asked.is_some() || course.last.is_some() || course.robots.is_some();
        !self.course.as_deref().is_some_and(was_sent)
    }

    /// The number of the current attempt, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.course.as_ref().map_or(1, |course| course.earlier.len() as u32 + 1)
    }

    /// The number of the present attempt among those that count against `retries`, from 1: refusals do not.
    pub(super) fn counted_attempt(&self) -> u32 {
        self.attempt() - self.course.as_ref().map_or(0, |course| course.patient)
    }

    /// When the request was first refused.
    pub(super) fn first_refused(&self) -> Option<Instant> {
        self.course.as_ref().and_then(|course| course.first_refused)
    }

    /// On whose behalf it asks for a robots.txt, if it does.
    pub(super) fn errand(&self) -> Option<Errand> {
        self.course.as_ref().and_then(|course| course.robots)
    }

    /// Whether it fetches the robots.txt of an origin of a shard.
    pub(super) fn is_scout_of(&self, shard: usize, origin: OriginId) -> bool {
        self.errand().is_some_and(|errand| (errand.shard, errand.origin) == (shard, origin))
    }

    /// Redirects followed in the current attempt.
    pub(super) fn hops(&self) -> u32 {
        self.course.as_ref().map_or(0, |course| course.hops.len() as u32)
    }

    /// To whom redirects have led it. On the way back to the origin that the caller named, it stays what it was: who sends
    /// it there chooses what it asks for.
    pub(super) fn audience(&self) -> Audience {
        let Some(course) = &self.course else { return Audience::Asked };
        course.audience.max(course.robots.map_or(Audience::Asked, |errand| errand.audience))
    }

    /// How often it was sent again in the current attempt.
    pub(super) fn resent(&self) -> u32 {
        self.course.as_ref().map_or(0, |course| course.resent)
    }

    /// Counts that it is sent again, which is not an attempt of its own.
    pub(super) fn count_resend(&mut self) {
        self.course.get_or_insert_default().resent += 1;
    }

    /// The room that its body needs before it is sent.
    pub(super) fn room(&self) -> u64 {
        self.course.as_ref().map_or(0, |course| course.room)
    }

    /// It is sent again when its body has so much room.
    pub(super) fn set_room(&mut self, bytes: u64) {
        self.course.get_or_insert_default().room = bytes;
    }

    /// Takes out the beginning of its body.
    pub(super) fn take_partial(&self) -> Option<Box<Partial>> {
        self.course.as_ref()?.partial.take()
    }

    /// Keeps the beginning of its body for another attempt, if there is memory for it.
    pub(super) fn keep_partial(&mut self, mut partial: Box<Partial>) {
        let bytes = partial.wanted_bytes();
        if bytes > 0 {
            let Some(kept) = Kept::new(&self.job.state, bytes) else { return };
            partial.keep(kept);
        }
        self.course.get_or_insert_default().partial.replace(Some(partial));
    }

    /// From now on it asks for the whole body, whatever is cut.
    pub(super) fn ask_for_all(&mut self) {
        let course = self.course.get_or_insert_default();
        (course.asks_for_all, course.partial) = (true, RefCell::default());
    }

    /// Whether it asks for the whole body, whatever is cut.
    pub(super) fn asks_for_all(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.asks_for_all)
    }

    /// Whether there was an attempt before the current one.
    pub(super) fn was_tried(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.last.is_some())
    }

    /// Whether it may be set aside while its host is down. An errand may not: rows of other hosts wait for it, which do
    /// not count as waiting for a host that is down.
    pub(super) fn may_be_suspended(&self) -> bool {
        self.errand().is_none()
    }

    /// Whether it counts among those that wait for a host that is down.
    pub(super) fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// How many rows it ends as.
    pub(super) fn rows(&self) -> u64 {
        1 + self.asked().copies().len() as u64
    }

    /// Its host is down, or is up again.
    pub(super) fn set_suspended(&mut self, suspended: bool) {
        if suspended != std::mem::replace(&mut self.suspended, suspended) {
            let count = if suspended { JobState::suspend } else { JobState::unsuspend };
            count(&self.job.state, self.rows());
        }
    }

    /// Whether it may not start yet: its consumer is too far behind, and needs other rows first.
    pub(super) fn must_wait(&self) -> bool {
        self.job.state.must_wait() && !self.job.state.awaits(self.asked().index)
    }

    /// It is sent as a probe, and counts as such from when it has its permits until it gives them back.
    pub(super) fn set_probe(&mut self) {
        self.probes = true;
    }

    /// It has got its permits.
    pub(super) fn began(&self) {
        self.job.state.started();
        if self.probes {
            self.job.state.probe_began(self.rows());
        }
    }

    /// It has given them back.
    pub(super) fn ended(&mut self) {
        if std::mem::take(&mut self.probes) {
            self.job.state.probe_ended(self.rows());
        }
        self.job.state.ended();
    }

    /// It no longer waits for anything.
    pub(super) fn leave(&mut self) {
        if let Some(bytes) = self.counted.take() {
            self.job.state.left_queue(Load::of_one(bytes.get()));
        }
        if std::mem::take(&mut self.retrying) {
            self.job.state.end_retry_wait();
        }
        self.set_suspended(false);
    }

    /// The request as the caller made it, before any redirect.
    pub(super) fn asked(&self) -> &Request {
        self.course.as_ref().and_then(|course| course.asked.as_deref()).unwrap_or(&self.request)
    }

    /// From now on it counts among those that wait for another attempt. False: too many do already.
    pub(super) fn begin_retry_wait(&mut self) -> bool {
        self.retrying = self.job.state.begin_retry_wait();
        self.retrying
    }

    /// Whether it counts among those that wait for another attempt.
    pub(super) fn is_retrying(&self) -> bool {
        self.retrying
    }

    /// Takes out what happened to it, for its row.
    pub(super) fn take_course(&mut self) -> Course {
        self.course.take().map(|course| *course).unwrap_or_default()
    }

    /// Takes out how the attempt before ended: there will be no other.
    pub(super) fn take_last(&mut self) -> Option<Outcome> {
        let course = self.course.as_mut()?;
        let outcome = course.last.take()?;
        course.wait_us = course.earlier.pop().map_or(0, |record| record.wait_us);
        Some(*outcome)
    }

    /// From now on it is sent without conditions: the server does not tell by them whether something has changed.
    pub(super) fn drop_conditions(&mut self) {
        let asked = self.course.as_mut().and_then(|course| course.asked.as_deref_mut());
        for request in asked.into_iter().chain([&mut self.request]) {
            if let Some(spec) = &mut request.spec {
                spec.conditions = None;
            }
        }
    }

    /// Turns the request into the next one of its chain of redirects.
    pub(super) fn take_hop(&mut self, follow: Follow, outcome: &mut Outcome, wall: &WallClock) {
        let status = outcome.received.as_ref().map_or(0, |received| received.status);
        let before = self.request.clone();
        let exchange = outcome.take_exchange(before.target.as_str(), wall.micros_at(outcome.started));
        let course = self.course.get_or_insert_default();
        course.exchanges.extend(exchange);
        course.hops.push(Hop { url: before.target.as_str().into(), status });
        course.audience = course.audience.max(follow.audience);
        let mut request = Request { target: follow.target, ..before.clone() };
        course.asked.get_or_insert_with(|| Box::new(before));
        if let Some(spec) = &mut request.spec {
            spec.asked = None;
            if follow.method_becomes_get {
                spec.method = Method::GET;
                spec.body = None;
                spec.headers.retain(|(name, _)| !describes_body(name));
            }
        }
        if let Some(value) = follow.userinfo.and_then(|(user, password)| basic(&user, &password)) {
            let spec = request.spec.get_or_insert_default();
            spec.headers.retain(|(name, _)| name != AUTHORIZATION);
            spec.headers.push((AUTHORIZATION, value));
        }
        self.request = request;
    }

    /// Records an attempt that is not the last, and sets the request back to the one before any redirect.
    pub(super) fn take_attempt(&mut self, outcome: Outcome, wait: Duration, wall: &WallClock) {
        self.settle_record(&outcome);
        let mut before = self.take_course();
        before.settle_wait(&outcome);
        if let Some(asked) = before.asked {
            self.request = *asked;
        }
        let mut earlier = before.earlier;
        earlier.push(outcome.record(before.wait_us, wall));
        let wait_us = wait.as_micros() as u64;
        let last = Some(Box::new(outcome));
        let Course { patient, first_refused, partial, asks_for_all, robots, .. } = before;
        let so_far = Course { earlier, patient, first_refused, wait_us, last, ..Course::default() };
        let course = Course { partial, asks_for_all, robots, ..so_far };
        self.course = Some(Box::new(course));
    }

    /// Notes an attempt that was refused. The request stays what it is: redirects that led here were answered. Returns how
    /// often it was refused so far.
    pub(super) fn take_refusal(&mut self, outcome: Outcome, wall: &WallClock) -> u32 {
        self.settle_record(&outcome);
        let course = self.course.get_or_insert_default();
        course.settle_wait(&outcome);
        course.earlier.push(outcome.record(course.wait_us, wall));
        course.patient += 1;
        course.first_refused.get_or_insert_with(|| outcome.ended());
        course.last = Some(Box::new(outcome));
        let times = course.patient;
        self.wait_again();
        times
    }

    /// It waits in a queue again: as long as it does, so much less is taken in.
    pub(super) fn wait_again(&mut self) {
        let bytes = self.request.bytes_waiting();
        self.job.state.return_to_queue(Load::of_one(bytes));
        self.counted = NonZeroU32::new(bytes);
    }

    pub(super) fn into_transfer(mut self) -> Transfer {
        let retrying = self.retrying;
        // One that was not sent yet goes on waiting, only elsewhere.
        let counted = self.counted.take();
        self.leave();
        Transfer {
            job: Arc::clone(&self.job.state),
            request: self.request,
            arrived: self.arrived,
            course: self.course,
            counted,
            retrying,
            noted: self.noted.get(),
        }
    }
}
