//! Limits by address: a request waits here until the name of its host is resolved, then it is queued.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::flight::Flight;
use super::worker::next_wait;
use super::{Core, Message, Shard};
use crate::connect::DnsConfig;
use crate::error::Failure;
use crate::limits::Group;
use crate::options::Timeouts;
use crate::outcome::Outcome;
use crate::politeness::HostId;
use crate::pool::OriginId;
use crate::request::Target;
use crate::timings::{Phase, Timings};

/// Empty unless limits are by address.
#[derive(Default)]
pub(super) struct Names {
    /// Requests by the name that is being resolved for them.
    waiting: RefCell<HashMap<Box<str>, Vec<Flight>>>,
    /// The address of each origin: its connections go there and nowhere else.
    addresses: RefCell<HashMap<OriginId, IpAddr>>,
}

/// How names are resolved. If requests wait for that before they have a slot, the limits of an attempt apply here.
pub(super) fn dns_config(core: &Core) -> DnsConfig {
    let Timeouts { total, connect, .. } = core.options.timeout;
    let of_attempt = total.into_iter().chain(connect).filter(|_| core.router.limits().are_by_address());
    let timeout = of_attempt.fold(core.dns.timeout, Duration::min);
    DnsConfig { timeout, ..core.dns.clone() }
}

impl Shard {
    /// The origin and the host of a request, if limits are by address. None: the address is unknown or belongs to
    /// another shard, and [`Shard::place`] must take the request.
    pub(super) fn locate_by_address(&self, target: &Target) -> Option<(OriginId, HostId)> {
        let router = &self.core.router;
        if let Group::Named(_) = router.limits().group(target.host()) {
            return Some(self.locate_by_name(target));
        }
        let address = router.addresses().of(target, Instant::now())?;
        (router.home_of(address) == self.at).then(|| self.locate_at(target, address))
    }

    /// The same scheme, name and port at another address is another origin.
    fn locate_at(&self, target: &Target, address: IpAddr) -> (OriginId, HostId) {
        let mut origins = self.origins.borrow_mut();
        let mut addresses = self.names.addresses.borrow_mut();
        if let Some((origin, host)) = origins.find(target)
            && addresses.get(&origin) == Some(&address)
        {
            return (origin, host);
        }
        let host = self.host(&self.core.router.limits().group_of_address(address));
        let origin = origins.add(target, self.core.options.http2, host);
        addresses.insert(origin, address);
        (origin, host)
    }

    /// The only address that connections of an origin may go to, if limits are by address.
    pub(super) fn address_of(&self, origin: OriginId) -> Option<IpAddr> {
        let router = &self.core.router;
        let addresses = router.limits().are_by_address().then(|| self.names.addresses.borrow())?;
        addresses.get(&origin).copied()
    }

    /// Puts a request into the queue of its host's address, on this shard or another. The caller must call `pump`
    /// afterwards.
    pub(super) fn place(self: &Rc<Self>, mut flight: Flight) {
        let router = &self.core.router;
        let Some(address) = router.addresses().of(&flight.request.target, Instant::now()) else {
            return self.await_address(flight);
        };
        let shard = router.home_of(address);
        if shard != self.at {
            return self.core.tell(shard, Message::Transfer(Box::new(flight.into_transfer())));
        }
        (flight.origin, flight.host) = self.locate_at(&flight.request.target, address);
        if flight.is_fresh() {
            self.enqueue(flight);
        } else {
            self.enqueue_again(flight);
        }
    }

    fn await_address(self: &Rc<Self>, flight: Flight) {
        let name: Box<str> = flight.request.target.host().into();
        let mut waiting = self.names.waiting.borrow_mut();
        if let Some(others) = waiting.get_mut(&name) {
            return others.push(flight);
        }
        waiting.insert(name.clone(), vec![flight]);
        tokio::task::spawn_local(Rc::clone(self).look_up(name));
    }

    /// Resolves a name, and places the requests that wait for it.
    async fn look_up(self: Rc<Self>, name: Box<str>) {
        let began = Instant::now();
        let answer = self.resolver.lookup(&name).await;
        let waiting = self.names.waiting.borrow_mut().remove(&name).unwrap_or_default();
        // The first of them becomes the only one that is connected to: it must be one that may be.
        match answer.and_then(|all| self.core.guard.admit(&all).map(Cow::into_owned)) {
            Ok(addresses) => {
                self.core.router.addresses().found(&name, &addresses, Instant::now());
                // Those that were sent before go to the front of their queue: in reverse, they keep their order.
                let (fresh, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Flight::is_fresh);
                fresh.into_iter().chain(others.into_iter().rev()).for_each(|flight| self.place(flight));
            }
            Err(failure) => waiting.into_iter().for_each(|flight| self.fail(flight, &failure, began)),
        }
        self.pump();
    }

    /// The name of a request's host could not be resolved: that is an attempt that ended without a slot.
    fn fail(self: &Rc<Self>, mut flight: Flight, failure: &Failure, began: Instant) {
        if flight.job.state.starts_nothing() {
            flight.leave();
            if let Some(errand) = flight.errand() {
                self.report(&flight, errand, None);
            }
            return;
        }
        let started = began.max(flight.queued);
        let spent = started.elapsed();
        let queue = started.saturating_duration_since(flight.queued);
        let timings =
            Timings { queue: Some(queue), dns: Some(spent), total: Some(spent), ..Timings::default() };
        let outcome = Outcome { phase: Phase::Dns, timings, started, ..Outcome::unsent(failure.clone()) };
        flight.leave();
        match next_wait(self, &flight, &outcome, None) {
            Some(wait) => self.retry(flight, outcome, wait),
            None => self.land(flight, outcome),
        }
    }

    /// After an attempt that could not connect: whether its request can use another address. All that waits for the same
    /// origin is moved there. This is not an attempt of its own, as it is not when one attempt tries all addresses.
    pub(super) fn leaves_address(self: &Rc<Self>, flight: &Flight) -> bool {
        let Some(address) = self.address_of(flight.origin) else { return false };
        let addresses = self.core.router.addresses();
        let count = addresses.leave(&flight.request.target, address, Instant::now());
        if count.is_none_or(|count| flight.resent() as usize >= count) {
            return false;
        }
        let of_origin = |other: &Flight| other.origin == flight.origin;
        let mut waiting = self.scheduler.borrow_mut().take_from(flight.host, of_origin);
        waiting.extend(self.robots_left(flight.origin));
        for mut other in waiting.into_iter().filter(|other| !other.is_scout_of(self.at, flight.origin)) {
            other.set_suspended(false);
            self.place(other);
        }
        true
    }

    /// Removes the requests that `which` picks from those that wait for an address.
    pub(super) fn names_waiting(&self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let mut taken = Vec::new();
        for waiting in self.names.waiting.borrow_mut().values_mut() {
            taken.extend(waiting.extract_if(.., |flight| which(flight)));
        }
        taken
    }

    /// The group whose limits a request counts against, to show.
    pub(super) fn group_of(&self, flight: &Flight) -> Cow<'_, str> {
        let limits = self.core.router.limits();
        match (limits.group(flight.request.target.host()), self.address_of(flight.origin)) {
            (Group::Address, Some(address)) => limits.group_of_address(address),
            (Group::Named(name), _) => Cow::Owned(name.to_owned()),
            (Group::Address, None) => Cow::Owned(flight.request.target.host().to_owned()),
        }
    }
}
