//! One connection: each request is counted, delayed, answered from the routes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;

use crate::config::{Config, Robots};
use crate::outage::{Gate, Outage};
use crate::payload::{Fault, Payload};
use crate::profile::{Dice, Verdict};
use crate::routes::{self, Ask, Pause};
use crate::stats::{Counters, HostCounters, InFlight};
use crate::wire::Link;

/// The largest request body that is kept to be echoed.
const MAX_KEPT_BODY: usize = 64 << 20;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) counters: Counters,
    pub(crate) dice: Dice,
    pub(crate) gate: Gate,
    robots: Option<Robots>,
    /// By lower-case host.
    robots_by_host: HashMap<String, Robots>,
    attempts: Mutex<HashMap<String, u64>>,
}

impl Site {
    pub(crate) fn new(config: Config) -> Self {
        let by_host = config.robots_by_host.into_iter();
        Self {
            counters: Counters::start(),
            dice: Dice::new(config.profile),
            gate: Gate::default(),
            robots: config.robots,
            robots_by_host: by_host.map(|(host, robots)| (host_name(&host), robots)).collect(),
            attempts: Mutex::default(),
        }
    }

    /// What `/robots.txt` says on a host.
    pub(crate) fn robots(&self, host: &str) -> Option<&Robots> {
        self.robots_by_host.get(host).or(self.robots.as_ref())
    }

    /// How many requests with this key were counted. O(1), under a lock.
    pub(crate) fn attempts(&self, key: &str) -> u64 {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(key).copied().unwrap_or_default()
    }

    /// Counts a request with this key; the first is 1. O(1), under a lock.
    pub(crate) fn attempt(&self, key: &str) -> u64 {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = attempts.entry(key.to_owned()).or_default();
        *count += 1;
        *count
    }
}

type Reply = Result<Response<Payload>, Fault>;

/// Answers the requests of one connection.
#[derive(Debug)]
pub(crate) struct Responder {
    site: Arc<Site>,
    link: Arc<Link>,
    peer: SocketAddr,
    /// The host of the previous request, as it was written: nearly every request of a connection has the same.
    recent: RefCell<Option<(HeaderValue, Arc<HostCounters>)>>,
}

impl Responder {
    pub(crate) fn new(site: Arc<Site>, link: Arc<Link>, peer: SocketAddr) -> Self {
        Self { site, link, peer, recent: RefCell::new(None) }
    }

    fn count(&self, request: &Request<Incoming>) -> InFlight {
        let http2 = request.version() == Version::HTTP_2;
        let asked = match request.uri().authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request.headers().get(HOST).map_or(&b""[..], HeaderValue::as_bytes),
        };
        if let Some((written, counters)) = &*self.recent.borrow()
            && written.as_bytes() == asked
        {
            return counters.enter(http2);
        }
        let counters = self.site.counters.host(&host_name(&String::from_utf8_lossy(asked)));
        let in_flight = counters.enter(http2);
        if let Ok(written) = HeaderValue::from_bytes(asked) {
            self.recent.replace(Some((written, counters)));
        }
        in_flight
    }
}

/// The host of a Host header or authority: without user, port and case.
fn host_name(authority: &str) -> String {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let end = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    host.get(..end).unwrap_or(host).to_ascii_lowercase()
}

impl Service<Request<Incoming>> for Responder {
    type Response = Response<Payload>;
    type Error = Fault;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let in_flight = self.count(&request);
        let wait = self.site.dice.wait();
        let (verdict, pause) = match self.site.gate.outage() {
            None => (self.site.dice.verdict(), routes::pause(request.uri(), &self.site)),
            Some(outage) => {
                in_flight.met_outage();
                suffer(outage)
            }
        };
        let link = (request.version() != Version::HTTP_2).then(|| Arc::clone(&self.link));
        let (head, body) = request.into_parts();
        let exchange =
            Exchange { site: Arc::clone(&self.site), link, peer: self.peer, head, verdict, in_flight };
        // Most requests are answered at once: no allocation, no state machine.
        if body.is_end_stream() && wait.is_zero() && pause == Pause::None {
            return Answer::Now(Some(exchange.answer(&Bytes::new())));
        }
        Answer::Later(Box::pin(exchange.answer_later(body, wait, pause)))
    }
}

/// What an outage makes of a request.
fn suffer(outage: Outage) -> (Verdict, Pause) {
    match outage {
        Outage::Status(status) => (Verdict::error(status), Pause::None),
        Outage::Refuse | Outage::Reset => (Verdict::Reset, Pause::None),
        Outage::Stall => (Verdict::Answer, Pause::Forever),
    }
}

/// The answer to one request.
pub(crate) enum Answer {
    Now(Option<Reply>),
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Future for Answer {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match self.get_mut() {
            Self::Now(reply) => reply.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}

/// One request and everything needed to answer it.
struct Exchange {
    site: Arc<Site>,
    link: Option<Arc<Link>>,
    peer: SocketAddr,
    head: request::Parts,
    verdict: Verdict,
    in_flight: InFlight,
}

impl Exchange {
    async fn answer_later(self, body: Incoming, wait: Duration, pause: Pause) -> Reply {
        let Some(body) = receive(body, routes::reads_body(self.head.uri.path())).await? else {
            return Ok(
                self.conclude(routes::text(StatusCode::PAYLOAD_TOO_LARGE, "body larger than 64 MiB\n"))
            );
        };
        let wait = match pause {
            Pause::Forever => return std::future::pending().await,
            Pause::For(pause) => wait + pause,
            Pause::None => wait,
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.answer(&body)
    }

    fn answer(self, body: &Bytes) -> Reply {
        let reply = match self.verdict {
            Verdict::Answer => routes::respond(&Ask {
                head: &self.head,
                body,
                peer: self.peer,
                link: self.link.as_ref(),
                site: &self.site,
                host: self.in_flight.host(),
            }),
            Verdict::Error(status) => Ok(routes::text(status, "an error on purpose\n")),
            Verdict::Reset => Err(Fault::Reset),
        };
        match reply {
            Ok(response) => Ok(self.conclude(response)),
            Err(fault) => {
                fault.prepare(self.link.as_deref());
                Err(fault)
            }
        }
    }

    /// Leaves out the body where HEAD asks for that, and ends the request's count at the right moment.
    fn conclude(self, mut response: Response<Payload>) -> Response<Payload> {
        if self.head.method == Method::HEAD {
            if let Some(length) = response.body().size_hint().exact() {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            *response.body_mut() = Payload::empty();
        }
        if !response.body().is_end_stream() {
            response.body_mut().hold(self.in_flight);
        }
        response
    }
}

/// Reads a request's body to its end, so that the connection can be used again or closed without a reset.
///
/// Returns `None` when it was to be kept and is too large.
async fn receive(mut body: Incoming, keep: bool) -> Result<Option<Bytes>, Fault> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::Close)?;
        if let (true, Ok(data)) = (keep, frame.into_data()) {
            if kept.len() + data.len() > MAX_KEPT_BODY {
                return Ok(None);
            }
            kept.extend_from_slice(&data);
        }
    }
    Ok(Some(kept.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_host_name_is_bare_when_authority_has_port_or_user() {
        for (authority, host) in [
            ("example.org", "example.org"),
            ("EXAMPLE.org:8080", "example.org"),
            ("user:secret@example.org:80", "example.org"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(authority), host, "{authority}");
        }
    }

    #[test]
    fn test_attempts_count_apart_when_keys_differ() {
        let site = Site::new(Config::default());
        assert_eq!([site.attempt("a"), site.attempt("a"), site.attempt("b")], [1, 2, 1]);
        assert_eq!([site.attempts("a"), site.attempts("c")], [2, 0]);
    }
}
