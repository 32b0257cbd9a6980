//! Waiting for a connection that exists, where this machine has no local port for a new one.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::seat::Seat;
use super::{Message, Shard};
use crate::alarm::Alarm;
use crate::pool::{OriginId, Place};

/// The wait before a request is tried again for which this machine had no descriptor or port.
pub(super) const LOCAL_WAIT: Duration = Duration::from_millis(50);

impl Shard {
    /// None was free for a while: in each shard the connection that has been idle longest leaves its port. It may be one
    /// to the same address, for which there are no others.
    pub(super) fn ask_for_a_port(&self) {
        self.core.tell_all(|| Message::FreePort);
    }

    /// Counts a worker as waiting for a descriptor or a port until the result is dropped.
    pub(super) fn lack(&self) -> Lack<'_> {
        self.lacking.set(self.lacking.get() + 1);
        Lack(&self.lacking)
    }
}

/// One worker among those that wait for a descriptor or a port.
pub(super) struct Lack<'a>(&'a Cell<u32>);

impl Drop for Lack<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Takes the seat out of its line if the task that waits is dropped.
struct Waiting<'a> {
    shard: &'a Rc<Shard>,
    origin: OriginId,
    place: Rc<Place<Seat>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shard.origins.borrow_mut().lines.leave(self.origin, &self.place);
        // Its permits are given back once nothing is borrowed any more.
        drop(self.place.take());
    }
}

/// Waits in the line of an origin. None: a connection has taken the request. Otherwise it is its turn to look for a
/// port, or it can wait no longer. `first`: it has waited already.
///
/// # Cancel safety
/// If it is dropped, so is the seat.
pub(super) async fn wait_in_line(
    shard: &Rc<Shard>,
    alarm: &mut Alarm,
    seat: Seat,
    origin: OriginId,
    first: bool,
) -> Option<Seat> {
    let _lack = shard.lack();
    let place = shard.origins.borrow_mut().lines.wait(origin, seat, first);
    let waiting = Waiting { shard, origin, place };
    let place = &waiting.place;
    loop {
        let limit = Some(Instant::now() + LOCAL_WAIT);
        poll_fn(|cx| {
            place.register(cx.waker());
            if place.is_called() { Poll::Ready(()) } else { alarm.poll(cx, limit) }
        })
        .await;
        let seat = place.take()?;
        let is_over = seat.flight().is_none_or(|flight| !shard.may_wait(flight));
        if is_over || shard.origins.borrow().lines.is_first(origin, place) {
            return Some(seat);
        }
        place.put(seat);
    }
}
