//! Decides when a request may be sent. Pure state machines: no I/O, no clock of their own.

mod advice;
mod aimd;
mod auto_rate;
mod budget;
mod circuit;
mod note;
mod pace;
mod queue;
mod rate;
mod robots;
mod scheduler;
mod shared_pace;
mod signal;
mod slot;
mod throttle;

pub(crate) use advice::{Quota, quotas, retry_after};
pub(crate) use aimd::Aimd;
pub(crate) use circuit::{Change, ProbeWaits};
pub(crate) use note::Note;
pub(crate) use pace::Pace;
pub(crate) use robots::{Rules, product};
pub(crate) use scheduler::{HostId, Scheduler};
pub(crate) use shared_pace::SharedPace;
pub(crate) use signal::Signal;
