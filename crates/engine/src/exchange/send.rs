//! Sends one request and takes its response, over either protocol.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::body::{self, BodyRules, Incoming, Read};
use super::classify;
use super::heads::{self, Heads};
use super::redirect::{Audience, leads_on};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::outcome::{Received, Truncated, Wire};
use crate::pool::{H1, NoHead, StreamPlace};
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
    /// The connection, which closed before the first byte of a response.
    Silence,
    /// Further, or unknown.
    Further,
}

/// How an exchange ended.
pub(crate) struct Exchanged {
    pub(crate) received: Option<Received>,
    pub(crate) failure: Option<Failure>,
    pub(crate) reached: Reached,
}

impl Exchanged {
    /// No connection was to be had.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self { reached: Reached::Nothing, ..Self::failed(failure) }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { received: None, failure: Some(failure), reached: Reached::Further }
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
    audience: Audience,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Exchanged {
    clock.enter(Phase::FirstByte);
    let keeps = rules.records_exchanges;
    let response = match channel {
        Channel::Http1(connection) => over_http1(connection, request, heads, audience, keeps).await,
        Channel::Http2(place) => over_http2(place, request, heads, audience, keeps).await,
    };
    match response {
        Ok((received, incoming)) => {
            clock.enter(Phase::Body);
            receive(request.method(), received, incoming, rules, clock).await
        }
        Err(ended) => ended,
    }
}

async fn over_http1<'a>(
    connection: &'a mut H1,
    request: &Request,
    heads: &Heads,
    audience: Audience,
    records_exchanges: bool,
) -> Result<(Received, Incoming<'a>), Exchanged> {
    heads.write_http1(connection.begin(), request, audience);
    let body = body_of(request);
    let sent = records_exchanges.then(|| [connection.keep(), &body].concat());
    let head = connection.response(body, *request.method() == Method::HEAD).await;
    let head = head.map_err(|NoHead { failure, unsent, silence }| {
        let reached = match (unsent, silence) {
            (true, _) => Reached::Nothing,
            (false, true) => Reached::Silence,
            (false, false) => Reached::Further,
        };
        Exchanged { reached, ..Exchanged::failed(failure) }
    })?;
    let received = Received {
        status: head.status,
        version: head.version,
        reason: head.reason,
        headers: head.headers,
        wire: sent.map(|request| Box::new(Wire { request: request.into(), ..Wire::default() })),
        ..Received::default()
    };
    Ok((received, Incoming::Http1 { connection, framing: head.framing }))
}

async fn over_http2(
    place: &StreamPlace,
    request: &Request,
    heads: &Heads,
    audience: Audience,
    records_exchanges: bool,
) -> Result<(Received, Incoming<'static>), Exchanged> {
    let sent = records_exchanges.then(|| {
        let mut sent = Vec::new();
        heads.write_http1(&mut sent, request, audience);
        sent.extend_from_slice(&body_of(request));
        sent
    });
    let Some(request) = heads.http2(request, audience) else {
        return Err(Exchanged::failed(Failure::new(Code::InputUrl, "the URL cannot be sent")));
    };
    let mut sender = place.sender();
    sender.ready().await.map_err(|error| {
        let failure = classify::failure(&error, Phase::FirstByte);
        Exchanged { reached: Reached::Nothing, ..Exchanged::failed(failure) }
    })?;
    let response = sender.try_send_request(request).await.map_err(|mut error| {
        let unsent = error.take_message().is_some();
        let error = error.into_error();
        let failure = classify::failure(&error, Phase::FirstByte);
        let reached = match failure.code {
            _ if classify::was_not_processed(&error) => Reached::Refusal,
            _ if unsent => Reached::Nothing,
            Code::ProtocolEmpty | Code::ConnectReset => Reached::Silence,
            _ => Reached::Further,
        };
        Exchanged { reached, ..Exchanged::failed(failure) }
    })?;
    place.note_answer();
    let (head, incoming) = response.into_parts();
    let received = Received {
        status: head.status.as_u16(),
        version: head.version,
        headers: HeaderBlock::from(&head.headers),
        wire: sent.map(|request| Box::new(Wire { request: request.into(), ..Wire::default() })),
        ..Received::default()
    };
    let kept = records_exchanges.then(|| heads::response_head(&head));
    Ok((received, Incoming::Http2 { incoming, kept }))
}

fn body_of(request: &Request) -> Bytes {
    request.spec.as_ref().and_then(|spec| spec.body.clone()).unwrap_or_default()
}

async fn receive(
    method: &Method,
    mut received: Received,
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
    let read = if rules.follow_redirects && leads_on(received.status, received.headers.get_all("location")) {
        body::skip(&mut incoming).await
    } else {
        body::read(&mut incoming, rules, clock).await
    };
    keep(&mut received, &mut incoming, read.cut());
    incoming.close_unless_whole(&read);
    let failure = settle(&mut received, read, method, rules);
    Exchanged { received: Some(received), failure, reached: Reached::Further }
}

/// Keeps the bytes received so far, if the job keeps them.
fn keep(received: &mut Received, incoming: &mut Incoming<'_>, truncated: Option<Truncated>) {
    if let (Some(wire), Some(kept)) = (&mut received.wire, incoming.kept()) {
        wire.response = std::mem::take(kept).into();
        wire.truncated = truncated;
    }
}

/// Decodes what was read, or says why that is not possible.
fn settle(received: &mut Received, read: Read, method: &Method, rules: &BodyRules<'_>) -> Option<Failure> {
    received.wire_bytes = read.wire_bytes;
    if read.failure.is_some() || *method == Method::HEAD {
        return read.failure;
    }
    match body::decoded(received.headers.get_all("content-encoding"), read.body, !read.whole, rules) {
        Ok(decoded) => {
            received.body = decoded.body;
            received.truncated = decoded.truncated.then_some(Truncated::Length);
            received.encoding_left = decoded.left.map(String::into_boxed_str);
        }
        Err(undecodable) => return Some(undecodable),
    }
    None
}
