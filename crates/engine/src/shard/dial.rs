//! Finds a connection for a request that has no kept-alive one: a place on a shared HTTP/2 connection, or a new
//! connection. An origin's protocol is found out once; meanwhile its other requests wait for the result instead of
//! opening connections that HTTP/2 would not need.

use std::rc::Rc;

use tokio::sync::Notify;

use super::flight::Flight;
use super::seat::Seat;
use super::{Core, Shard};
use crate::clock::PhaseClock;
use crate::connect::{self, Opened, Way};
use crate::error::{Code, Failure};
use crate::exchange::handshake_failure;
use crate::options::Http2;
use crate::pool::{H1, H2, Origin, OriginId, Protocol, StreamPlace};

/// The connection of a request.
pub(super) enum Line {
    /// A connection of its own.
    Http1(H1),
    /// A place on a shared connection.
    Http2(StreamPlace),
}

enum Step {
    Enter(StreamPlace),
    Open { shared: bool },
    Wait(Rc<Notify>),
}

/// A connection to the origin of `flight`.
///
/// # Errors
/// Those of [`connect::open`]; `protocol.h2`.
///
/// # Cancel safety
/// If it is dropped midway, the requests that wait for the outcome find it out themselves.
pub(super) async fn dial(shard: &Rc<Shard>, flight: &Flight, clock: &PhaseClock) -> Result<Line, Failure> {
    loop {
        let step = {
            let mut origins = shard.origins.borrow_mut();
            match origins.get_mut(flight.route) {
                Some(origin) => next_step(origin),
                None => Step::Open { shared: false },
            }
        };
        match step {
            Step::Enter(place) => return Ok(Line::Http2(place)),
            Step::Wait(changed) => changed.notified().await,
            Step::Open { shared } => {
                let _opening = shared.then(|| Opening { shard: Rc::clone(shard), origin: flight.route });
                return open(shard, flight, clock).await;
            }
        }
    }
}

fn next_step(origin: &mut Origin<Seat>) -> Step {
    if origin.protocol == Protocol::Http1 {
        return Step::Open { shared: false };
    }
    if let Some(connection) = origin.shared_with_room() {
        return Step::Enter(connection.enter());
    }
    if origin.opening {
        return Step::Wait(origin.changed());
    }
    if origin.protocol == Protocol::Unknown && origin.failed_to_open {
        // It may be down: its requests find that out in parallel, not one after the other.
        return Step::Open { shared: false };
    }
    origin.opening = true;
    Step::Open { shared: true }
}

/// Held while a request opens a connection that others wait for. However that ends, they are woken.
struct Opening {
    shard: Rc<Shard>,
    origin: OriginId,
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(origin) = self.shard.origins.borrow_mut().get_mut(self.origin) {
            origin.opening = false;
            origin.failed_to_open = origin.shared.is_empty();
            origin.announce();
        }
    }
}

async fn open(shard: &Rc<Shard>, flight: &Flight, clock: &PhaseClock) -> Result<Line, Failure> {
    let address = shard.address_of(flight.origin);
    let Core { guard, tls, .. } = &*shard.core;
    let target = &flight.request.target;
    let http1_only = shard.protocol(flight.route) == Some(Protocol::Http1);
    let proxy = shard.proxy_of(flight.route);
    let way = Way { target, address, proxy: proxy.and_then(|id| shard.core.proxy(id)), http1_only };
    let opened = connect::open(&way, &shard.resolver, guard, tls, clock).await?;
    let Opened { stream, remote, http2 } = opened;
    if let Some(address) = address.filter(|_| proxy.is_none()) {
        shard.core.router.addresses().connected(&flight.request.target, address);
    }
    flight.job.state.opened();
    let known = shard.protocol(flight.route);
    let http2 = http2 || (known == Some(Protocol::Http2) && !flight.request.target.is_https());
    if !http2 {
        set_protocol(shard, flight.route, Protocol::Http1);
        let mut connection = H1::new(stream, remote, shard.scratch.clone());
        if let Some(proxy) = proxy.filter(|_| !target.is_https()) {
            connection.to_proxy = shard.core.lines_for(proxy);
        }
        return Ok(Line::Http1(connection));
    }
    let window = shard.core.h2_window;
    let connection =
        H2::handshake(stream, remote, window).await.map_err(|error| handshake_failure(&error))?;
    let place = connection.enter();
    let mut origins = shard.origins.borrow_mut();
    let Some(origin) = origins.get_mut(flight.route) else {
        return Err(Failure::new(Code::InternalPanic, "an origin was forgotten"));
    };
    origin.protocol = Protocol::Http2;
    origin.shared.push(connection);
    Ok(Line::Http2(place))
}

impl Shard {
    pub(super) fn protocol(&self, origin: OriginId) -> Option<Protocol> {
        self.origins.borrow_mut().get_mut(origin).map(|origin| origin.protocol)
    }

    /// The origin agrees to HTTP/2 and does not want it: from now on it is asked over HTTP/1.1. False: HTTP/2 alone may
    /// be used.
    pub(super) fn leaves_http2(&self, flight: &Flight) -> bool {
        let may = self.core.options.http2 == Http2::Auto;
        if may {
            set_protocol(self, flight.route, Protocol::Http1);
        }
        may
    }
}

fn set_protocol(shard: &Shard, origin: OriginId, protocol: Protocol) {
    if let Some(origin) = shard.origins.borrow_mut().get_mut(origin) {
        origin.protocol = protocol;
    }
}
