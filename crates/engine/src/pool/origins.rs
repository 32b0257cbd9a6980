//! What a shard knows about each origin: its protocol, its shared connections, and its idle ones.
//!
//! A request that has its permits goes out on the first of these that applies. The rules live in several files,
//! each named here.
//!
//! 1. **Kept**: the worker that has just ended another request of the origin still holds an open HTTP/1.1 connection
//!    (`shard::worker`, `serve`).
//! 2. **Reused**: an HTTP/1.1 connection of the origin is idle. The one that became idle last gets the request; so the
//!    others can age ([`Origins::assign`]).
//! 3. **Opened**: the origin speaks HTTP/1.1. Without a local port it waits for one of those that exist (`pool::line`). The connection belongs to this request (`shard::dial`, as 4 to 7).
//! 4. **Shared**: an HTTP/2 connection of the origin has a free stream ([`Origin::shared_with_room`]).
//! 5. **Waited for**: another request is opening a connection to the origin. Afterwards the request continues with 3,
//!    4, or again one of 5 to 7.
//! 6. **Opened side by side**: the protocol is unknown and the last request to open a connection failed. The origin may
//!    be down; its requests find out at the same time, not one after the other.
//! 7. **Opened for all**: otherwise. Meanwhile the others are in case 5.
//!
//! A connection that has no request ends by the first of these.
//!
//! 8. **Evicted**: more than `max_idle` HTTP/1.1 connections of the shard are idle, or this machine lacks a descriptor or,
//!    for another origin, a port: the one that has been idle longest closes ([`Origins::wait`], [`Origins::evict_one`]).
//! 9. **Closed by the peer**, or the peer sent something unexpected (`pool::h1`, `poll_idle`). If that happens just
//!    as a request is sent, the request is sent again (`shard::attempt`, `is_free_to_resend`).
//! 10. **Closed for age**: idle for [`IDLE`](super::IDLE) (`shard::worker`, `wait_for_work`; `pool::h2`).

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;

use tokio::sync::Notify;

use super::H2;
use super::line::Lines;
use crate::options::{Http2, ProxyId};
use crate::paged::Paged;
use crate::politeness::HostId;
use crate::request::Target;

/// An origin known to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OriginId(u32);

impl OriginId {
    /// No origin.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);

    /// Its number, for modules that know nothing about connections.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// The protocol of an origin, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Not known yet.
    Unknown,
    /// HTTP/1.1: each request has a connection of its own.
    Http1,
    /// HTTP/2: requests share connections.
    Http2,
}

impl Protocol {
    /// What is known without a connection to the origin.
    fn before_asking(target: &Target, http2: Http2) -> Self {
        match (http2, target.is_https()) {
            (Http2::Always, _) => Self::Http2,
            (Http2::Never, _) | (Http2::Auto, false) => Self::Http1,
            (Http2::Auto, true) => Self::Unknown,
        }
    }
}

/// How a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Its local port stays taken for a minute.
    InOrder,
    /// Its local port is free at once: the peer is told that the connection is reset.
    AtOnce,
}

/// An HTTP/1.1 connection that waits for work of type `T`. Its task sleeps on this.
pub(crate) struct Idle<T> {
    work: Cell<Option<T>>,
    waker: RefCell<Option<Waker>>,
    origin: OriginId,
    /// It is in its origin's stack.
    waiting: Cell<bool>,
    /// It has to close, to make room for others.
    evicted: Cell<Option<Leave>>,
    /// Counts the times it became idle, so that an old place in line is not mistaken for a new one.
    turn: Cell<u32>,
}

impl<T> Idle<T> {
    pub(crate) fn new(origin: OriginId) -> Rc<Self> {
        Rc::new(Self {
            work: Cell::new(None),
            waker: RefCell::new(None),
            origin,
            waiting: Cell::new(false),
            evicted: Cell::new(None),
            turn: Cell::new(0),
        })
    }

    /// Takes the work that was assigned, if any.
    pub(crate) fn take_work(&self) -> Option<T> {
        self.work.take()
    }

    /// Whether the connection has to close, and how.
    pub(crate) fn evicted(&self) -> Option<Leave> {
        self.evicted.get()
    }

    /// Sets the task to wake for work.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.borrow_mut();
        if !registered.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    fn wake(&self) {
        // The borrow ends before the wake: a waker may run other code.
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What is known about one origin.
pub(crate) struct Origin<T> {
    pub(crate) host: HostId,
    /// Its connections lead through this proxy.
    pub(crate) proxy: Option<ProxyId>,
    pub(crate) protocol: Protocol,
    /// It has served a request.
    has_served: bool,
    /// A request is finding out the protocol, or opening a shared connection.
    pub(crate) opening: bool,
    /// The last request that tried did not get a shared connection.
    pub(crate) failed_to_open: bool,
    pub(crate) shared: Vec<Rc<H2>>,
    /// Last in, first out: the connection used last comes first, the others age out.
    idle: Vec<Rc<Idle<T>>>,
    changed: Option<Rc<Notify>>,
}

impl<T> Origin<T> {
    /// A shared connection that takes a request now; closed ones are removed.
    pub(crate) fn shared_with_room(&mut self) -> Option<Rc<H2>> {
        self.shared.retain(|connection| connection.is_open());
        self.shared.iter().find(|connection| connection.has_room()).map(Rc::clone)
    }

    /// For waiting until `announce`.
    pub(crate) fn changed(&mut self) -> Rc<Notify> {
        Rc::clone(self.changed.get_or_insert_default())
    }

    /// Wakes the requests that wait for the protocol or for a shared connection.
    pub(crate) fn announce(&mut self) {
        if let Some(changed) = &self.changed {
            changed.notify_waiters();
        }
    }
}

/// All origins of a shard, and its idle connections in the order in which they became idle.
pub(crate) struct Origins<T> {
    by_name: HashMap<Box<str>, OriginId>,
    /// The same origins through proxies: their connections are others.
    by_proxy: HashMap<ProxyId, HashMap<Box<str>, OriginId>>,
    all: Paged<Origin<T>>,
    line: VecDeque<(Rc<Idle<T>>, u32)>,
    idle: usize,
    max_idle: usize,
    /// Requests that lack a local port, by origin.
    pub(crate) lines: Lines<T>,
}

impl<T> Origins<T> {
    /// `max_idle` connections may be idle; the one that has been idle longest makes room.
    pub(crate) fn new(max_idle: usize) -> Self {
        let (by_name, by_proxy) = (HashMap::new(), HashMap::new());
        let (all, line, lines) = (Paged::new(), VecDeque::new(), Lines::new());
        Self { by_name, by_proxy, all, line, idle: 0, max_idle, lines }
    }

    /// The origin of `target` and its host, if it is known. O(1).
    pub(crate) fn find(&self, target: &Target) -> Option<(OriginId, HostId)> {
        let id = *self.by_name.get(target.origin())?;
        Some((id, self.all.get(id.0 as usize)?.host))
    }

    /// Adds the origin of `target`. It replaces an origin of the same name, whose requests and connections go on.
    pub(crate) fn add(&mut self, target: &Target, http2: Http2, host: HostId) -> OriginId {
        let id = self.push(target, http2, host, None);
        self.by_name.insert(target.origin().into(), id);
        id
    }

    /// The origin of `target` through a proxy, added if it is new.
    pub(crate) fn through(
        &mut self,
        proxy: ProxyId,
        target: &Target,
        http2: Http2,
        host: HostId,
    ) -> OriginId {
        let known = self.by_proxy.get(&proxy).and_then(|origins| origins.get(target.origin()));
        if let Some(&id) =
            known.filter(|id| self.all.get(id.0 as usize).is_some_and(|origin| origin.host == host))
        {
            return id;
        }
        let id = self.push(target, http2, host, Some(proxy));
        self.by_proxy.entry(proxy).or_default().insert(target.origin().into(), id);
        id
    }

    fn push(&mut self, target: &Target, http2: Http2, host: HostId, proxy: Option<ProxyId>) -> OriginId {
        let number = self.all.push(Origin {
            host,
            proxy,
            protocol: Protocol::before_asking(target, http2),
            has_served: false,
            opening: false,
            failed_to_open: false,
            shared: Vec::new(),
            idle: Vec::new(),
            changed: None,
        });
        OriginId(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The hosts of origins that have connections.
    pub(crate) fn connected(&mut self) -> impl Iterator<Item = HostId> {
        self.all.iter_mut().filter_map(|origin| {
            origin.shared.retain(|connection| connection.is_open());
            let is_connected = origin.opening || !origin.shared.is_empty() || !origin.idle.is_empty();
            is_connected.then_some(origin.host)
        })
    }

    /// Forgets the origins of the hosts that `knows` does not know.
    pub(crate) fn retain(&mut self, knows: impl Fn(HostId) -> bool) {
        self.all.retain(|origin| knows(origin.host));
        self.by_name.retain(|_, id| self.all.get(id.0 as usize).is_some());
        self.by_name.shrink_to_fit();
        for origins in self.by_proxy.values_mut() {
            origins.retain(|_, id| self.all.get(id.0 as usize).is_some());
            origins.shrink_to_fit();
        }
    }

    /// Notes how a request of an origin ended. Returns whether it has served one, this one or another.
    pub(crate) fn note(&mut self, id: OriginId, served: bool) -> bool {
        let Some(origin) = self.get_mut(id) else { return served };
        origin.has_served |= served;
        origin.has_served
    }

    /// Whether an origin has served a request.
    pub(crate) fn has_served(&self, id: OriginId) -> bool {
        self.all.get(id.0 as usize).is_some_and(|origin| origin.has_served)
    }

    /// An origin by its id.
    pub(crate) fn get_mut(&mut self, id: OriginId) -> Option<&mut Origin<T>> {
        self.all.get_mut(id.0 as usize)
    }

    /// Puts a connection in its origin's stack. If there are too many, the one that has been idle longest is told to
    /// close.
    pub(crate) fn wait(&mut self, connection: &Rc<Idle<T>>) {
        let Some(origin) = self.all.get_mut(connection.origin.0 as usize) else { return };
        origin.idle.push(Rc::clone(connection));
        connection.waiting.set(true);
        connection.turn.set(connection.turn.get().wrapping_add(1));
        self.idle += 1;
        if self.line.len() > 2 * self.max_idle {
            // Removes the places of those that got work meanwhile. At most half of the line is live: O(1) amortised.
            self.line.retain(|(other, turn)| other.waiting.get() && other.turn.get() == *turn);
        }
        self.line.push_back((Rc::clone(connection), connection.turn.get()));
        if self.idle > self.max_idle {
            self.evict_one(Leave::InOrder);
        }
    }

    /// Tells the connection that has been idle longest to close. False: there is none. O(1) amortised.
    pub(crate) fn evict_one(&mut self, leave: Leave) -> bool {
        while let Some((first, turn)) = self.line.pop_front() {
            if first.waiting.get() && first.turn.get() == turn {
                self.leave(&first);
                first.evicted.set(Some(leave));
                first.wake();
                return true;
            }
        }
        false
    }

    /// Takes a connection out of its stack: it was closed. O(idle connections of its origin).
    pub(crate) fn leave(&mut self, connection: &Rc<Idle<T>>) {
        if connection.waiting.replace(false)
            && let Some(origin) = self.all.get_mut(connection.origin.0 as usize)
        {
            origin.idle.retain(|other| !Rc::ptr_eq(other, connection));
            self.idle -= 1;
        }
    }

    /// Gives `work` to the connection of `origin` that became idle last; returns it if none is idle. O(1).
    pub(crate) fn assign(&mut self, origin: OriginId, work: T) -> Option<T> {
        let Some(connection) = self.all.get_mut(origin.0 as usize).and_then(|origin| origin.idle.pop())
        else {
            return Some(work);
        };
        self.idle -= 1;
        connection.waiting.set(false);
        connection.work.set(Some(work));
        connection.wake();
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::politeness::{ProbeWaits, Scheduler};
    use std::time::Duration;

    fn origins(max_idle: usize) -> (Origins<u32>, OriginId, OriginId) {
        let mut scheduler =
            Scheduler::<()>::new(ProbeWaits { first: Duration::ZERO, longest: Duration::ZERO });
        let mut origins = Origins::new(max_idle);
        let host = scheduler.add_host(1);
        let [a, b] = ["http://a.example/x", "https://a.example/x"]
            .map(|url| origins.add(&Target::parse(url).unwrap().target, Http2::Auto, host));
        (origins, a, b)
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let (mut origins, a, b) = origins(8);
        assert_ne!(a, b);
        let again = Target::parse("http://a.example/other").unwrap().target;
        let host = origins.get_mut(a).unwrap().host;
        assert_eq!(origins.find(&again), Some((a, host)));
        let new = origins.add(&again, Http2::Auto, host);
        assert_eq!(origins.find(&again), Some((new, host)));
        assert_eq!(origins.find(&Target::parse("http://b.example/").unwrap().target), None);
    }

    #[test]
    fn work_goes_to_the_connection_that_came_last() {
        let (mut origins, a, b) = origins(8);
        let (first, second) = (Idle::new(a), Idle::new(a));
        origins.wait(&first);
        origins.wait(&second);
        assert_eq!(origins.assign(b, 1), Some(1));
        assert_eq!(origins.assign(a, 2), None);
        assert_eq!((first.take_work(), second.take_work()), (None, Some(2)));
        assert_eq!(origins.assign(a, 3), None);
        assert_eq!(origins.assign(a, 4), Some(4));
    }

    #[test]
    fn who_left_gets_no_work() {
        let (mut origins, a, _) = origins(8);
        let only = Idle::new(a);
        origins.wait(&only);
        origins.leave(&only);
        origins.leave(&only);
        assert_eq!(origins.assign(a, 1), Some(1));
        assert_eq!(origins.idle, 0);
    }

    #[test]
    fn who_waited_longest_makes_room() {
        let (mut origins, a, b) = origins(2);
        let all: Vec<_> = [a, b, a].into_iter().map(Idle::new).collect();
        for connection in &all {
            origins.wait(connection);
        }
        let evicted: Vec<_> = all.iter().map(|connection| connection.evicted().is_some()).collect();
        assert_eq!(evicted, [true, false, false]);
        assert_eq!(origins.idle, 2);
    }

    #[test]
    fn a_place_in_line_is_as_old_as_the_last_time_it_came_to_wait() {
        let (mut origins, a, b) = origins(2);
        let (first, second) = (Idle::new(a), Idle::new(b));
        origins.wait(&first);
        origins.wait(&second);
        assert_eq!(origins.assign(a, 1), None);
        first.take_work().unwrap();
        origins.wait(&first);
        origins.wait(&Idle::new(a));
        assert_eq!((second.evicted(), first.evicted()), (Some(Leave::InOrder), None));
        assert!(origins.evict_one(Leave::AtOnce));
        assert_eq!(first.evicted(), Some(Leave::AtOnce));
    }
}
