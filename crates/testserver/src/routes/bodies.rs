//! Plain bodies: at once, streamed, dripping; and many or huge headers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::query::number;
use super::{Ask, Outcome, Refusal, octets, text};
use crate::content::{BLOCK, Content};
use crate::payload::{Paced, Payload};

pub(super) const MAX_BODY: u64 = 1 << 30;
pub(super) const MAX_MS: u64 = 3_600_000;
const MAX_CHUNKS: u64 = 1_000_000;
/// `http::HeaderMap` holds at most 32 768 entries.
const MAX_HEADERS: u64 = 30_000;
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// The largest body that is kept, and how much is kept in all, per thread.
const CACHED_BODY: usize = 256 * 1024;
const CACHED_TOTAL: usize = 32 << 20;

/// The key of a body: length, seed, and the name of the content coding, if any.
pub(super) type BodyKey = (u64, u64, &'static str);

#[derive(Default)]
struct Cache {
    bodies: HashMap<BodyKey, Bytes>,
    bytes: usize,
}

thread_local! {
    /// A body that is requested again costs a lookup and a reference. Each server thread has its own cache, so there
    /// is no lock; when it is full it is cleared.
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// The body for a key, created at most once while it stays in the cache.
pub(super) fn cached<E>(key: BodyKey, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
    if let Some(body) = CACHE.with_borrow(|cache| cache.bodies.get(&key).cloned()) {
        return Ok(body);
    }
    let body = make()?;
    if body.len() <= CACHED_BODY {
        CACHE.with_borrow_mut(|cache| {
            if cache.bytes + body.len() > CACHED_TOTAL {
                *cache = Cache::default();
            }
            cache.bytes += body.len();
            cache.bodies.insert(key, body.clone());
        });
    }
    Ok(body)
}

/// `/bytes/N?seed=S`
pub(super) fn bytes(ask: &Ask<'_>, length: &str) -> Outcome {
    let length = number("N", length, 0..=MAX_BODY)?;
    let seed = ask.query().number("seed", 0, 0..=u64::MAX)?;
    plain(length, seed).map(octets)
}

/// The content of a length: cached when small, generated while it is sent when large.
pub(super) fn plain(length: u64, seed: u64) -> Result<Payload, Refusal> {
    if length > CACHED_BODY as u64 {
        return Ok(Payload::content(Content::new(length, seed)));
    }
    let body = cached((length, seed, ""), || {
        Ok(Content::new(length, seed).next_piece(CACHED_BODY).unwrap_or_default())
    })?;
    Ok(Payload::whole(body))
}

/// `/stream?chunks=N&size=M&ms=MS`
pub(super) fn stream(ask: &Ask<'_>) -> Outcome {
    let query = ask.query();
    let chunks = query.number("chunks", 10, 0..=MAX_CHUNKS)?;
    let size = query.number("size", 1024, 1..=BLOCK as u64)?;
    let ms = query.number("ms", 0, 0..=MAX_MS)?;
    Ok(octets(Payload::paced(Paced {
        content: Content::new(chunks * size, 0),
        piece: size as usize,
        before: Duration::ZERO,
        between: Duration::from_millis(ms),
        sized: false,
    })))
}

/// `/drip?bytes=N&ms=MS&pause_ms=MS`
pub(super) fn drip(ask: &Ask<'_>) -> Outcome {
    let query = ask.query();
    let length = query.number("bytes", 10, 0..=MAX_CHUNKS)?;
    let ms = query.number("ms", 10, 0..=MAX_MS)?;
    let pause_ms = query.number("pause_ms", 0, 0..=MAX_MS)?;
    Ok(octets(Payload::paced(Paced {
        content: Content::new(length, 0),
        piece: 1,
        before: Duration::from_millis(pause_ms),
        between: Duration::from_millis(ms),
        sized: true,
    })))
}

/// `/headers/N`
pub(super) fn headers(count: &str) -> Outcome {
    let count = number("N", count, 0..=MAX_HEADERS)?;
    let mut response = text(StatusCode::OK, "headers\n");
    for i in 0..count {
        let name = HeaderName::try_from(format!("x-header-{i}"));
        let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(format!("value-{i}"))) else {
            return Err(Refusal::BadRequest("no such header".to_owned()));
        };
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// `/huge-header/N`
pub(super) fn huge_header(length: &str) -> Outcome {
    let length = number("N", length, 0..=MAX_HEADER_BYTES)?;
    let value = HeaderValue::from_maybe_shared(Bytes::from(vec![b'x'; length as usize]))
        .map_err(|_| Refusal::BadRequest("no such header".to_owned()))?;
    let mut response: Response<Payload> = text(StatusCode::OK, "huge header\n");
    response.headers_mut().insert("x-huge", value);
    Ok(response)
}
