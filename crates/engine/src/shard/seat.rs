//! A request together with the permits it holds.

use std::rc::Rc;

use super::Shard;
use super::flight::Flight;
use crate::error::{Code, Failure};
use crate::outcome::Outcome;
use crate::politeness::HostId;

/// Holds a permit of one host and one of the engine, and the request that uses them. Requests with permits are only
/// passed around in a seat: wherever it is dropped, even if its task is aborted, panics or never starts, the permits
/// are given back and the row is not lost.
pub(super) struct Seat {
    shard: Rc<Shard>,
    host: HostId,
    flight: Option<Flight>,
}

impl Seat {
    /// Takes over the permits that `flight` was given.
    pub(super) fn new(shard: &Rc<Shard>, flight: Flight) -> Self {
        let mut seat = Self { shard: Rc::clone(shard), host: flight.host, flight: None };
        seat.put(flight);
        seat
    }

    /// The host whose permit it holds.
    pub(super) fn host(&self) -> HostId {
        self.host
    }

    /// The request in it.
    pub(super) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    /// Takes the request out; the permits stay.
    pub(super) fn take(&mut self) -> Option<Flight> {
        let flight = self.flight.take()?;
        flight.job.state.ended();
        Some(flight)
    }

    /// Gives the permits to another request of the same host.
    pub(super) fn put(&mut self, flight: Flight) {
        flight.job.state.started();
        self.flight = Some(flight);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(flight) = self.take()
            && !flight.job.state.is_cancelled()
            && !self.shard.is_closing()
        {
            let failure = Failure::new(Code::InternalPanic, "a bug in hurtle: please report it");
            self.shard.land(flight, Outcome::unsent(failure));
        }
        self.shard.release(self.host);
    }
}
