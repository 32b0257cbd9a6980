//! Classifies what hyper reports of HTTP/2, by its typed methods and the source errors, never by its text.

use std::error::Error;
use std::io;

use crate::error::{Code, Failure};
use crate::timings::Phase;

/// An error on a connection that was ready.
pub(crate) fn failure(error: &hyper::Error, phase: Phase) -> Failure {
    Failure::new(code(error, phase == Phase::Body), words(error))
}

/// An error in the HTTP/2 handshake.
pub(crate) fn handshake_failure(error: &hyper::Error) -> Failure {
    let code = source::<io::Error>(error).map_or(Code::ProtocolH2, io_code);
    Failure::new(code, words(error))
}

fn code(error: &hyper::Error, in_body: bool) -> Code {
    if let Some(h2) = source::<h2::Error>(error) {
        return h2_code(h2, in_body);
    }
    if in_body {
        // Whatever ended the connection, the body is a prefix.
        return Code::TruncatedDisconnect;
    }
    match source::<io::Error>(error) {
        Some(io) => io_code(io),
        None if error.is_closed() || error.is_canceled() => Code::ProtocolEmpty,
        None => Code::ProtocolOther,
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

fn h2_code(error: &h2::Error, in_body: bool) -> Code {
    if error.is_io() {
        return match (in_body, error.get_io()) {
            (true, _) => Code::TruncatedDisconnect,
            (false, Some(io)) => io_code(io),
            (false, None) => Code::ConnectReset,
        };
    }
    if in_body && error.is_reset() {
        return Code::TruncatedH2Reset;
    }
    Code::ProtocolH2
}

/// Whether the peer says that it did not process the request: it can safely be sent again. Source: RFC 9113, sections
/// 6.8 (GOAWAY) and 8.7 (`REFUSED_STREAM`).
pub(crate) fn was_not_processed(error: &hyper::Error) -> bool {
    source::<h2::Error>(error).is_some_and(|error| {
        error.is_remote()
            && (error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)))
    })
}

/// The first error of type `E` among the sources.
fn source<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error and its causes, in one line.
fn words(error: &hyper::Error) -> String {
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
