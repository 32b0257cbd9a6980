//! What the end of an attempt tells about the next one.

use std::time::{Duration, Instant};

use super::advice::Quotas;
use super::circuit::Change;
use super::signal::Signal;

/// What the end of an attempt told about its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub(crate) signal: Signal,
    /// The origin has served a request before; its host may have others that did not.
    pub(crate) has_served: bool,
    /// It was a retry.
    pub(crate) is_retry: bool,
    /// When the attempt began and ended.
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// The wait that the host asks for.
    pub(crate) retry_after: Option<Duration>,
    /// The first wait after a refusal that names none.
    pub(crate) backoff: Duration,
    /// What the host says that it grants, where that was read.
    pub(crate) quotas: Option<&'a Quotas>,
}

/// What the end of an attempt changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Noted {
    pub(crate) change: Change,
    /// The host refused.
    pub(crate) refused: Option<Refused>,
    /// Requests per second that it bears, where refusals taught that.
    pub(crate) rate_per_s: Option<f64>,
}

/// What is known of a host that has just refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refused {
    /// For how long it has refused everything, and how many waits have been in vain.
    pub(crate) refuses_for: Duration,
    pub(crate) in_vain: u32,
    /// It said so to a request that went after an earlier refusal.
    pub(crate) is_repeated: bool,
    /// When it is asked again.
    pub(crate) until: Option<Instant>,
}
