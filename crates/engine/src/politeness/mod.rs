//! Decides when a host may be asked. Pure data structures: no I/O, no clock of their own.

mod queue;
mod scheduler;

pub(crate) use scheduler::{HostId, Scheduler};
