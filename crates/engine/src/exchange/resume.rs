//! What another attempt needs to resume a body that was cut, and whether an answer is the rest of it. Pure.
//!
//! Source: RFC 9110, sections 8.8 (strong validators), 13.1.5 (If-Range), 14.4 (Content-Range), 15.3.7.3 (combining parts).

use std::time::Duration;

use http::header::{IF_RANGE, RANGE};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::spill::Spill;
use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::job::Kept;
use crate::outcome::Received;
use crate::request::Request;

/// A smaller body is simply asked for again.
pub(super) const LEAST: u64 = 16 << 10;
/// So much later than the last change a response must be for that change to identify its content: within this time the
/// file may have changed again, or the clocks may differ. Source: RFC 7232, section 2.2.2.
const SETTLED: Duration = Duration::from_secs(60);

/// Where a body is kept, as far as it has come.
pub(super) enum Store {
    /// As received.
    Memory(Vec<u8>),
    /// Decoded.
    File(Box<Spill>),
}

impl Default for Store {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Store {
    /// Bytes as received.
    pub(super) fn received(&self) -> u64 {
        match self {
            Self::Memory(body) => body.len() as u64,
            Self::File(spill) => spill.received(),
        }
    }
}

/// What identifies the content of a response beyond doubt.
#[derive(Debug, PartialEq, Eq)]
struct Validator {
    /// The header that it is from: `etag` or `last-modified`.
    header: &'static str,
    value: HeaderValue,
}

/// What a body is part of.
pub(super) struct Terms {
    /// The head of the response that it began with.
    head: Received,
    url: Box<str>,
    validator: Validator,
    /// The length of the whole, as received, if that is known.
    whole: Option<u64>,
    /// Where the part ends that is coming, if it is one.
    part_end: Option<u64>,
}

/// The beginning of a body.
pub(crate) struct Partial {
    pub(super) terms: Box<Terms>,
    pub(super) store: Store,
    /// Memory that it is allowed to use while it waits.
    pub(super) kept: Option<Kept>,
}

impl std::fmt::Debug for Partial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partial").field("received", &self.store.received()).finish_non_exhaustive()
    }
}

/// What a response to a request for the rest is.
pub(super) enum Answer {
    /// The rest, from where the beginning ends.
    Rest,
    /// The whole, from its start: the server does not send parts, or the content has changed.
    Whole,
    /// Something else, for now: the rest may be asked for again.
    Other,
    /// Not what was asked for: it must be asked for without a range.
    Useless,
}

impl Terms {
    /// Those of a response whose body is `whole` bytes long, as received. None: the rest of it cannot be asked for.
    pub(super) fn of(request: &Request, received: &Received, whole: Option<u64>) -> Option<Box<Self>> {
        let is_whole = received.status == StatusCode::OK.as_u16() && *request.method() == Method::GET;
        let validator = is_whole.then(|| validator(&received.headers)).flatten()?;
        let (head, url) = (head_of(received), request.target.as_str().into());
        Some(Box::new(Self { head, url, validator, whole, part_end: None }))
    }

    /// The head of the response that it is the body of.
    pub(super) fn head(&self) -> Received {
        head_of(&self.head)
    }

    /// Why `received` bytes are not the whole, although they came to their end: parts may be shorter than asked for.
    pub(super) fn lacks(&self, received: u64) -> Option<Failure> {
        let whole = self.whole.filter(|&whole| received < whole)?;
        let detail = format!("the server sent {received} of {whole} bytes");
        Some(Failure::new(Code::TruncatedDisconnect, detail))
    }

    /// Whether `received` bytes are more than the part that was announced: then it is another one.
    pub(super) fn is_exceeded_by(&self, received: u64) -> bool {
        self.part_end.is_some_and(|end| received > end)
    }
}

impl Partial {
    /// How much memory it needs leave for.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        match &self.store {
            Store::Memory(body) if self.kept.is_none() => body.capacity() as u64,
            _ => 0,
        }
    }

    /// It may use that memory while it waits.
    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept = Some(kept);
    }

    /// The headers that ask `request` for the rest; none if it is for something else.
    pub(super) fn headers(&self, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
        let range = HeaderValue::try_from(format!("bytes={}-", self.store.received()));
        match range {
            Ok(range) if *self.terms.url == *request.target.as_str() => {
                vec![(RANGE, range), (IF_RANGE, self.terms.validator.value.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// What a response is, of which `declared` bytes are to come.
    pub(super) fn answer(&mut self, received: &Received, declared: Option<u64>) -> Answer {
        match received.status {
            200 => Answer::Whole,
            206 if self.is_rest(received, declared) => Answer::Rest,
            300..=303 | 305..400 | 408 | 425 | 429 | 500.. => Answer::Other,
            _ => Answer::Useless,
        }
    }

    fn is_rest(&mut self, received: &Received, declared: Option<u64>) -> bool {
        let Terms { head, validator, whole, part_end, .. } = &mut *self.terms;
        let mut ranges = received.headers.get_all("content-range");
        let range = ranges.next().and_then(content_range).filter(|_| ranges.next().is_none());
        let Some((first, last, of)) = range else { return false };
        let is_same = |name: &'static str| received.headers.get_all(name).eq(head.headers.get_all(name));
        let fits = first == self.store.received()
            && whole.is_none_or(|whole| whole == of)
            && declared.is_none_or(|declared| declared == last - first + 1)
            && only(received.headers.get_all(validator.header)) == Some(validator.value.as_bytes())
            && is_same("content-encoding");
        if fits {
            (*whole, *part_end) = (Some(of), Some(last + 1));
        }
        fits
    }
}

/// A copy of a response without its body.
fn head_of(received: &Received) -> Received {
    let Received { status, version, reason, headers, remark, .. } = received;
    Received {
        status: *status,
        version: *version,
        reason: reason.clone(),
        headers: headers.clone(),
        remark: remark.clone(),
        ..Received::default()
    }
}

/// What identifies the content: a strong entity tag, or, where there is none at all, a date that is strong.
fn validator(headers: &HeaderBlock) -> Option<Validator> {
    let refuses = headers.get_all("accept-ranges").any(|value| value.eq_ignore_ascii_case(b"none"));
    if refuses {
        return None;
    }
    let mut tags = headers.get_all("etag").peekable();
    if tags.peek().is_some() {
        let tag =
            only(tags).filter(|tag| tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\""))?;
        return Some(Validator { header: "etag", value: HeaderValue::from_bytes(tag).ok()? });
    }
    let date = |name| {
        let text = std::str::from_utf8(only(headers.get_all(name))?).ok()?;
        httpdate::parse_http_date(text).ok()
    };
    let (changed, sent) = (date("last-modified")?, date("date")?);
    let is_settled = sent.duration_since(changed).is_ok_and(|age| age >= SETTLED);
    let value = only(headers.get_all("last-modified")).filter(|_| is_settled)?;
    Some(Validator { header: "last-modified", value: HeaderValue::from_bytes(value).ok()? })
}

/// The one value of a header that has one.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// First and last position and the length of the whole, from `bytes 5-9/10`.
fn content_range(value: &[u8]) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (unit, rest) = text.split_once(' ')?;
    let (range, whole) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last, whole) = (number(first)?, number(last)?, number(whole)?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last && last < whole).then_some((first, last, whole))
}
