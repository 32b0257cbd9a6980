//! What the end of an attempt tells those who decide about the next one.

use std::time::{Duration, Instant};

use super::advice::Quota;
use super::signal::Signal;

/// What the end of an attempt told about its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub(crate) signal: Signal,
    /// The origin has served a request before; its host may have others that did not.
    pub(crate) has_served: bool,
    /// It was not the request's first.
    pub(crate) is_retry: bool,
    /// When the attempt began and ended.
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// For how long the host wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What the host says that it grants.
    pub(crate) quota: Option<&'a Quota>,
}
