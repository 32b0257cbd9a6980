//! Temporary failures: the first requests of a key fail, the later ones do not.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::flow::status_code;
use super::query::{Query, number};
use super::{Ask, Outcome, Pause, Refusal, text};
use crate::connection::Site;
use crate::payload::Fault;

const MAX_SECONDS: u64 = 10_000_000;

/// This soon after the start of a second a response counts as sent at it.
const TURN: Duration = Duration::from_millis(10);

/// `/retry-after?seconds=S&status=N&times=K&key=X`, or `date=S`, `value=TEXT` in place of the seconds;
/// `/retry-after/S`
pub(super) fn retry_after(ask: &Ask<'_>, seconds: &str) -> Outcome {
    let query = ask.query();
    let header = match seconds {
        "" => retry_after_of(query)?,
        seconds => number("S", seconds, 0..=MAX_SECONDS)?.into(),
    };
    let status = status_code("status", query.get("status").as_deref().unwrap_or("503"))?;
    if !still_failing(ask, "retry-after")? {
        return Ok(text(StatusCode::OK, "ready\n"));
    }
    let mut response = text(status, "come back later\n");
    response.headers_mut().insert(RETRY_AFTER, header);
    Ok(response)
}

fn retry_after_of(query: Query<'_>) -> Result<HeaderValue, Refusal> {
    match (query.get("seconds"), query.get("date"), query.get("value")) {
        (Some(seconds), None, None) => Ok(number("seconds", &seconds, 0..=MAX_SECONDS)?.into()),
        (None, Some(seconds), None) => {
            let past = seconds.strip_prefix('-');
            let away_s = number("date", past.unwrap_or(&seconds), 0..=MAX_SECONDS)?;
            let (turn, away) = (nearest_turn(SystemTime::now()), Duration::from_secs(away_s));
            http_date(if past.is_some() { turn - away } else { turn + away })
        }
        (None, None, Some(value)) => HeaderValue::try_from(value.as_ref())
            .map_err(|_| Refusal::BadRequest("value cannot be sent in a header".to_owned())),
        _ => Err(Refusal::BadRequest("give one of seconds, date and value".to_owned())),
    }
}

/// An HTTP-date, whose part of a second is cut off.
pub(super) fn http_date(time: SystemTime) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(httpdate::fmt_http_date(time))
        .map_err(|_| Refusal::BadRequest("the date cannot be sent in a header".to_owned()))
}

/// Says how long a `/retry-after` waits: with a date until the next second begins, because a date has whole seconds
/// only.
pub(super) fn pause(query: Query<'_>, site: &Site) -> Pause {
    if query.get("date").is_none() || !times_left(query, site) {
        return Pause::None;
    }
    let into_second = Duration::from_nanos(since_epoch(SystemTime::now()).subsec_nanos().into());
    match Duration::from_secs(1).saturating_sub(into_second) {
        _ if into_second < TURN => Pause::None,
        rest => Pause::For(rest),
    }
}

/// The whole second nearest to a time: timers may wake a little early or late.
fn nearest_turn(time: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs((since_epoch(time) + Duration::from_millis(500)).as_secs())
}

pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
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
    Ok(ask.site.attempt(&counted_as(query, family)) <= times(query)?)
}

/// Whether the next `/retry-after` of this key would fail.
fn times_left(query: Query<'_>, site: &Site) -> bool {
    times(query).is_ok_and(|times| site.attempts(&counted_as(query, "retry-after")) < times)
}

fn times(query: Query<'_>) -> Result<u64, Refusal> {
    query.number("times", 1, 0..=u64::MAX)
}

fn counted_as(query: Query<'_>, family: &str) -> String {
    format!("{family} {}", query.get("key").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_nearest_turn_is_the_closer_second() {
        for (ms, second) in [(0, 0), (499, 0), (500, 1), (1_999, 2), (2_001, 2)] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            assert_eq!(since_epoch(nearest_turn(time)), Duration::from_secs(second), "{ms}");
        }
    }
}
