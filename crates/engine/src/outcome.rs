//! How a request ended, before it becomes a row of a batch.

use std::net::IpAddr;
use std::time::Instant;

use http::Version;

use crate::error::{Code, Failure};
use crate::headers::HeaderBlock;
use crate::timings::{Phase, Timings};

/// Why a body is a prefix. WARC's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncated {
    /// Cut at `max_body_size`.
    Length,
    /// Cut by a time limit.
    Time,
    /// Cut by the peer.
    Disconnect,
}

impl Truncated {
    /// The word in the result table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Time => "time",
            Self::Disconnect => "disconnect",
        }
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
    /// Bytes of the body as received, before decoding.
    pub(crate) wire_bytes: u64,
    /// Why the body is a prefix, if it is one.
    pub(crate) truncated: Option<Truncated>,
}

/// What is known of the connection an attempt used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Via {
    /// The peer's address.
    pub(crate) remote: Option<IpAddr>,
    /// Whether an earlier request had opened the connection.
    pub(crate) reused: bool,
}

/// One attempt, ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The response, whole or in part.
    pub(crate) received: Option<Received>,
    /// Why the response is not whole.
    pub(crate) failure: Option<Failure>,
    /// What a whole response leaves to say, for the row's `error_detail`.
    pub(crate) remark: Option<Box<str>>,
    /// The connection.
    pub(crate) via: Via,
    /// Where the attempt was when it ended.
    pub(crate) phase: Phase,
    /// How long each phase took.
    pub(crate) timings: Timings,
    /// When the slot was granted.
    pub(crate) started: Instant,
}

impl Outcome {
    /// The end of a request that was not sent.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self {
            received: None,
            failure: Some(failure),
            remark: None,
            via: Via::default(),
            phase: Phase::Queue,
            timings: Timings::default(),
            started: Instant::now(),
        }
    }

    /// The status, if a response came.
    pub(crate) fn status(&self) -> Option<u16> {
        self.received.as_ref().map(|received| received.status).filter(|&status| status != 0)
    }

    /// When it was over.
    pub(crate) fn ended(&self) -> Instant {
        self.started + self.timings.total.unwrap_or_default()
    }

    /// How it ended, for a person.
    pub(crate) fn in_words(&self) -> String {
        match (&self.failure, self.status()) {
            (Some(failure), _) => failure.to_string(),
            (None, Some(status)) => format!("status {status}"),
            (None, None) => "no answer".to_owned(),
        }
    }

    /// Whether an attempt was made at all.
    pub(crate) fn was_sent(&self) -> bool {
        self.timings.total.is_some()
    }
}

/// One attempt, as the row's log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The status, if a response came.
    pub status: Option<u16>,
    /// The code, if it failed.
    pub code: Option<Code>,
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
    /// With which status.
    pub status: u16,
}
