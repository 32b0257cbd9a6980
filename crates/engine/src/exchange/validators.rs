//! Whether a 304 can be believed. Pure.

use http::StatusCode;
use http::header::IF_MODIFIED_SINCE;

use crate::outcome::Outcome;
use crate::request::Request;

/// Whether a 304 contradicts itself: it names a later change than the one that the request asked about. Some servers
/// work out an entity tag once and keep it while the file changes. Source: RFC 9110, section 13.1.3.
pub(crate) fn contradicts_itself(request: &Request, outcome: &Outcome) -> bool {
    let Some(received) = outcome.received.as_ref().filter(|_| outcome.failure.is_none()) else {
        return false;
    };
    if received.status != StatusCode::NOT_MODIFIED.as_u16() {
        return false;
    }
    let date = |value: &[u8]| httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok();
    let asked = request.conditions().iter().find(|(name, _)| name == IF_MODIFIED_SINCE);
    let asked = asked.and_then(|(_, value)| date(value.as_bytes()));
    let named = received.headers.get_all("last-modified").filter_map(date).max();
    asked.zip(named).is_some_and(|(asked, named)| named > asked)
}
