//! Whether a 304 and a 206 can be believed. Pure.

use http::StatusCode;
use http::header::IF_MODIFIED_SINCE;

use crate::outcome::{Outcome, Received};
use crate::request::Request;

/// Whether a response is a part although the whole was asked for. Some caches keep what another client asked for.
/// Source: RFC 9110, section 15.3.7.
pub(super) fn is_unasked_part(received: &Received, asks_for_part: impl FnOnce() -> bool) -> bool {
    received.status == StatusCode::PARTIAL_CONTENT.as_u16()
        && !asks_for_part()
        && !received.headers.get_all("content-range").any(is_all)
}

/// Whether a range is all that there is.
fn is_all(range: &[u8]) -> bool {
    let range = std::str::from_utf8(range).ok().and_then(|range| range.strip_prefix("bytes 0-"));
    let ends = range.and_then(|range| range.split_once('/'));
    let ends = ends.and_then(|(last, length)| Some((last.parse::<u64>().ok()?, length.parse::<u64>().ok()?)));
    ends.is_some_and(|(last, length)| last.checked_add(1) == Some(length))
}

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
