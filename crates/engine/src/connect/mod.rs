//! From an origin to a byte stream: names, TCP, TLS.

mod dns;
mod guard;
mod stream;
mod tcp;
mod tls;
mod verifier;

#[cfg(test)]
pub(crate) use dns::fake_server;
pub(crate) use dns::{DnsConfig, Resolver};
pub(crate) use guard::Guard;
pub(crate) use stream::{Opened, Stream, open};
pub(crate) use tcp::raise_fd_limit;
pub(crate) use tls::{TlsContext, cause as tls_cause, classify as tls_failure};
