//! Sends one request and takes its response, over either protocol.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};

use super::body::{self, Body, BodyRules, Plain, Read};
use super::classify;
use super::heads::{self, Ask, Asking, Heads};
use super::incoming::{Incoming, failure_h2, malformed_h2};
use super::redirect::leads_on;
use super::resume::Answer;
use super::spill::Trouble;
use super::validators::is_unasked_part;
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::job::Claim;
use crate::outcome::{Received, Truncated, Wire};
use crate::pool::{H1, NoHead, NoResponse, Reading, StreamPlace};
use crate::request::Request;
use crate::timings::Phase;

/// The connection a request goes on.
pub(crate) enum Channel<'a> {
    Http1(&'a mut H1),
    Http2(&'a StreamPlace),
}

/// How far a request without a response got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// No byte of it was handed to the connection.
    Nothing,
    /// The peer, which says that it did not process it.
    Refusal,
    /// A peer that wants HTTP/1.1 instead.
    OtherVersion,
    /// A peer that wants fewer requests.
    Excess,
    /// The connection, which closed before the first byte of a response.
    Silence,
    /// Into a body that it kept the peer waiting with, which then left. It needs so many bytes of room.
    Paused(u64),
    /// A response that is not the rest of a body, which it was asked for.
    NoRest,
    /// A body that cannot be written to the disk. That is noted already.
    Disk,
    /// Further, or unknown.
    Further,
}

const PROXY_AUTHENTICATION: u16 = 407;

/// A peer that is made to wait for longer than this may leave.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// How an exchange ended.
pub(crate) struct Exchanged {
    pub(crate) received: Option<Box<Received>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) reached: Reached,
    /// What its body holds of the job's memory, until its row does.
    pub(crate) claim: Claim,
}

impl Exchanged {
    /// No connection was to be had.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self { reached: Reached::Nothing, ..Self::failed(failure) }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { received: None, failure: Some(failure), reached: Reached::Further, claim: Claim::default() }
    }
}

/// Sends `request` and reads its response to the end. Afterwards the connection knows whether it can take another.
///
/// # Cancel safety
/// If it is dropped midway, the connection must not be used again (HTTP/1.1) or its stream is reset (HTTP/2).
pub(crate) async fn exchange(
    channel: Channel<'_>,
    request: &Request,
    heads: &Heads,
    asking: Asking,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Exchanged {
    clock.enter(Phase::FirstByte);
    let (keeps, strict) = (rules.keeps.exchanges, rules.strict);
    let partial = rules.partial.and_then(Cell::take);
    let rest = partial.as_ref().map(|partial| partial.headers(request)).unwrap_or_default();
    if let Some(slot) = rules.partial {
        slot.set(partial);
    }
    let ask = Ask { request, asking, rest: &rest, to_proxy: None };
    let response = match channel {
        Channel::Http1(connection) => over_http1(connection, &ask, heads, keeps, strict).await,
        Channel::Http2(place) => over_http2(place, &ask, heads, keeps, clock).await,
    };
    match response {
        Ok((received, incoming)) => {
            clock.enter(Phase::Body);
            let mut exchanged = receive(&ask, received, incoming, rules, clock).await;
            if let Some(received) = exchanged.received.as_mut()
                && received.truncated.is_none()
                && is_unasked_part(received, || heads.asks_for_part(request))
            {
                received.truncated = Some(Truncated::Part);
            }
            exchanged
        }
        Err(ended) => ended,
    }
}

async fn over_http1<'a>(
    connection: &'a mut H1,
    ask: &Ask<'_>,
    heads: &Heads,
    records_exchanges: bool,
    strict: bool,
) -> Result<(Box<Received>, Incoming<'a>), Exchanged> {
    let request = ask.request;
    let lines = connection.to_proxy.clone();
    let ask = &Ask { to_proxy: lines.as_deref(), ..*ask };
    heads.write_http1(connection.begin(), ask);
    let body = body_of(request);
    let sent = records_exchanges.then(|| [connection.keep(), &body].concat());
    let reading = Reading { without_body: *request.method() == Method::HEAD, strict };
    let head = connection.response(body, reading).await;
    let head = head.map_err(|NoHead { failure, unsent, silence }| {
        let reached = match (unsent, silence) {
            (true, _) => Reached::Nothing,
            (false, true) => Reached::Silence,
            (false, false) => Reached::Further,
        };
        Exchanged { reached, ..Exchanged::failed(failure) }
    })?;
    if lines.is_some() && head.received.status == PROXY_AUTHENTICATION {
        // The proxy's own answer: the origin was not asked.
        return Err(Exchanged::unsent(Failure::new(
            Code::ProxyAuth,
            "the proxy asks for credentials, or for others (407)",
        )));
    }
    let mut received = head.received;
    received.remark = head.tolerated.remark();
    received.wire = sent.map(|request| Box::new(Wire { request: request.into(), ..Wire::default() }));
    Ok((received, Incoming::Http1 { connection, framing: head.framing }))
}

async fn over_http2<'a>(
    place: &'a StreamPlace,
    ask: &Ask<'_>,
    heads: &Heads,
    records_exchanges: bool,
    clock: &PhaseClock,
) -> Result<(Box<Received>, Incoming<'a>), Exchanged> {
    let request = ask.request;
    let sent = records_exchanges.then(|| {
        let mut sent = Vec::new();
        heads.write_http1(&mut sent, ask);
        sent.extend_from_slice(&body_of(request));
        sent
    });
    let body = body_of(request);
    let Some(request) = heads.http2(ask) else {
        return Err(Exchanged::failed(Failure::new(Code::InputUrl, "the URL cannot be sent")));
    };
    let is_head = *request.method() == Method::HEAD;
    let response = place
        .response(request, body, clock)
        .await
        .map_err(|no_response| without_response(place, no_response))?;
    if place.is_malformed() {
        return Err(Exchanged::failed(malformed_h2()));
    }
    let (head, incoming) = response.into_parts();
    let received = Box::new(Received {
        status: head.status.as_u16(),
        version: head.version,
        headers: HeaderBlock::from(&head.headers),
        wire: sent.map(|request| Box::new(Wire { request: request.into(), ..Wire::default() })),
        ..Received::default()
    });
    let kept = records_exchanges.then(|| heads::response_head(&head));
    let has_body = !is_head && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let left = declared_length(&head.headers).filter(|_| has_body);
    Ok((received, Incoming::Http2 { place, incoming, has_body, left, taken: 0, kept }))
}

/// The end of a request over HTTP/2 that has no response.
fn without_response(place: &StreamPlace, no_response: NoResponse) -> Exchanged {
    let (error, unsent) = match no_response {
        NoResponse::TooManyInterim => return Exchanged::failed(Failure::too_many_interim()),
        NoResponse::Unsent(error) => (error, true),
        NoResponse::Failed(error) => (error, false),
    };
    let mut failure = failure_h2(place, &error, Phase::FirstByte);
    if matches!(failure.code, Code::ProtocolH2Flood | Code::ProtocolH2) && place.is_head_too_large() {
        failure.code = Code::TooLargeHeaders;
    }
    let reached = match failure.code {
        _ if place.is_http1() || classify::wants_http1(&error) => Reached::OtherVersion,
        _ if classify::wants_less(&error) => Reached::Excess,
        _ if unsent => Reached::Nothing,
        _ if classify::was_not_processed(&error) => Reached::Refusal,
        Code::ProtocolEmpty | Code::ConnectReset => Reached::Silence,
        _ => Reached::Further,
    };
    Exchanged { reached, ..Exchanged::failed(failure) }
}

/// What a response's Content-Length says; h2 has checked that it is a number.
fn declared_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn body_of(request: &Request) -> Bytes {
    request.spec.as_ref().and_then(|spec| spec.body.clone()).unwrap_or_default()
}

/// The body of a response: a new one, or the rest of one that was cut. `received` becomes the response that it is the body
/// of. None: the response is not what it was asked for.
fn body_for<'a>(
    received: &mut Received,
    declared: Option<u64>,
    is_rest_asked: bool,
    rules: &BodyRules<'a>,
) -> Option<Body<'a>> {
    let slot = rules.partial.filter(|_| is_rest_asked);
    let (Some(slot), Some(mut partial)) = (slot, slot.and_then(Cell::take)) else {
        return Some(Body::new(rules));
    };
    match partial.answer(received, declared) {
        Answer::Rest => {
            *received = Received { version: received.version, ..partial.terms.head() };
            return Some(Body::of(*partial, rules));
        }
        Answer::Whole => {}
        Answer::Other => slot.set(Some(partial)),
        Answer::Useless => return None,
    }
    Some(Body::new(rules))
}

async fn receive(
    ask: &Ask<'_>,
    mut received: Box<Received>,
    mut incoming: Incoming<'_>,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Exchanged {
    if let (Some(wire), Some(head)) = (&mut received.wire, incoming.kept()) {
        wire.body_at = head.len();
    }
    if received.status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
        keep(&mut received, &mut incoming, None);
        let failure = Failure::new(
            Code::ProtocolUpgrade,
            "the server switched to another protocol, which was not requested",
        );
        return Exchanged { received: Some(received), ..Exchanged::failed(failure) };
    }
    let mut claim = rules.claim.take();
    let declared = incoming.declared();
    let Some(mut body) = body_for(&mut received, declared, !ask.rest.is_empty(), rules) else {
        return not_the_rest(incoming);
    };
    let read = if rules.follow_redirects && leads_on(received.status, received.headers.get_all("location")) {
        Ok(body::skip(&mut incoming).await)
    } else {
        let of = (ask.request, &*received);
        body::read(&mut incoming, &mut body, of, &mut claim, rules, clock).await
    };
    let read = match read {
        Ok(read) => read,
        Err(error) => return disk_failed(&error, rules),
    };
    if read.is_no_rest {
        return not_the_rest(incoming);
    }
    keep(&mut received, &mut incoming, read.cut());
    received.add_remark(incoming.remark());
    incoming.close_unless_whole(read.whole && read.failure.is_none());
    let code = read.failure.as_ref().map(|failure| failure.code);
    let is_left =
        matches!(code, Some(Code::TruncatedDisconnect | Code::TruncatedTlsClose | Code::TruncatedH2Reset));
    let reached = if is_left && clock.paused() > LONG_PAUSE {
        Reached::Paused(rules.room(declared.unwrap_or(read.wire_bytes)))
    } else {
        Reached::Further
    };
    let failure = match settle(&mut received, read, body, ask, &mut claim, rules, clock).await {
        Ok(failure) => failure,
        Err(error) => return disk_failed(&error, rules),
    };
    let kept = received.wire.as_ref().map_or(0, |wire| wire.response.len());
    claim.shrink((received.body.len() + kept) as u64);
    Exchanged { received: Some(received), failure, reached, claim }
}

/// The end of a request for the rest of a body, which the response is not.
fn not_the_rest(incoming: Incoming<'_>) -> Exchanged {
    incoming.close_unless_whole(false);
    let failure = Failure::new(Code::ProtocolOther, "the response is not the range that was asked for");
    Exchanged { reached: Reached::NoRest, ..Exchanged::failed(failure) }
}

/// The end of a request whose body cannot be written: its job ends.
fn disk_failed(error: &io::Error, rules: &BodyRules<'_>) -> Exchanged {
    rules.gate.job().fail_on_disk(error);
    let failure = Failure::new(Code::ProtocolOther, "the body could not be written to the disk");
    Exchanged { reached: Reached::Disk, ..Exchanged::failed(failure) }
}

/// Keeps the bytes received so far, if the job keeps them.
fn keep(received: &mut Received, incoming: &mut Incoming<'_>, truncated: Option<Truncated>) {
    if let (Some(wire), Some(kept)) = (&mut received.wire, incoming.kept()) {
        wire.response = std::mem::take(kept).into();
        wire.truncated = truncated;
    }
}

/// Decodes what was read, or says why that is not possible.
///
/// # Errors
/// The disk failed.
async fn settle(
    received: &mut Received,
    read: Read,
    mut body: Body<'_>,
    ask: &Ask<'_>,
    claim: &mut Claim,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> io::Result<Option<Failure>> {
    received.wire_bytes = read.wire_bytes;
    if read.failure.is_some() || *ask.request.method() == Method::HEAD {
        return Ok(read.failure);
    }
    let is_part = received.status == StatusCode::PARTIAL_CONTENT.as_u16();
    let cut = read.cut();
    if let Some(plain) = body.take_plain(received) {
        received.body = plain;
        received.truncated = cut;
        return Ok(None);
    }
    match body::decoded(received, &mut body, !read.whole, claim, rules, clock).await {
        Ok(Plain { body, file, truncated, coded, left, remark }) => {
            received.body = body;
            received.file = file;
            received.truncated = if is_part { cut } else { truncated };
            received.body_encoding = coded.map(String::into_boxed_str);
            received.encoding_left = left.map(String::into_boxed_str);
            received.add_remark(remark);
            Ok(None)
        }
        Err(Trouble::Body(undecodable)) => Ok(Some(undecodable)),
        Err(Trouble::Disk(error)) => Err(error),
    }
}
