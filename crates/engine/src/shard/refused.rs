//! Requests that their host refuses: they wait for it with their place in front, and end when patience does.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::flight::Flight;
use crate::error::{Code, Failure};
use crate::outcome::{AttemptEnd, Outcome};
use crate::politeness::{HostId, Refused};

/// A host that wants to be left alone for longer than all patience has to say so again before it is believed.
const CONFIRMED: u32 = 1;

impl Shard {
    /// Whether an attempt that ended so costs its request nothing but patience.
    pub(super) fn has_patience_for(&self, outcome: &Outcome) -> bool {
        outcome.end == AttemptEnd::Refused && self.core.options.retries.patience.is_some()
    }

    /// Puts a refused request back, before those that were not sent yet: its host says when it is asked again.
    pub(super) fn requeue_refused(self: &Rc<Self>, mut flight: Flight, outcome: Outcome) {
        if self.scheduler.borrow().is_resigned(flight.host, flight.origin.number()) {
            return self.land(flight, outcome);
        }
        flight.take_refusal(outcome, &self.core.wall);
        flight.queued = Instant::now();
        self.enqueue_again(flight);
    }

    /// Whether nothing good can be expected of a host that refused: it has refused everything for as long as patience
    /// lasts, or wants to be left alone for longer. `wish`: the wait that it names.
    pub(super) fn is_out_of_patience(&self, refused: &Refused, wish: Option<Duration>) -> bool {
        let Some(patience) = self.core.options.retries.patience else { return false };
        let wants_more = wish.is_some_and(|wish| wish > patience) && refused.in_vain >= CONFIRMED;
        wants_more || refused.refuses_for >= patience
    }

    /// Ends all that waits for a host of which nothing good can be expected.
    pub(super) fn give_up_refusing(&self, host: HostId, name: &str) {
        let waiting = self.scheduler.borrow_mut().take_from(host, |_| true);
        for mut flight in waiting {
            flight.leave();
            let outcome = flight.take_last().unwrap_or_else(|| {
                let detail = format!("{name} refuses all requests, and was not asked for this one");
                Outcome::unsent(Failure::new(Code::HostThrottled, detail))
            });
            self.land(flight, outcome);
        }
    }
}
