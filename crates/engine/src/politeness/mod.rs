//! Decides when a request may be sent. Pure state machines: no I/O, no clock of their own.

mod advice;
mod aimd;
mod auto_rate;
mod budget;
mod circuit;
#[cfg(test)]
mod limiters;
mod note;
mod pace;
mod queue;
mod rate;
#[cfg(test)]
mod real_limiters;
mod refusals;
mod robots;
mod scheduler;
mod shared_pace;
mod signal;
#[cfg(test)]
mod simulation;
mod slot;
mod throttle;

pub(crate) use advice::{Quotas, quotas, retry_after, unreadable};
pub(crate) use aimd::Aimd;
pub(crate) use circuit::{Change, ProbeWaits};
pub(crate) use note::{Note, Noted, Refused};
pub(crate) use pace::Pace;
pub(crate) use robots::{ROBOTS_BYTES, Rules, Verdict, product};
pub(crate) use scheduler::{HostId, Scheduler};
pub(crate) use shared_pace::SharedPace;
pub(crate) use signal::Signal;

#[cfg(any(test, feature = "fuzzing"))]
/// The matching of robots.txt.
pub(crate) mod fuzzing {
    pub(crate) use super::robots::{matches, plain_path};
}
