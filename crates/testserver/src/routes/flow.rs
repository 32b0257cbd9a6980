//! Answers that steer a client: statuses, redirects, delays, failures that pass.

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::bodies::{MAX_BODY, MAX_MS, plain};
use super::query::number;
use super::{Ask, Outcome, Refusal, octets, text};
use crate::payload::{Fault, Payload};

const MAX_REDIRECTS: u64 = 1_000_000;
const MAX_SECONDS: u64 = 10_000_000;

/// `/delay/MS?bytes=N`; the wait lies behind us.
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

/// `/retry-after/S?times=K&key=X`
pub(super) fn retry_after(ask: &Ask<'_>, seconds: &str) -> Outcome {
    let seconds = number("S", seconds, 0..=MAX_SECONDS)?;
    if !still_failing(ask, "retry-after")? {
        return Ok(text(StatusCode::OK, "ready\n"));
    }
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "come back later\n");
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    Ok(response)
}

/// `/flaky?times=K&key=X&status=N`, or `fault=reset`, `fault=close` in place of the status
pub(super) fn flaky(ask: &Ask<'_>) -> Outcome {
    let query = ask.query();
    let status = status_code("status", query.get("status").as_deref().unwrap_or("503"))?;
    let failure = match query.get("fault").as_deref() {
        None => Ok(text(status, "failing\n")),
        Some("reset") => Err(Refusal::Fault(Fault::Reset)),
        Some("close") => Err(Refusal::Fault(Fault::Close)),
        Some(_) => return Err(Refusal::BadRequest("fault must be reset or close".to_owned())),
    };
    if still_failing(ask, "flaky")? { failure } else { Ok(text(StatusCode::OK, "recovered\n")) }
}

/// Counts this request under its key and says whether it is among the first `times`.
fn still_failing(ask: &Ask<'_>, family: &str) -> Result<bool, Refusal> {
    let query = ask.query();
    let times = query.number("times", 1, 0..=u64::MAX)?;
    let key = query.get("key").unwrap_or_default();
    Ok(ask.site.attempt(&format!("{family} {key}")) <= times)
}

/// 1xx would announce a further answer, so they begin at 200.
fn status_code(name: &str, value: &str) -> Result<StatusCode, Refusal> {
    let code = number(name, value, 200..=999)?;
    StatusCode::from_u16(code as u16).map_err(|_| Refusal::NotFound)
}
