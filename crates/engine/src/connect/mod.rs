//! From an origin to a byte stream: names, TCP, TLS.

mod descriptors;
mod dns;
mod guard;
mod signatures;
mod stream;
mod tcp;
mod through;
mod tls;
mod verifier;

pub(crate) use descriptors::Descriptors;
#[cfg(test)]
pub(crate) use dns::fake_server;
pub(crate) use dns::{DnsConfig, Resolver};
pub(crate) use guard::Guard;
pub(crate) use stream::{Opened, Stream, Way, open};
pub(crate) use through::lines as proxy_lines;
pub(crate) use tls::{TlsContext, cause as tls_cause, classify as tls_failure};
