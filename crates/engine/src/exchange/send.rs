//! Sends one request and takes its response.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;

use super::body::{self, BodyRules, Read};
use super::classify;
use super::redirect::{keeps_header, leads_on};
use crate::clock::PhaseClock;
use crate::error::{Code, Failure};
use crate::outcome::Received;
use crate::pool::{H1, SendBody, StreamPlace};
use crate::request::Request;
use crate::target::Target;
use crate::timings::Phase;

/// The heads of all requests, as far as they are alike: cloned, never built anew.
pub(crate) struct Heads {
    /// HTTP/1.1, with an empty Host in the first place.
    http1: HeaderMap,
    http2: HeaderMap,
}

impl Heads {
    /// `shared` are the headers of every request, over the engine's own.
    pub(crate) fn new(shared: &[(HeaderName, HeaderValue)]) -> Self {
        let mut http2 = HeaderMap::new();
        http2.insert(ACCEPT, HeaderValue::from_static("*/*"));
        http2.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
        override_with(&mut http2, shared.iter());
        let mut http1 = HeaderMap::with_capacity(http2.len() + 1);
        http1.insert(HOST, HeaderValue::from_static(""));
        http1.extend(http2.clone());
        http2.remove(HOST);
        Self { http1, http2 }
    }

    /// The head of `request`. `left_origin`: a redirect led away from the origin the caller spoke of, so what the
    /// caller said to that origin stays behind.
    fn request(
        &self,
        request: &Request,
        authority: &HeaderValue,
        version: Version,
        left_origin: bool,
    ) -> Option<http::Request<SendBody>> {
        let http1 = version == Version::HTTP_11;
        let mut headers = if http1 { self.http1.clone() } else { self.http2.clone() };
        if left_origin {
            retain(&mut headers);
        }
        if http1
            && let Some(host) = headers.get_mut(HOST)
            && (left_origin || host.is_empty())
        {
            *host = authority.clone();
        }
        let mut body = Bytes::new();
        let mut method = &Method::GET;
        if let Some(spec) = &request.spec {
            override_with(&mut headers, spec.headers.iter().filter(|(name, _)| !left_origin || keeps_header(name)));
            body = spec.body.clone().unwrap_or_default();
            method = &spec.method;
        }
        if body.is_empty() && expects_body(method) {
            headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        }
        let mut out = http::Request::new(SendBody::new(body));
        *out.uri_mut() = uri(&request.target, http1)?;
        *out.method_mut() = method.clone();
        *out.headers_mut() = headers;
        *out.version_mut() = version;
        Some(out)
    }
}

/// A name that is given replaces all that stood under it; given twice, both are sent.
fn override_with<'a>(headers: &mut HeaderMap, own: impl Iterator<Item = &'a (HeaderName, HeaderValue)> + Clone) {
    for (name, _) in own.clone() {
        headers.remove(name);
    }
    for (name, value) in own {
        headers.append(name.clone(), value.clone());
    }
}

fn retain(headers: &mut HeaderMap) {
    let drop: Vec<HeaderName> = headers.keys().filter(|name| *name != HOST && !keeps_header(name)).cloned().collect();
    for name in drop {
        headers.remove(name);
    }
}

/// Whether a server may ask for a length although there is no body. Source: RFC 9110, section 8.6.
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn uri(target: &Target, origin_form: bool) -> Option<Uri> {
    if origin_form {
        let path = Bytes::copy_from_slice(target.path_and_query().as_bytes());
        return PathAndQuery::from_maybe_shared(path).ok().map(Uri::from);
    }
    Uri::try_from(target.as_str()).ok()
}

/// The connection a request goes on.
pub(crate) enum Channel<'a> {
    Http1(&'a mut H1),
    Http2(&'a StreamPlace),
}

/// How far a request got that has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// No byte of it was handed to the connection.
    Nothing,
    /// The peer, which says that it has not begun to work on it.
    Refusal,
    /// The connection, which closed before the first byte of a response.
    Silence,
    /// Further, or nobody knows.
    Further,
}

/// How an exchange ended.
pub(crate) struct Exchanged {
    pub(crate) received: Option<Received>,
    pub(crate) failure: Option<Failure>,
    /// The connection can take another request.
    pub(crate) reusable: bool,
    pub(crate) reached: Reached,
}

impl Exchanged {
    pub(crate) fn failed(failure: Failure) -> Self {
        Self { received: None, failure: Some(failure), reusable: false, reached: Reached::Further }
    }

    fn unsent(error: &hyper::Error) -> Self {
        let failure = classify::failure(error, Phase::FirstByte);
        Self { reached: Reached::Nothing, ..Self::failed(failure) }
    }
}

/// Sends `request` and reads its response to the end.
///
/// # Cancel safety
/// Dropped midway, the connection must not be used again (HTTP/1.1) or its stream is reset (HTTP/2).
pub(crate) async fn exchange(
    mut channel: Channel<'_>,
    request: &Request,
    heads: &Heads,
    authority: &HeaderValue,
    left_origin: bool,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Exchanged {
    let version = match channel {
        Channel::Http1(_) => Version::HTTP_11,
        Channel::Http2(_) => Version::HTTP_2,
    };
    let Some(head) = heads.request(request, authority, version, left_origin) else {
        return Exchanged::failed(Failure::new(Code::InputUrl, "the URL cannot be sent"));
    };
    clock.enter(Phase::FirstByte);
    let response = match send(&mut channel, head).await {
        Ok(response) => response,
        Err(ended) => return ended,
    };
    clock.enter(Phase::Body);
    receive(channel, request.method(), response, rules, clock).await
}

async fn send(
    channel: &mut Channel<'_>,
    head: http::Request<SendBody>,
) -> Result<http::Response<Incoming>, Exchanged> {
    let sent = match channel {
        Channel::Http1(h1) => {
            let (sender, driver) = (&mut h1.sender, &mut h1.driver);
            driver.drive(sender.ready()).await.map_err(|error| Exchanged::unsent(&error))?;
            driver.drive(sender.try_send_request(head)).await
        }
        Channel::Http2(place) => {
            let mut sender = place.sender();
            sender.ready().await.map_err(|error| Exchanged::unsent(&error))?;
            sender.try_send_request(head).await
        }
    };
    sent.map_err(|mut error| {
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
    })
}

async fn receive(
    mut channel: Channel<'_>,
    method: &Method,
    response: http::Response<Incoming>,
    rules: &BodyRules<'_>,
    clock: &PhaseClock,
) -> Exchanged {
    let (head, incoming) = response.into_parts();
    let mut received = Received {
        status: head.status.as_u16(),
        version: head.version,
        reason: head.extensions.get::<ReasonPhrase>().map(|reason| reason.as_bytes().into()),
        headers: head.headers,
        ..Received::default()
    };
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        let failure = Failure::new(Code::ProtocolUpgrade, "the server switched protocols unasked");
        return Exchanged { received: Some(received), ..Exchanged::failed(failure) };
    }
    let driver = match &mut channel {
        Channel::Http1(h1) => Some(&mut h1.driver),
        Channel::Http2(_) => None,
    };
    let locations = received.headers.get_all(LOCATION).iter().map(HeaderValue::as_bytes);
    let read = if rules.follow_redirects && leads_on(head.status, locations) {
        body::skip(incoming, driver).await
    } else {
        body::read(incoming, driver, rules, clock).await
    };
    let reusable = read.whole && read.failure.is_none();
    if reusable && let Channel::Http1(h1) = channel {
        h1.settle().await;
    }
    let failure = settle(&mut received, read, method, rules);
    Exchanged { received: Some(received), failure, reusable, reached: Reached::Further }
}

/// Decodes what was read, or says why it is of no use.
fn settle(received: &mut Received, read: Read, method: &Method, rules: &BodyRules<'_>) -> Option<Failure> {
    received.wire_bytes = read.wire_bytes;
    if read.failure.is_some() || *method == Method::HEAD {
        return read.failure;
    }
    let encodings = received.headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    match body::decoded(encodings, read.body, !read.whole, rules) {
        Ok((body, truncated)) => (received.body, received.truncated) = (body, truncated),
        Err(undecodable) => return Some(undecodable),
    }
    None
}
