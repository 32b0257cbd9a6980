//! A hard limit on requests over time, and the headers in which servers report theirs.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::query::{Query, number};
use super::recovery::{http_date, since_epoch};
use super::{Ask, Outcome, Refusal, text};
use crate::limiter::{Rule, Ruling, Window};

const MAX_RATE: u64 = 1_000_000;
const MAX_PER_S: f64 = 86_400.0;
const MIN_PER_S: f64 = 0.001;

/// `/limited?rate=N&per=S&window=W&burst=N&key=X&headers=H&retry_after=R&status=N`
pub(super) fn limited(ask: &Ask<'_>) -> Outcome {
    let query = ask.query();
    let rule = rule(query)?;
    let (dialect, retry_after) = (dialect(query)?, retry_after(query)?);
    let key = query.get("key").unwrap_or_default();
    let ruling = ask.host.limits.ask(&key, rule, ask.host.started);
    let mut response = if ruling.accepted {
        text(StatusCode::OK, "accepted\n")
    } else {
        text(refusal(query)?, "too many requests\n")
    };
    let headers = response.headers_mut();
    if let Some(dialect) = dialect {
        dialect.describe(rule, ruling, headers)?;
    }
    if let (false, Some(form)) = (ruling.accepted, retry_after) {
        headers.insert(RETRY_AFTER, form.write(ruling.wait)?);
    }
    Ok(response)
}

/// The status of a refusal.
fn refusal(query: Query<'_>) -> Result<StatusCode, Refusal> {
    let status = query.number("status", 429, 400..=599)? as u16;
    StatusCode::from_u16(status).map_err(|_| Refusal::BadRequest("status must be 400 to 599".to_owned()))
}

fn rule(query: Query<'_>) -> Result<Rule, Refusal> {
    let rate = number("rate", &query.get("rate").unwrap_or_default(), 1..=MAX_RATE)? as u32;
    let per = per(query)?;
    let kind = query.get("window");
    let kind = kind.as_deref().unwrap_or("sliding");
    let burst = match kind {
        "bucket" => query.number("burst", rate.into(), 1..=MAX_RATE)? as u32,
        "spaced" => query.number("burst", 1, 1..=MAX_RATE)? as u32,
        _ if query.get("burst").is_some() => {
            return Err(Refusal::BadRequest("burst goes with window=bucket or window=spaced".to_owned()));
        }
        _ => 1,
    };
    let window = match kind {
        "sliding" => Window::Sliding,
        "fixed" => Window::Fixed,
        "bucket" | "spaced" => Window::Bucket { burst },
        _ => return Err(Refusal::BadRequest("window must be sliding, fixed, bucket or spaced".to_owned())),
    };
    Ok(Rule { window, rate, per })
}

fn per(query: Query<'_>) -> Result<Duration, Refusal> {
    let seconds = match query.get("per") {
        None => Some(1.0),
        Some(seconds) => seconds.parse().ok().filter(|per| (MIN_PER_S..=MAX_PER_S).contains(per)),
    };
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Refusal::BadRequest(format!("per must be {MIN_PER_S} to {MAX_PER_S} seconds")))
}

/// The form of Retry-After.
#[derive(Debug, Clone, Copy)]
enum RetryAfter {
    Seconds,
    Date,
}

fn retry_after(query: Query<'_>) -> Result<Option<RetryAfter>, Refusal> {
    match query.get("retry_after").as_deref() {
        None => Ok(None),
        Some("1") => Ok(Some(RetryAfter::Seconds)),
        Some("date") => Ok(Some(RetryAfter::Date)),
        Some(_) => Err(Refusal::BadRequest("retry_after must be 1 or date".to_owned())),
    }
}

impl RetryAfter {
    /// Rounded up: a request that comes back then is accepted.
    fn write(self, wait: Duration) -> Result<HeaderValue, Refusal> {
        match self {
            Self::Seconds => Ok(whole_seconds(wait).into()),
            Self::Date => {
                let epoch_s = whole_seconds(since_epoch(SystemTime::now()) + wait);
                http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch_s))
            }
        }
    }
}

/// The header fields in which a server reports its limit.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    /// `RateLimit-Limit`, `-Remaining`, `-Reset` in seconds.
    ///
    /// Source: draft-ietf-httpapi-ratelimit-headers-03.
    Draft,
    /// The same names with `X-`, and the reset as seconds since 1970, as GitHub sends them.
    X,
    /// `RateLimit` and `RateLimit-Policy` as structured fields.
    ///
    /// Source: draft-ietf-httpapi-ratelimit-headers-10.
    Structured,
}

fn dialect(query: Query<'_>) -> Result<Option<Dialect>, Refusal> {
    match query.get("headers").as_deref() {
        None => Ok(None),
        Some("draft") => Ok(Some(Dialect::Draft)),
        Some("x") => Ok(Some(Dialect::X)),
        Some("structured") => Ok(Some(Dialect::Structured)),
        Some(_) => Err(Refusal::BadRequest("headers must be draft, x or structured".to_owned())),
    }
}

impl Dialect {
    fn describe(self, rule: Rule, ruling: Ruling, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let Ruling { remaining, reset, .. } = ruling;
        let reset_s = whole_seconds(reset);
        match self {
            Self::Draft => {
                headers.insert(HeaderName::from_static("ratelimit-limit"), rule.rate.into());
                headers.insert(HeaderName::from_static("ratelimit-remaining"), remaining.into());
                headers.insert(HeaderName::from_static("ratelimit-reset"), reset_s.into());
            }
            Self::X => {
                let epoch_s = whole_seconds(since_epoch(SystemTime::now()) + reset);
                headers.insert(HeaderName::from_static("x-ratelimit-limit"), rule.rate.into());
                headers.insert(HeaderName::from_static("x-ratelimit-remaining"), remaining.into());
                headers.insert(HeaderName::from_static("x-ratelimit-reset"), epoch_s.into());
            }
            Self::Structured => {
                let state = format!(r#""default";r={remaining};t={reset_s}"#);
                headers.insert(HeaderName::from_static("ratelimit-policy"), value(policy(rule))?);
                headers.insert(HeaderName::from_static("ratelimit"), value(state)?);
            }
        }
        Ok(())
    }
}

/// The window is a whole number of seconds there, and left out if it is not.
fn policy(rule: Rule) -> String {
    let quota = format!(r#""default";q={}"#, rule.rate);
    if rule.per.subsec_nanos() == 0 { format!("{quota};w={}", rule.per.as_secs()) } else { quota }
}

fn value(text: String) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(text)
        .map_err(|_| Refusal::BadRequest("the limit cannot be sent in a header".to_owned()))
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
