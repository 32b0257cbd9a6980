//! The routes: one file per family of paths, all of them pure except for the counters of attempts.

mod bodies;
mod encoded;
mod faults;
mod flow;
mod inspect;
mod limited;
mod query;
mod recovery;
mod robots;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode, Uri, request};

use crate::connection::Site;
use crate::payload::{Fault, Payload};
use crate::stats::HostCounters;
use crate::wire::Link;
use query::Query;

const INDEX: &str = "\
hurtle test server. N, MS, S, K are whole numbers; whatever a query leaves out has a default.

GET  /bytes/N?seed=S                  N bytes, different for each N and seed
GET  /gzip/N /deflate/N /raw-deflate/N /br/N /zstd/N   the same bytes, encoded
GET  /stream?chunks=N&size=M&ms=MS    N chunks of M bytes, no declared length
GET  /drip?bytes=N&ms=MS&pause_ms=MS  N bytes one by one, MS apart, after a pause
GET  /headers/N                       N response headers
GET  /huge-header/N                   one response header of N bytes
ANY  /delay/MS?bytes=N                answers after MS milliseconds
ANY  /hang                            never answers
ANY  /status/N?body=TEXT              that status
GET  /redirect/N                      N redirects, then 200
ANY  /redirect-to?url=URL&status=N    one redirect
ANY  /retry-after?seconds=S&status=N&times=K&key=X   503 (or 429) with Retry-After for the first K requests of a
                                      key, then 200; /retry-after/S is short for it. In place of seconds:
                                      date=S (an HTTP-date that far ahead, answered at the turn of a second so
                                      that it is exact; negative: in the past), value=TEXT (as it is)
GET  /flaky?times=K&key=X&status=N    that status (or fault=reset|close) for the first K requests, then 200
ANY  /limited?rate=N&per=S&window=sliding&key=X      200 up to N requests per S seconds of a host and key, else
                                      429. window: sliding, fixed, bucket (burst=N tokens, at most; as many as
                                      rate), spaced (per / rate apart; burst=N: that many at once).
                                      headers=draft|x|structured: RateLimit fields of that kind;
                                      retry_after=1|date: Retry-After in seconds or as a date;
                                      status=N: that instead of 429
GET  /robots.txt                      what the server was started with for the host, else 404
ANY  /echo                            the request as JSON
GET  /cookies                         the request's cookies as JSON
GET  /cookies/set?NAME=VALUE          sets cookies, redirects to /cookies
GET  /basic-auth/USER/PASSWORD        401 without these credentials
ANY  /reset?after=N                   TCP reset, at once or after N bytes of a longer body
ANY  /truncate/N                      declares N + 100 bytes, sends N, closes
ANY  /close                           closes without an answer
";

/// One request, as passed to a route.
pub(crate) struct Ask<'a> {
    pub(crate) head: &'a request::Parts,
    /// Empty unless [`reads_body`] says that the path needs it.
    pub(crate) body: &'a Bytes,
    pub(crate) peer: SocketAddr,
    /// `None` on HTTP/2.
    pub(crate) link: Option<&'a Arc<Link>>,
    pub(crate) site: &'a Site,
    pub(crate) host: &'a HostCounters,
}

impl Ask<'_> {
    fn query(&self) -> Query<'_> {
        Query::new(self.head.uri.query().unwrap_or_default())
    }
}

/// What a request waits for before its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    None,
    For(Duration),
    Forever,
}

/// Why a route has no regular response.
#[derive(Debug)]
enum Refusal {
    NotFound,
    BadRequest(String),
    Fault(Fault),
}

type Outcome = Result<Response<Payload>, Refusal>;

/// Says how long a request waits.
pub(crate) fn pause(uri: &Uri, site: &Site) -> Pause {
    match split(uri.path()) {
        ("hang", "") => Pause::Forever,
        // The route refuses anything else, at once.
        ("delay", ms) => match ms.parse() {
            Ok(ms @ 1..=bodies::MAX_MS) => Pause::For(Duration::from_millis(ms)),
            _ => Pause::None,
        },
        ("retry-after", "") => recovery::pause(Query::new(uri.query().unwrap_or_default()), site),
        _ => Pause::None,
    }
}

/// Whether a path needs the request's body; for all others it is read and dropped.
pub(crate) fn reads_body(path: &str) -> bool {
    path == "/echo"
}

/// Answers a request.
pub(crate) fn respond(ask: &Ask<'_>) -> Result<Response<Payload>, Fault> {
    let path = ask.head.uri.path();
    dispatch(ask, path).or_else(|refusal| match refusal {
        Refusal::NotFound => Ok(text(StatusCode::NOT_FOUND, "no such path; GET / lists what there is\n")),
        Refusal::BadRequest(why) => Ok(text(StatusCode::BAD_REQUEST, why + "\n")),
        Refusal::Fault(fault) => Err(fault),
    })
}

fn dispatch(ask: &Ask<'_>, path: &str) -> Outcome {
    match split(path) {
        ("bytes", n) => bodies::bytes(ask, n),
        ("", "") => Ok(text(StatusCode::OK, INDEX)),
        ("gzip", n) => encoded::encoded(ask, encoded::Coding::Gzip, n),
        ("deflate", n) => encoded::encoded(ask, encoded::Coding::Deflate, n),
        ("raw-deflate", n) => encoded::encoded(ask, encoded::Coding::RawDeflate, n),
        ("br", n) => encoded::encoded(ask, encoded::Coding::Brotli, n),
        ("zstd", n) => encoded::encoded(ask, encoded::Coding::Zstd, n),
        ("stream", "") => bodies::stream(ask),
        ("drip", "") => bodies::drip(ask),
        ("headers", n) => bodies::headers(n),
        ("huge-header", n) => bodies::huge_header(n),
        ("delay", ms) => flow::delayed(ask, ms),
        ("status", status) => flow::status(ask, status),
        ("redirect", n) => flow::redirect(n),
        ("redirect-to", "") => flow::redirect_to(ask),
        ("retry-after", seconds) => recovery::retry_after(ask, seconds),
        ("flaky", "") => recovery::flaky(ask),
        ("limited", "") => limited::limited(ask),
        ("robots.txt", "") => robots::robots(ask),
        ("echo", "") => Ok(inspect::echo(ask)),
        ("cookies", "") => Ok(inspect::cookies(ask)),
        ("cookies", "set") => inspect::set_cookies(ask),
        ("basic-auth", credentials) => inspect::basic_auth(ask, credentials),
        ("reset", "") => faults::reset(ask),
        ("truncate", n) => faults::truncate(ask, n),
        ("close", "") => Err(Refusal::Fault(Fault::Close)),
        _ => Err(Refusal::NotFound),
    }
}

/// The first segment of a path, and the rest without the slash between them.
fn split(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').unwrap_or((path, ""))
}

/// A small text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Payload> {
    respond_with(status, "text/plain; charset=utf-8", text.into())
}

fn json(value: &serde_json::Value) -> Response<Payload> {
    respond_with(StatusCode::OK, "application/json", Bytes::from(value.to_string()))
}

fn respond_with(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Payload> {
    let mut response = Response::new(Payload::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn octets(payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
