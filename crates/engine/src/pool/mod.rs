//! Connections that take requests: made from a byte stream, and kept here between requests.

mod h1;
mod h2;
mod origins;

pub(crate) use h1::{Framing, H1, NoHead, Scratch};
pub(crate) use h2::{H2, StreamPlace};
pub(crate) use origins::{Idle, Origin, OriginId, Origins, Protocol};

/// How long a connection waits for work.
pub(crate) const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

/// The body of a request, as hyper sends it.
pub(crate) type SendBody = http_body_util::Full<bytes::Bytes>;
