//! How a request ended, before it becomes a row of a batch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Version;

use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::spool::BodyFile;
use crate::timings::{Phase, Timings, WallClock};

/// Why a body is a part of what was asked for; of a prefix in WARC's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncated {
    /// Cut at `max_body_size`.
    Length,
    /// Cut by a time limit.
    Time,
    /// Cut by the peer.
    Disconnect,
    /// The peer sent a part, which was not asked for.
    Part,
}

impl Truncated {
    /// The word in the result table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Time => "time",
            Self::Disconnect => "disconnect",
            Self::Part => "part",
        }
    }
}

/// The bytes of one request and its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    pub(crate) request: Bytes,
    pub(crate) response: Bytes,
    pub(crate) body_at: usize,
    pub(crate) truncated: Option<Truncated>,
}

/// One request and its response, as sent and received. HTTP/2 is written as HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The requested URL.
    pub url: Box<str>,
    /// Start, in microseconds since 1970-01-01 UTC.
    pub started_us: i64,
    /// The peer.
    pub remote: Option<IpAddr>,
    /// HTTP version of the response.
    pub version: Version,
    /// Head and body as sent.
    pub request: Bytes,
    /// Head and body as received: framing and content codings are still there. Interim responses are left out.
    pub response: Bytes,
    /// Where the body begins in `response`.
    pub body_at: usize,
    /// Why the body is a prefix.
    pub truncated: Option<Truncated>,
}

impl Exchange {
    /// Memory that it uses.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.url.len() + self.request.len() + self.response.len()
    }
}

/// A response as far as it arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The status code.
    pub(crate) status: u16,
    /// HTTP version of the response.
    pub(crate) version: Version,
    /// The reason phrase where it is not the standard one.
    pub(crate) reason: Option<Box<[u8]>>,
    /// The headers as received.
    pub(crate) headers: HeaderBlock,
    /// The body, decoded.
    pub(crate) body: Vec<u8>,
    /// The body instead, if it was written to the disk.
    pub(crate) file: Option<Arc<BodyFile>>,
    /// The content codings that are still on the body, and stay there.
    pub(crate) encoding_left: Option<Box<str>>,
    /// The content codings that are still on the body, and are undone when it is read.
    pub(crate) body_encoding: Option<Box<str>>,
    /// Bytes of the body as received, before decoding.
    pub(crate) wire_bytes: u64,
    /// Why the body is a prefix, if it is one.
    pub(crate) truncated: Option<Truncated>,
    /// A remark on how it was read.
    pub(crate) remark: Option<Box<str>>,
    /// The bytes as sent and received, if the job keeps them.
    pub(crate) wire: Option<Box<Wire>>,
}

impl Received {
    /// Adds a remark behind those before it.
    pub(crate) fn add_remark(&mut self, remark: Option<String>) {
        let Some(remark) = remark else { return };
        self.remark = Some(match self.remark.take() {
            Some(before) => format!("{before}; {remark}").into(),
            None => remark.into(),
        });
    }
}

/// What is known of the connection an attempt used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Via {
    /// The peer's address.
    pub(crate) remote: Option<IpAddr>,
    /// Whether an earlier request had opened the connection.
    pub(crate) reused: bool,
    /// Whether a response has come on it.
    pub(crate) has_answered: bool,
}

/// What is known of an attempt that has ended. Source: RFC 9110, section 9.2.2, and RFC 9113, section 8.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// No server can have worked on it: not connected, or the server says so.
    Unsent,
    /// The host refused it because of how much it is asked.
    Refused,
    /// It was sent, at least in part, and no whole response came.
    Unknown,
    /// A whole response came.
    Answered,
}

impl AttemptEnd {
    /// The word in the log of attempts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
        }
    }
}

/// One attempt, ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The response, whole or in part.
    pub(crate) received: Option<Box<Received>>,
    /// Why the response is not complete.
    pub(crate) failure: Option<Failure>,
    /// The connection.
    pub(crate) via: Via,
    /// Where the attempt was when it ended.
    pub(crate) phase: Phase,
    /// How long each phase took.
    pub(crate) timings: Timings,
    /// When the slot was granted.
    pub(crate) started: Instant,
    /// What is known of it.
    pub(crate) end: AttemptEnd,
    /// The peer ended it because it is asked for too much.
    pub(crate) is_excess: bool,
}

impl Outcome {
    /// The end of a request that was not sent.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self {
            received: None,
            failure: Some(failure),
            via: Via::default(),
            phase: Phase::Queue,
            timings: Timings::default(),
            started: Instant::now(),
            end: AttemptEnd::Unsent,
            is_excess: false,
        }
    }

    /// The status, if there is a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.received.as_ref().map(|received| received.status).filter(|&status| status != 0)
    }

    /// Takes out the bytes as sent and received, if they were kept. `url` is the requested URL, `started_us` the
    /// start.
    pub(crate) fn take_exchange(&mut self, url: &str, started_us: i64) -> Option<Exchange> {
        let received = self.received.as_mut()?;
        let Wire { request, response, body_at, truncated } = *received.wire.take()?;
        Some(Exchange {
            url: url.into(),
            started_us,
            remote: self.via.remote,
            version: received.version,
            request,
            response,
            body_at,
            truncated,
        })
    }

    /// The entry of the log of attempts, which `wait_us` came before.
    pub(crate) fn record(&self, wait_us: u64, wall: &WallClock) -> AttemptRecord {
        AttemptRecord {
            status: self.status(),
            code: self.failure.as_ref().map(|failure| failure.code),
            end: self.end,
            started_us: wall.micros_at(self.started),
            duration_us: self.timings.total.unwrap_or_default().as_micros() as u64,
            wait_us,
        }
    }

    /// When it was over.
    pub(crate) fn ended(&self) -> Instant {
        self.started + self.timings.total.unwrap_or_default()
    }

    /// How it ended, as text for people.
    pub(crate) fn in_words(&self) -> String {
        match (&self.failure, self.status()) {
            (Some(failure), _) => failure.to_string(),
            (None, Some(status)) => format!("status {status}"),
            (None, None) => "no response".to_owned(),
        }
    }

    /// Whether an attempt was made at all.
    pub(crate) fn was_sent(&self) -> bool {
        self.timings.total.is_some()
    }
}

/// One attempt, as the row records it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The status, if there is a response.
    pub status: Option<u16>,
    /// The code, if it failed.
    pub code: Option<Code>,
    /// What is known of it.
    pub end: AttemptEnd,
    /// Start, in microseconds since 1970-01-01 UTC.
    pub started_us: i64,
    /// Length in microseconds.
    pub duration_us: u64,
    /// The wait between the attempt before and this one, in microseconds.
    pub wait_us: u64,
}

/// One redirect that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The URL that answered.
    pub url: Box<str>,
    /// Its status.
    pub status: u16,
}
