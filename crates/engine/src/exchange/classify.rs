//! Classifies what h2 reports, by its typed methods and its source errors, never by its text.

use std::error::Error;
use std::io;

use h2::Reason;

use crate::error::{Code, Failure};
use crate::timings::Phase;

/// An error on a connection that was ready.
pub(crate) fn failure(error: &h2::Error, phase: Phase) -> Failure {
    Failure::new(code(error, phase == Phase::Body), words(error))
}

/// An error in the HTTP/2 handshake.
pub(crate) fn handshake_failure(error: &h2::Error) -> Failure {
    let code = error.get_io().map_or(Code::ProtocolH2, io_code);
    Failure::new(code, words(error))
}

fn code(error: &h2::Error, in_body: bool) -> Code {
    match (error.get_io(), error.reason()) {
        // Whatever ended the connection, the body is a prefix.
        (Some(_), _) if in_body => Code::TruncatedDisconnect,
        (Some(io), _) => io_code(io),
        // The peer ended the stream, or the connection under it, and calls that what it likes.
        (None, _) if in_body && error.is_remote() => Code::TruncatedH2Reset,
        // h2 itself has had enough.
        (None, Some(Reason::ENHANCE_YOUR_CALM)) if error.is_library() => Code::ProtocolH2Flood,
        (None, _) => Code::ProtocolH2,
    }
}

fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Code::ConnectReset
        }
        io::ErrorKind::UnexpectedEof => Code::ProtocolEmpty,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Code::ConnectUnreachable,
        _ => Code::ConnectFailed,
    }
}

/// Whether the peer says that it did not process the request: it can safely be sent again. Of a GOAWAY only the streams
/// above the last one that it names get an error, whatever its code. Source: RFC 9113, sections 6.8 and 8.7.
pub(crate) fn was_not_processed(error: &h2::Error) -> bool {
    error.is_remote() && (error.reason() == Some(Reason::REFUSED_STREAM) || error.is_go_away())
}

/// Whether the peer wants the request over HTTP/1.1. Source: RFC 9113, section 7.
pub(crate) fn wants_http1(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED)
}

/// Whether the peer says that it is asked for too much. Source: RFC 9113, section 7.
pub(crate) fn wants_less(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

/// The error and its causes, in one line.
fn words(error: &h2::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !words.ends_with(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        next = error.source();
    }
    words
}
