//! Responses that direct a client: statuses, redirects, delays.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

use super::bodies::{MAX_BODY, MAX_MS, plain};
use super::query::number;
use super::{Ask, Outcome, Refusal, octets, text};
use crate::payload::Payload;

const MAX_REDIRECTS: u64 = 1_000_000;

/// `/delay/MS?bytes=N`; the wait is already over here.
pub(super) fn delayed(ask: &Ask<'_>, ms: &str) -> Outcome {
    number("MS", ms, 0..=MAX_MS)?;
    let length = ask.query().number("bytes", 0, 0..=MAX_BODY)?;
    plain(length, 0).map(octets)
}

/// `/status/N?body=TEXT`
pub(super) fn status(ask: &Ask<'_>, status: &str) -> Outcome {
    let status = status_code("N", status)?;
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        let mut response = Response::new(Payload::empty());
        *response.status_mut() = status;
        return Ok(response);
    }
    let body = match ask.query().get("body") {
        Some(body) => Bytes::from(body.into_owned()),
        None => Bytes::from(format!("{}\n", status.as_u16())),
    };
    Ok(text(status, body))
}

/// `/redirect/N`
pub(super) fn redirect(count: &str) -> Outcome {
    match number("N", count, 0..=MAX_REDIRECTS)? {
        0 => Ok(text(StatusCode::OK, "arrived\n")),
        count => redirect_with(StatusCode::FOUND, format!("/redirect/{}", count - 1)),
    }
}

/// `/redirect-to?url=URL&status=N`
pub(super) fn redirect_to(ask: &Ask<'_>) -> Outcome {
    let query = ask.query();
    let status = status_code("status", query.get("status").as_deref().unwrap_or("302"))?;
    let url = query.get("url").ok_or_else(|| Refusal::BadRequest("url is missing".to_owned()))?;
    redirect_with(status, url.into_owned())
}

pub(super) fn redirect_with(status: StatusCode, location: String) -> Outcome {
    let location = HeaderValue::from_maybe_shared(Bytes::from(location))
        .map_err(|_| Refusal::BadRequest("url cannot be sent in a header".to_owned()))?;
    let mut response = Response::new(Payload::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// 1xx would announce another response, so they begin at 200.
pub(super) fn status_code(name: &str, value: &str) -> Result<StatusCode, Refusal> {
    let code = number(name, value, 200..=999)?;
    StatusCode::from_u16(code as u16).map_err(|_| Refusal::NotFound)
}
