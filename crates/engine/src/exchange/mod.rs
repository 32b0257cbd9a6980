//! One request on one connection: head out, head in, body in, decoded.

mod accepted;
mod body;
mod classify;
mod decode;
mod heads;
mod incoming;
mod redirect;
mod resume;
mod send;
mod spill;
mod validators;

pub(crate) use accepted::Accepted;
pub(crate) use body::BodyRules;
pub(crate) use classify::handshake_failure;
pub(crate) use decode::Decoder;
pub use decode::decode_body;
pub(crate) use heads::{Asking, Heads};
pub(crate) use redirect::{Audience, Follow, HopRules, Redirect, describes_body, next_hop};
pub(crate) use resume::Partial;
pub(crate) use send::{Channel, Exchanged, Reached, exchange};
pub(crate) use validators::contradicts_itself;

#[cfg(any(test, feature = "fuzzing"))]
/// The decisions, which do no I/O.
pub(crate) mod fuzzing {
    pub(crate) use super::decode::{Decoded, Decoding, Limits as DecodeLimits, Step};
    pub(crate) use super::redirect::{Redirect, decide};
}
