//! The body of a response, as it comes over either protocol.

use std::future::poll_fn;

use h2::{Reason, RecvStream};

use super::classify;
use crate::error::{Code, Failure};
use crate::pool::{Framing, H1, StreamPlace};
use crate::timings::Phase;

/// A body on its way.
pub(super) enum Incoming<'a> {
    Http1 {
        connection: &'a mut H1,
        framing: Framing,
    },
    Http2 {
        place: &'a StreamPlace,
        incoming: RecvStream,
        /// Responses of its kind have one.
        has_body: bool,
        /// What is left of the declared length.
        left: Option<u64>,
        /// What was read and does not count towards the window again yet.
        taken: usize,
        kept: Option<Vec<u8>>,
    },
}

impl Incoming<'_> {
    /// How long it says that it is.
    pub(super) fn declared(&self) -> Option<u64> {
        match self {
            Self::Http1 { framing: Framing::Length(length), .. } => Some(*length),
            Self::Http1 { .. } => None,
            Self::Http2 { left, .. } => *left,
        }
    }

    /// Whether nothing more comes, as far as is known without waiting.
    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Self::Http1 { framing, .. } => *framing == Framing::Length(0),
            Self::Http2 { place, incoming, .. } => incoming.is_end_stream() && !place.is_malformed(),
        }
    }

    /// Appends a piece to `out`, if possible at most `most` bytes. False: there is no more.
    pub(super) async fn read(&mut self, out: &mut Vec<u8>, most: usize) -> Result<bool, Failure> {
        match self {
            Self::Http1 { connection, framing } => connection.read_body(framing, out, most).await,
            Self::Http2 { place, incoming, has_body, left, taken, kept } => {
                // As much more may come as may be read. It fails only for more than was taken.
                let back = most.min(*taken);
                let _ = incoming.flow_control().release_capacity(back);
                *taken -= back;
                let data = match poll_fn(|cx| incoming.poll_data(cx)).await {
                    Some(Ok(data)) => data,
                    // What comes after the declared length cuts nothing off: a server may say that it does not care for
                    // the rest of the request. Source: RFC 9113, section 8.1.
                    Some(Err(error)) if *left == Some(0) && error.reason() == Some(Reason::NO_ERROR) => {
                        return Ok(false);
                    }
                    Some(Err(error)) => return Err(failure_h2(place, &error, Phase::Body)),
                    None => {
                        let trailers = poll_fn(|cx| incoming.poll_trailers(cx)).await;
                        trailers.map_err(|error| failure_h2(place, &error, Phase::Body))?;
                        return if place.is_malformed() { Err(malformed_h2()) } else { Ok(false) };
                    }
                };
                if !*has_body && !data.is_empty() {
                    // As over HTTP/1.1: it is nobody's body. The stream is reset.
                    return Ok(false);
                }
                *taken += data.len();
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                out.extend_from_slice(&data);
                if let Some(kept) = kept {
                    kept.extend_from_slice(&data);
                }
                Ok(true)
            }
        }
    }

    /// The response so far, as it came, if that is kept.
    pub(super) fn kept(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Http1 { connection, .. } => connection.kept(),
            Self::Http2 { kept, .. } => kept.as_mut(),
        }
    }

    /// A remark on what was tolerated behind the body.
    pub(super) fn remark(&self) -> Option<String> {
        let Self::Http1 { framing: Framing::Chunked(chunked), .. } = self else { return None };
        chunked.tolerated().remark().map(String::from)
    }

    /// A connection on which part of a body is still to come cannot be used for anything else, nor one on which something
    /// strange came behind it.
    pub(super) fn close_unless_whole(self, is_whole: bool) {
        let is_strange = self.remark().is_some();
        if let Self::Http1 { connection, .. } = self
            && (is_strange || !is_whole)
        {
            connection.give_up();
        }
    }
}

/// The response has pseudo-header fields that belong to a request, or in its trailers.
pub(super) fn malformed_h2() -> Failure {
    Failure::new(Code::ProtocolH2, "the response has pseudo-header fields where it must not have any")
}

/// Why a stream ended without its end.
pub(super) fn failure_h2(place: &StreamPlace, error: &h2::Error, phase: Phase) -> Failure {
    if place.is_flooded() {
        return Failure::new(Code::ProtocolH2Flood, "the server sent no end of frames that say nothing");
    }
    classify::failure(error, phase)
}
