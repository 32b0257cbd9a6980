//! How a server can be down, and the check that every request passes.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use crate::config::{StartError, invalid};

/// How a server can be down: see [`crate::Server::set_outage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Open connections are closed, new ones refused.
    Refuse,
    /// Every request is answered with this status, 200 to 999.
    Status(u16),
    /// Every request has its connection (HTTP/2: stream) reset.
    Reset,
    /// No request is ever answered, not even when the outage is over.
    Stall,
}

impl Outage {
    pub(crate) fn validate(self) -> Result<(), StartError> {
        match self {
            Self::Status(status) if !(200..=999).contains(&status) => {
                Err(invalid("outage", &status, "200 to 999"))
            }
            _ => Ok(()),
        }
    }
}

const OPEN: u16 = 0;
const RESET: u16 = 1;
const STALL: u16 = 2;

/// What happens to the requests that arrive. Each of them reads it once, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU16);

impl Gate {
    /// Decides for all requests from now on. [`Outage::Refuse`] changes nothing here: no request arrives.
    pub(crate) fn set(&self, outage: Option<Outage>) {
        let state = match outage {
            None | Some(Outage::Refuse) => OPEN,
            Some(Outage::Reset) => RESET,
            Some(Outage::Stall) => STALL,
            Some(Outage::Status(status)) => status,
        };
        self.0.store(state, Relaxed);
    }

    pub(crate) fn outage(&self) -> Option<Outage> {
        match self.0.load(Relaxed) {
            OPEN => None,
            RESET => Some(Outage::Reset),
            STALL => Some(Outage::Stall),
            status => Some(Outage::Status(status)),
        }
    }
}
