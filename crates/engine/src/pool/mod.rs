//! Connections that take requests: made from a byte stream, and kept here between requests.

mod h1;
mod h2;
mod line;
mod origins;
mod proxies;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use h1::fuzzing;
pub(crate) use h1::{Framing, H1, NoHead, Reading, Scratch};
pub(crate) use h2::{H2, NoResponse, StreamPlace};
pub(crate) use line::Place;
pub(crate) use origins::{Idle, Leave, Origin, OriginId, Origins, Protocol};
pub(crate) use proxies::ProxyHealth;

/// How long a connection waits for work.
pub(crate) const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

/// The most interim responses before the final one.
const MAX_INTERIM: u32 = 32;
