//! The main loop: a connection takes its host's next request, sends it, decides what its end means, and takes the
//! next. When nothing is left it becomes idle, and ends when that takes too long.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Shard;
use super::attempt::{Attempted, Ends, timed_out};
use super::dial::{Line, dial};
use super::flight::Flight;
use super::learn::Learned;
use super::loans::Post;
use super::ports;
use super::seat::Seat;
use crate::alarm::Alarm;
use crate::clock::PhaseClock;
use crate::exchange::{
    Accepted, Asking, BodyRules, Channel, Exchanged, Partial, Reached, Redirect, contradicts_itself,
    exchange, next_hop,
};
use crate::job::{Claim, Keeps};
use crate::options::{OnOversize, is_idempotent};
use crate::outcome::{AttemptEnd, Outcome, Via};
use crate::politeness::ROBOTS_BYTES;
use crate::pool::{H1, IDLE, Idle, Leave, OriginId, Protocol};
use crate::random;
use crate::retry::{self, Attempt, Ended};

/// A kept-alive connection and the place where it waits.
struct Held {
    connection: H1,
    origin: OriginId,
    /// Created when it first waits.
    idle: Option<Rc<Idle<Seat>>>,
}

struct Worker {
    shard: Rc<Shard>,
    id: u64,
    /// What it is doing, visible to the shard.
    post: Rc<Post>,
    alarm: Alarm,
    held: Option<Held>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(idle) = self.held.as_ref().and_then(|held| held.idle.as_ref()) {
            self.shard.origins.borrow_mut().leave(idle);
            // Work that came too late: dropping its seat ends it properly.
            drop(idle.take_work());
        }
        self.shard.workers.remove(self.id);
    }
}

/// Serves requests, the one in `seat` first, until its connection is closed and nothing is left to do.
///
/// # Cancel safety
/// May be dropped at any time, also before it is first polled.
pub(super) fn run(shard: Rc<Shard>, id: u64, post: Rc<Post>, seat: Seat) -> impl Future<Output = ()> {
    let mut worker = Worker { shard, id, post, alarm: Alarm::new(), held: None };
    async move {
        let mut next = Some(seat);
        while let Some(seat) = next {
            worker.serve(seat).await;
            worker.post.job.set(None);
            next = worker.wait_for_work().await;
        }
    }
}

/// What the end of an attempt means.
enum Verdict {
    /// The same seat sends it again at once.
    Again(Flight),
    /// It is in another queue now.
    Moved,
    /// It has ended, or waits for a retry.
    Gone,
}

impl Worker {
    async fn serve(&mut self, mut seat: Seat) {
        let mut streak = 0;
        // It has waited for a local port, and looks for one.
        let mut looks = false;
        seat.sit(&self.post);
        while let Some(flight) = seat.flight() {
            if self.held.as_ref().is_some_and(|held| held.origin != flight.route) {
                // The host's next request is for another origin: a connection to that one has to take it.
                seat.stand();
                return self.shard.dispatch(seat);
            }
            self.post.job.set(Some(flight.job.state.id));
            let origin = flight.route;
            if !looks && self.held.is_none() && self.shard.origins.borrow().lines.has(origin) {
                let Some(back) = self.wait_in_line(seat, false).await else { return };
                (seat, looks) = (back, true);
                continue;
            }
            let mut verdict = Verdict::Gone;
            if !flight.job.state.is_cancelled() && flight.is_on_record().await {
                let attempted = self.attempt(flight).await;
                if attempted.lacks_port() && self.has_own_lines(flight) && self.shard.has_time(flight) {
                    if looks {
                        self.shard.ask_for_a_port();
                    } else {
                        self.shard.learn_of_lack(attempted.clock.started());
                    }
                    let Some(back) = self.wait_in_line(seat, looks).await else { return };
                    (seat, looks) = (back, true);
                    continue;
                }
                if attempted.lacks_local_means() && self.shard.has_time(flight) {
                    // It keeps its permits meanwhile: with fewer requests in flight there will be descriptors.
                    // An idle connection that makes room shows that it is not the requests that are too many.
                    let leave = if attempted.lacks_port() { Leave::AtOnce } else { Leave::InOrder };
                    if !self.shard.origins.borrow_mut().evict_one(leave) {
                        self.shard.learn_of_lack(attempted.clock.started());
                    }
                    let lack = self.shard.lack();
                    tokio::time::sleep(ports::LOCAL_WAIT).await;
                    drop(lack);
                    continue;
                }
                let Some(flight) = seat.take() else { return };
                verdict = self.conclude(flight, attempted);
            }
            if let Verdict::Again(flight) = verdict {
                seat.put(flight);
                continue;
            }
            drop(seat.take());
            looks = false;
            if self.held.is_none() {
                // Its port may be free now.
                self.shard.origins.borrow().lines.call(origin);
            }
            streak += 1;
            // Those in line have waited longer than those in the queue of the host.
            if !self.is_awaited()
                && seat.has_permit()
                && let Some(flight) = self.shard.next_of(seat.host(), streak)
            {
                seat.put(flight);
            }
            if matches!(verdict, Verdict::Moved) || self.shard.has_room() {
                // Only now: a request that moved within the host has just been taken by this seat.
                self.shard.pump();
            }
        }
    }

    /// Waits for a connection of the request's origin to become free. None: one has taken it.
    async fn wait_in_line(&mut self, mut seat: Seat, first: bool) -> Option<Seat> {
        let origin = seat.flight()?.route;
        seat.stand();
        // While it looked for a port, a connection may have become idle.
        let seat = self.shard.origins.borrow_mut().assign(origin, seat)?;
        let mut back = ports::wait_in_line(&self.shard, &mut self.alarm, seat, origin, first).await?;
        back.sit(&self.post);
        Some(back)
    }

    /// Whether its connection is one that requests wait for.
    fn is_awaited(&self) -> bool {
        self.held.as_ref().is_some_and(|held| self.shard.origins.borrow().lines.has(held.origin))
    }

    /// Whether the connections of a request are not shared: then it can have one that another has left.
    fn has_own_lines(&self, flight: &Flight) -> bool {
        self.shard.protocol(flight.route) == Some(Protocol::Http1)
    }

    /// Sends the request once, within its limits.
    async fn attempt(&mut self, flight: &Flight) -> Attempted {
        let shard = Rc::clone(&self.shard);
        let options = &shard.core.options;
        let own = flight.request.spec.as_ref().and_then(|spec| spec.timeout);
        let ends = Ends { deadline: shard.deadline(flight), expiry: flight.job.state.expires };
        let clock = Rc::clone(&self.post.clock);
        clock.start(own.unwrap_or(options.timeout), flight.queued, ends.first());
        let via = Cell::new(Via::default());
        let partial = Cell::new(flight.take_partial());
        let held = self.held.take().filter(|held| held.connection.takes(flight.request.method()));
        let ended = {
            let mut work = pin!(once(&shard, flight, held, &clock, &via, &partial));
            poll_fn(|cx| {
                if let Poll::Ready(ended) = work.as_mut().poll(cx) {
                    return Poll::Ready(Ok(ended));
                }
                self.alarm.poll(cx, clock.limit()).map(Err)
            })
            .await
        };
        clock.halt();
        let exchanged = match ended {
            Ok((exchanged, held)) => {
                self.held = held;
                exchanged
            }
            Err(()) => Exchanged::failed(timed_out(&clock, ends)),
        };
        Attempted { exchanged, via: via.get(), clock, partial: partial.take() }
    }

    /// Decides what the end of an attempt means, and does it.
    fn conclude(&self, mut flight: Flight, mut attempted: Attempted) -> Verdict {
        let shard = &self.shard;
        // Given back at the end, when the row counts the body.
        let _claim = std::mem::take(&mut attempted.exchanged.claim);
        if let Some(partial) = attempted.partial.take() {
            flight.keep_partial(partial);
        }
        match attempted.exchanged.reached {
            Reached::Disk => return Verdict::Gone,
            Reached::NoRest => flight.ask_for_all(),
            _ => {}
        }
        if attempted.is_free_to_resend(&flight) {
            flight.count_resend();
            if let Reached::Paused(bytes) = attempted.exchanged.reached {
                flight.set_room(bytes);
            }
            return Verdict::Again(flight);
        }
        if attempted.is_for_http1(&flight) && shard.leaves_http2(&flight) {
            flight.count_resend();
            return Verdict::Again(flight);
        }
        if attempted.is_not_connected() && shard.leaves_address(&flight) {
            if flight.is_scout_of(shard.at, flight.origin) {
                // The requests that wait for it have moved, and fetch it from the other address.
                flight.leave();
                return Verdict::Gone;
            }
            flight.count_resend();
            flight.wait_again();
            shard.forward(flight);
            return Verdict::Moved;
        }
        if shard.leaves_proxy(&mut flight, &attempted) {
            return Verdict::Again(flight);
        }
        let mut outcome = attempted.outcome();
        if outcome.end == AttemptEnd::Unsent && flight.hops() > 0 && !is_idempotent(flight.asked().method()) {
            // What led here has reached a server: it must not begin again.
            outcome.end = AttemptEnd::Unknown;
        }
        let Learned { wait, gives_up } = shard.learn(&flight, &mut outcome);
        if contradicts_itself(&flight.request, &outcome) {
            flight.drop_conditions();
            flight.wait_again();
            shard.forward(flight);
            return Verdict::Moved;
        }
        match next_hop(&flight.request, flight.hops(), &outcome, &shard.hop_rules(&flight)) {
            Redirect::Follow(follow) => {
                // The least time before the next request. Source: RFC 9110, section 10.2.3.
                let wait = wait.map(|wait| wait.min(shard.core.options.retries.max_retry_after));
                outcome.failure = wait.and_then(|wait| shard.ends_before(&flight, wait));
                if outcome.failure.is_none() {
                    flight.take_hop(follow, &mut outcome, &shard.core.wall);
                    if let Some(wait) = wait {
                        shard.time.retry_at(Instant::now() + wait, flight);
                        return Verdict::Gone;
                    }
                    shard.forward(flight);
                    return Verdict::Moved;
                }
            }
            Redirect::Fail(failure) => outcome.failure = Some(failure),
            Redirect::None => {}
        }
        let retries = next_wait(shard, &flight, &outcome, wait);
        let refusing = gives_up.then_some(flight.host);
        match retries {
            Some(_) if shard.has_patience_for(&outcome) => shard.requeue_refused(flight, outcome),
            Some(wait) => shard.retry(flight, outcome, wait),
            None => shard.land(flight, outcome),
        }
        if let Some(host) = refusing {
            shard.give_up_refusing(host);
        }
        Verdict::Gone
    }

    /// Waits among the idle connections of its origin. None: the connection is gone.
    async fn wait_for_work(&mut self) -> Option<Seat> {
        let held = self.held.as_mut().filter(|held| held.connection.is_open())?;
        let awaiting = self.shard.origins.borrow_mut().lines.next(held.origin);
        if awaiting.is_some() {
            return awaiting;
        }
        let idle = held.idle.get_or_insert_with(|| Idle::new(held.origin));
        self.shard.origins.borrow_mut().wait(idle);
        let limit = Some(Instant::now() + IDLE);
        let (connection, alarm) = (&mut held.connection, &mut self.alarm);
        let work = poll_fn(|cx| {
            idle.register(cx.waker());
            if let Some(seat) = idle.take_work() {
                return Poll::Ready(Some(seat));
            }
            let evicted = idle.evicted();
            if evicted == Some(Leave::AtOnce) {
                connection.leave_at_once();
            }
            if evicted.is_some() || !connection.poll_idle(cx) || alarm.poll(cx, limit).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await;
        if work.is_none() {
            self.shard.origins.borrow_mut().leave(idle);
        }
        work
    }
}

/// The content codings that are undone for a request. An errand reads what it gets.
fn accepted(shard: &Shard, flight: &Flight) -> Accepted {
    if flight.errand().is_some() {
        return Accepted::ALL;
    }
    let own = flight.request.spec.as_ref().and_then(|spec| spec.decode_content);
    let decodes = own.unwrap_or(shard.core.options.decode_content);
    if decodes { shard.core.heads.accepted(&flight.request) } else { Accepted::NONE }
}

/// Whether the rest of a body that is cut may be asked for.
fn may_resume(shard: &Shard, flight: &Flight) -> bool {
    let is_whole = !flight.job.state.keeps.exchanges && !shard.core.heads.asks_for_part(&flight.request);
    is_whole && flight.errand().is_none() && !flight.asks_for_all()
}

/// Room for the body of a request whose peer was made to wait for too long before. The time that this waits is not the
/// peer's.
async fn room_for(flight: &Flight, clock: &PhaseClock) -> Claim {
    let mut claim = Claim::default();
    if flight.room() > 0 {
        let job = flight.job.gate.job();
        let stopped = clock.stop(job.expires);
        flight.job.gate.passed().await;
        claim.grow(job, flight.asked().index, 0, flight.room()).await;
        clock.resume(stopped, job.expires);
    }
    claim
}

/// Finds a connection and sends the request on it. Returns the connection if it can be used again.
async fn once(
    shard: &Rc<Shard>,
    flight: &Flight,
    held: Option<Held>,
    clock: &PhaseClock,
    via: &Cell<Via>,
    partial: &Cell<Option<Box<Partial>>>,
) -> (Exchanged, Option<Held>) {
    let claim = Cell::new(room_for(flight, clock).await);
    let (line, idle) = match held {
        Some(held) => (Line::Http1(held.connection), held.idle),
        None => match dial(shard, flight, clock).await {
            Ok(line) => {
                // Where one port was free there may be another.
                shard.origins.borrow().lines.call(flight.route);
                (line, None)
            }
            Err(failure) => return (Exchanged::unsent(failure), None),
        },
    };
    let options = &shard.core.options;
    let is_errand = flight.errand().is_some();
    let rules = BodyRules {
        max_bytes: if is_errand { ROBOTS_BYTES } else { options.max_body_size },
        on_oversize: if is_errand { OnOversize::Truncate } else { options.on_oversize },
        strict: options.strict,
        follow_redirects: shard.hop_rules(flight).max.is_some(),
        keeps: if is_errand { Keeps::default() } else { flight.job.state.keeps },
        gate: &flight.job.gate,
        accepted: accepted(shard, flight),
        unread: if matches!(line, Line::Http2(_)) { u64::from(shard.core.h2_window) } else { 0 },
        index: flight.asked().index,
        claim,
        decoder: &shard.decoder,
        folder: flight.job.state.folder.as_ref().filter(|_| !is_errand),
        partial: may_resume(shard, flight).then_some(partial),
    };
    let asking = Asking { audience: flight.audience(), is_errand };
    let (request, heads) = (&flight.request, &shard.core.heads);
    match line {
        Line::Http1(mut connection) => {
            via.set(Via { remote: connection.remote, reused: connection.served > 0, has_answered: false });
            connection.served = connection.served.saturating_add(1);
            let channel = Channel::Http1(&mut connection);
            let exchanged = exchange(channel, request, heads, asking, &rules, clock).await;
            let held = connection.is_open().then_some(Held { connection, origin: flight.route, idle });
            (exchanged, held)
        }
        Line::Http2(place) => {
            let reached = Via { remote: place.remote(), reused: place.reused, has_answered: false };
            via.set(reached);
            let channel = Channel::Http2(&place);
            let exchanged = exchange(channel, request, heads, asking, &rules, clock).await;
            via.set(Via { has_answered: place.has_answered(), ..reached });
            (exchanged, None)
        }
    }
}

/// The wait before another attempt; None when this one was the last.
pub(super) fn next_wait(
    shard: &Shard,
    flight: &Flight,
    outcome: &Outcome,
    named: Option<Duration>,
) -> Option<Duration> {
    let ended = match (&outcome.failure, &outcome.received) {
        (Some(failure), _) => Ended::Failed(failure.code),
        (None, Some(received)) => Ended::Status(received.status),
        (None, None) => return None,
    };
    let policy = &shard.core.options.retries;
    if !retry::is_worth_repeating(policy, ended) {
        // Nearly all: they need no clock and no chance.
        return None;
    }
    let now = Instant::now();
    let attempt = Attempt {
        method: flight.asked().method(),
        ended,
        end: outcome.end,
        number: flight.counted_attempt(),
        refused_for: flight
            .first_refused()
            .map_or(Duration::ZERO, |first| now.saturating_duration_since(first)),
        has_served: shard.has_served(flight),
        named,
    };
    let wait = retry::next_wait(policy, &attempt, random::share())?;
    let in_time = |end: Option<Instant>| end.is_none_or(|end| Instant::now() + wait < end);
    (in_time(shard.deadline(flight)) && in_time(flight.job.state.expires)).then_some(wait)
}
