//! Responses that break off.

use std::sync::Arc;

use super::bodies::MAX_BODY;
use super::query::number;
use super::{Ask, Outcome, Refusal, octets};
use crate::content::Content;
use crate::payload::{Fault, Payload};

/// How many bytes more are declared than sent.
const MISSING: u64 = 100;

/// `/reset`, `/reset?after=N`
///
/// Bytes that the client's system has not taken when the reset is sent are lost, so N is exact as long as
/// they fit the client's receive buffer.
pub(super) fn reset(ask: &Ask<'_>) -> Outcome {
    if ask.query().get("after").is_none() {
        return Err(Refusal::Fault(Fault::Reset));
    }
    let after = ask.query().number("after", 0, 0..=MAX_BODY)?;
    Ok(broken(ask, after, Fault::Reset))
}

/// `/truncate/N`
pub(super) fn truncate(ask: &Ask<'_>, sent: &str) -> Outcome {
    let sent = number("N", sent, 0..=MAX_BODY)?;
    Ok(broken(ask, sent, Fault::Close))
}

fn broken(ask: &Ask<'_>, sent: u64, fault: Fault) -> http::Response<Payload> {
    let declared = sent + MISSING;
    let content = Content::new(declared, 0).cut_at(sent);
    octets(Payload::broken(content, declared, fault, ask.link.map(Arc::clone)))
}
