//! An attempt that has ended, and the limits that may end it: what both mean, not what is done about it.

use std::time::Instant;

use http::Method;

use super::flight::Flight;
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::exchange::{Exchanged, Reached};
use crate::outcome::{Outcome, Via};

/// How often a request is sent again without counting as an attempt, because no server has processed it.
const MAX_RESENT: u32 = 3;

/// An attempt that has ended, before its result is interpreted.
pub(super) struct Attempted {
    pub(super) exchanged: Exchanged,
    pub(super) via: Via,
    pub(super) clock: PhaseClock,
}

impl Attempted {
    /// Whether no server can have processed it, or a kept-alive connection was closed just as it was sent: neither is
    /// the request's fault. Source: RFC 9112, section 9.3.1, and RFC 9110, section 9.2.2.
    pub(super) fn is_free_to_resend(&self, flight: &Flight) -> bool {
        let safe = matches!(*flight.request.method(), Method::GET | Method::HEAD);
        flight.resent() < MAX_RESENT
            && match self.exchanged.reached {
                Reached::Refusal => true,
                Reached::Nothing => self.via.reused,
                Reached::Silence => self.via.reused && safe,
                Reached::Further => false,
            }
    }

    /// Whether this machine had no descriptor or port for it.
    pub(super) fn lacks_local_means(&self) -> bool {
        let code = self.exchanged.failure.as_ref().map(|failure| failure.code);
        matches!(code, Some(Code::LocalFds | Code::LocalPorts))
    }

    /// Ends its clock.
    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            received: self.exchanged.received,
            failure: self.exchanged.failure,
            remark: None,
            via: self.via,
            phase: self.clock.phase(),
            timings: self.clock.finish(),
            started: self.clock.started(),
        }
    }
}

/// The instants at which an attempt must end, whatever its own limits are.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// The request's.
    pub(super) deadline: Option<Instant>,
    /// The job's.
    pub(super) expiry: Option<Instant>,
}

impl Ends {
    /// The earlier one.
    pub(super) fn first(self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.expiry).min()
    }
}

/// Names the limit that an attempt has run into: that of its job, of its request, or of the phase it is in.
pub(super) fn timed_out(clock: &PhaseClock, ends: Ends) -> Failure {
    let phase = clock.phase();
    let has_passed = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
    if has_passed(ends.expiry) {
        return Failure::new(Code::TimeoutJob, format!("max_duration ended in phase {}", phase.as_str()));
    }
    if has_passed(ends.deadline) {
        return Failure::new(
            Code::TimeoutDeadline,
            format!("the deadline passed in phase {}", phase.as_str()),
        );
    }
    let elapsed = clock.started().elapsed().as_secs_f64();
    Failure::new(phase.timeout_code(), format!("timed out after {elapsed:.1} s in phase {}", phase.as_str()))
}
