//! An attempt that has ended, and the limits that may end it: what both mean, not what is done about it.

use std::rc::Rc;
use std::time::Instant;

use http::Method;

use super::flight::Flight;
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::exchange::{Exchanged, Partial, Reached};
use crate::outcome::{AttemptEnd, Outcome, Via};
use crate::timings::Phase;

/// How often a request is sent again at once that no server has worked on, where nothing shows that the server works.
pub(super) const MAX_RESENT: u32 = 3;

/// The same for a server that works: one that takes five of a hundred streams and closes gets to each of them in the end.
/// One that has sent a request away so often may never take it, and that becomes an attempt.
const MAX_SENT_AWAY: u32 = 100;

/// 421: the connection was not for this authority. Source: RFC 9110, section 15.5.20.
const MISDIRECTED: u16 = 421;

/// One attempt, ended, before it is known what that means.
pub(super) struct Attempted {
    pub(super) exchanged: Exchanged,
    pub(super) via: Via,
    pub(super) clock: Rc<PhaseClock>,
    /// The beginning of a body that was cut.
    pub(super) partial: Option<Box<Partial>>,
}

impl Attempted {
    /// Whether no server can have processed it, or a kept-alive connection was closed just as it was sent: neither is
    /// the request's fault. Source: RFC 9112, section 9.3.1, and RFC 9110, section 9.2.2.
    pub(super) fn is_free_to_resend(&self, flight: &Flight) -> bool {
        let safe = matches!(*flight.request.method(), Method::GET | Method::HEAD);
        let few = flight.resent() < MAX_RESENT;
        match self.exchanged.reached {
            Reached::Refusal => few || (self.via.has_answered && flight.resent() < MAX_SENT_AWAY),
            Reached::Nothing => few && self.via.reused,
            Reached::Silence => few && self.via.reused && safe,
            // It has to wait for its room, this time before it is sent.
            Reached::Paused(_) => few && safe,
            // Without a range this time.
            Reached::NoRest => few,
            Reached::OtherVersion | Reached::Excess | Reached::Further | Reached::Disk => false,
        }
    }

    /// Whether the peer wants it over HTTP/1.1, and it may go there at once.
    pub(super) fn is_for_http1(&self, flight: &Flight) -> bool {
        self.exchanged.reached == Reached::OtherVersion && flight.resent() < MAX_RESENT
    }

    /// What is known of it, but for what its host may mean by its status.
    fn end(&self) -> AttemptEnd {
        let status = self.exchanged.received.as_ref().map(|received| received.status);
        let is_early = matches!(
            self.clock.phase(),
            Phase::Queue | Phase::Dns | Phase::Connect | Phase::Proxy | Phase::Tls
        );
        match (&self.exchanged.failure, status) {
            (None, Some(MISDIRECTED)) => AttemptEnd::Unsent,
            (None, _) => AttemptEnd::Answered,
            (Some(_), _) if is_early => AttemptEnd::Unsent,
            (Some(_), _) => match self.exchanged.reached {
                Reached::Nothing | Reached::Refusal | Reached::OtherVersion => AttemptEnd::Unsent,
                Reached::Silence
                | Reached::Excess
                | Reached::Paused(_)
                | Reached::NoRest
                | Reached::Disk
                | Reached::Further => AttemptEnd::Unknown,
            },
        }
    }

    /// Whether this machine had no port for it.
    pub(super) fn lacks_port(&self) -> bool {
        self.exchanged.failure.as_ref().is_some_and(|failure| failure.code == Code::LocalPorts)
    }

    /// Whether this machine had no descriptor or port for it.
    pub(super) fn lacks_local_means(&self) -> bool {
        let code = self.exchanged.failure.as_ref().map(|failure| failure.code);
        matches!(code, Some(Code::LocalFds | Code::LocalPorts))
    }

    /// No connection could be opened, and neither the deadline nor the end of the job is the reason.
    pub(super) fn is_not_connected(&self) -> bool {
        if self.clock.phase() != Phase::Connect {
            return false;
        }
        let code = self.exchanged.failure.as_ref().map(|failure| failure.code);
        let is_else = matches!(code, None | Some(Code::TimeoutJob | Code::TimeoutDeadline));
        !is_else && !self.lacks_local_means()
    }

    /// Ends its clock.
    pub(super) fn outcome(self) -> Outcome {
        let end = self.end();
        Outcome {
            end,
            is_excess: self.exchanged.reached == Reached::Excess,
            received: self.exchanged.received,
            failure: self.exchanged.failure,
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
