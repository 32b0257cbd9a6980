//! A request together with the permits it holds.

use std::rc::Rc;

use super::Shard;
use super::flight::Flight;
use super::loans::Post;
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
    /// Where its request is sent, from when it is.
    post: Option<Rc<Post>>,
    /// It began without a permit of the engine.
    is_lent: bool,
}

impl Seat {
    /// Takes over the permits that `flight` was given.
    pub(super) fn new(shard: &Rc<Shard>, flight: Flight) -> Self {
        let mut seat =
            Self { shard: Rc::clone(shard), host: flight.host, flight: None, post: None, is_lent: false };
        seat.put(flight);
        seat
    }

    /// It goes on without a permit of the engine, which the caller keeps.
    pub(super) fn lend(&mut self) {
        self.is_lent = true;
    }

    /// A worker has it from now on.
    pub(super) fn sit(&mut self, post: &Rc<Post>) {
        post.host.set(self.host);
        post.lent.set(self.is_lent);
        self.post = Some(Rc::clone(post));
    }

    /// The worker that had it passes it on.
    pub(super) fn stand(&mut self) {
        self.is_lent = self.is_lent();
        self.post = None;
    }

    fn is_lent(&self) -> bool {
        self.post.as_ref().map_or(self.is_lent, |post| post.lent.get())
    }

    /// Whether it may go on with another request: if it has lent its permit, it needs one again, unless its host still
    /// makes requests wait.
    pub(super) fn has_permit(&mut self) -> bool {
        let Some(post) = self.post.as_ref().filter(|post| post.lent.get()) else { return true };
        if self.shard.scheduler.borrow().is_slow(self.host) {
            return true;
        }
        let taken = self.shard.take_permit_again();
        post.lent.set(!taken);
        taken
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
        let mut flight = self.flight.take()?;
        flight.ended();
        Some(flight)
    }

    /// Gives the permits to another request of the same host.
    pub(super) fn put(&mut self, flight: Flight) {
        flight.began();
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
        self.shard.release(self.host, self.is_lent());
    }
}
