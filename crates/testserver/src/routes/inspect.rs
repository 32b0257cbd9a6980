//! Shows a client what it sent: requests, cookies, credentials.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode, Version};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::flow::redirect_with;
use super::{Ask, Outcome, Refusal, text};
use crate::payload::Payload;

/// `/echo`
///
/// `headers` holds pairs with lower-case names; a value's bytes become the code points of the same number, so that
/// any value survives. The body is `body` when it is UTF-8, else `body_base64`.
pub(super) fn echo(ask: &Ask<'_>) -> Response<Payload> {
    let uri = &ask.head.uri;
    let headers: Vec<Value> =
        ask.head.headers.iter().map(|(name, value)| json!([name.as_str(), latin1(value)])).collect();
    let mut answer = json!({
        "method": ask.head.method.as_str(),
        "path": uri.path(),
        "query": uri.query().unwrap_or_default(),
        "authority": uri.authority().map(http::uri::Authority::as_str),
        "headers": headers,
        "http_version": version(ask.head.version),
        "remote_port": ask.peer.port(),
    });
    if let Some(answer) = answer.as_object_mut() {
        match std::str::from_utf8(ask.body) {
            Ok(text) => answer.insert("body".to_owned(), text.into()),
            Err(_) => answer.insert("body_base64".to_owned(), BASE64.encode(ask.body).into()),
        };
    }
    super::json(&answer)
}

fn latin1(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// `/cookies`
pub(super) fn cookies(ask: &Ask<'_>) -> Response<Payload> {
    let mut cookies = Map::new();
    for line in ask.head.headers.get_all(COOKIE) {
        for cookie in latin1(line).split(';') {
            if let Some((name, value)) = cookie.split_once('=') {
                cookies.insert(name.trim().to_owned(), value.trim().into());
            }
        }
    }
    super::json(&json!({ "cookies": cookies }))
}

/// `/cookies/set?NAME=VALUE`
pub(super) fn set_cookies(ask: &Ask<'_>) -> Outcome {
    let mut response = redirect_with(StatusCode::FOUND, "/cookies".to_owned())?;
    for (name, value) in ask.query().pairs() {
        let cookie = HeaderValue::try_from(format!("{name}={value}; Path=/"))
            .map_err(|_| Refusal::BadRequest(format!("{name} cannot be sent in a header")))?;
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `/basic-auth/USER/PASSWORD`
pub(super) fn basic_auth(ask: &Ask<'_>, credentials: &str) -> Outcome {
    let (user, password) = credentials.split_once('/').ok_or(Refusal::NotFound)?;
    let (user, password) = (decoded(user), decoded(password));
    let expected = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
    if ask.head.headers.get(AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
        return Ok(super::json(&json!({ "authenticated": true, "user": user })));
    }
    let mut response = text(StatusCode::UNAUTHORIZED, "credentials, please\n");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hurtle\""));
    Ok(response)
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}
