//! What the end of an attempt tells about the next one.

use std::time::{Duration, Instant};

use super::advice::Quota;
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
    /// The limits that the host reports.
    pub(crate) quota: Option<&'a Quota>,
}
