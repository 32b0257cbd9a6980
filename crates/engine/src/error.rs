//! The closed list of error codes and the failure a request can end with.
//!
//! A code is `class.reason`. The list is API: it is shared by the result table, the Python exceptions, the
//! report and the docs, and changes with a major version only. Nothing here is decided by message text.
//!
//! `retry` is for what the same request may not meet again a moment later; `final` for what the request, the server's
//! setup or the caller's own limit decides. Where that is not obvious, the reason is above the row.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $retry:ident;)*) => {
        /// Why a request has no whole, usable response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the fault table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text, `class.reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether another attempt of an idempotent request may succeed.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => codes!(@$retry),)* }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

codes! {
    /// The URL cannot be parsed, or its host or port is invalid.
    InputUrl = "input.url", final;
    /// The scheme is neither http nor https, or is http with `https_only`.
    InputScheme = "input.scheme", final;
    /// The URL is longer than 64 KiB.
    InputTooLong = "input.too_long", final;
    /// A method, header or cookie holds bytes that must not be sent.
    InputHeader = "input.header", final;
    /// A row of the input is not a request (bad JSON, no `url`, an unknown key).
    InputRow = "input.row", final;
    /// The input itself ended early (a cut-off compressed list).
    InputTruncated = "input.truncated", final;
    /// With `block_private`: the host has no address on the public internet.
    BlockedAddress = "blocked.address", final;
    // Final: NXDOMAIN is an answer, and covers every name below it as well. Source: RFC 8020; RFC 2308, section 2.1.
    /// The name does not exist.
    DnsNotFound = "dns.not_found", final;
    /// The name server failed, or asked to try again.
    DnsTemporary = "dns.temporary", retry;
    // Final: NODATA is an answer too. Source: RFC 2308, section 2.2.
    /// The name exists and has no address.
    DnsNoAddress = "dns.no_address", final;
    // Retry: a server that restarts refuses connections until it listens again.
    /// Nothing listens there.
    ConnectRefused = "connect.refused", retry;
    /// No route to the network or host.
    ConnectUnreachable = "connect.unreachable", retry;
    /// The peer reset the connection.
    ConnectReset = "connect.reset", retry;
    /// Connecting failed in another way.
    ConnectFailed = "connect.failed", retry;
    /// The certificate is outside its period of validity.
    TlsExpired = "tls.expired", final;
    /// The certificate is for another name.
    TlsName = "tls.name", final;
    /// The certificate is self-signed and not trusted.
    TlsSelfSigned = "tls.self_signed", final;
    /// The certificate's issuer is not trusted.
    TlsUnknownCa = "tls.unknown_ca", final;
    /// The certificate is malformed, revoked or not meant for this use.
    TlsCertificate = "tls.certificate", final;
    // Final: an alert is the peer's decision, made by its configuration. Source: RFC 8446, section 6.2.
    /// No common version or cipher, or a fatal alert.
    TlsHandshake = "tls.handshake", final;
    // Retry: a peer that rejects the handshake sends an alert. Closing without one is what a restart, a crash or an
    // overloaded load balancer looks like. Source: RFC 8446, section 6.1.
    /// The peer closed during the handshake.
    TlsEof = "tls.eof", retry;
    /// The peer does not speak TLS.
    TlsNotTls = "tls.not_tls", final;
    /// The peer asks for a client certificate.
    TlsClientCert = "tls.client_cert", final;
    /// Resolving the name took too long.
    TimeoutDns = "timeout.dns", retry;
    /// Connecting took too long.
    TimeoutConnect = "timeout.connect", retry;
    /// The TLS handshake took too long.
    TimeoutTls = "timeout.tls", retry;
    /// The request could not be sent in time.
    TimeoutSend = "timeout.send", retry;
    /// No byte of the response came in time.
    TimeoutFirstByte = "timeout.first_byte", retry;
    /// The response's head did not end in time.
    TimeoutHeaders = "timeout.headers", retry;
    /// The response's body did not end in time.
    TimeoutBody = "timeout.body", retry;
    /// No connection or stream was free in time.
    TimeoutQueue = "timeout.queue", retry;
    // Final, unlike the other timeouts: this limit and the next one span all attempts.
    /// The request's deadline, all attempts included, has passed.
    TimeoutDeadline = "timeout.deadline", final;
    /// The job's `max_duration` ended before the request did.
    TimeoutJob = "timeout.job", final;
    /// The status line is malformed.
    ProtocolStatusLine = "protocol.status_line", final;
    /// The peer speaks another version of HTTP.
    ProtocolVersion = "protocol.version", final;
    /// A header is malformed.
    ProtocolHeader = "protocol.header", final;
    /// Content-Length is invalid or contradictory.
    ProtocolContentLength = "protocol.content_length", final;
    /// Transfer-Encoding is unknown or misplaced.
    ProtocolTransferEncoding = "protocol.transfer_encoding", final;
    // Retry, unlike the other malformed parts: the head was sound, so the server can write HTTP. What breaks a frame is
    // a server or proxy that fails in the middle of a body and writes its error there. Source: RFC 9112, sections 7.1
    // and 8: such a body is incomplete.
    /// A chunk's frame is malformed.
    ProtocolChunk = "protocol.chunk", retry;
    // Retry: connections are closed at any time, and a client may send again by itself what is safe to send twice.
    // Source: RFC 9112, section 9.3.1.
    /// The connection closed without a response.
    ProtocolEmpty = "protocol.empty", retry;
    /// More than 32 interim responses.
    ProtocolTooMany1xx = "protocol.too_many_1xx", final;
    /// The peer switched to another protocol, which was not requested.
    ProtocolUpgrade = "protocol.upgrade", final;
    // Retry, both: an error of the connection, which many requests share; another connection need not meet it. Source:
    // RFC 9113, section 5.4.1.
    /// HTTP/2 frames broke the protocol.
    ProtocolH2 = "protocol.h2", retry;
    /// A flood of HTTP/2 control frames.
    ProtocolH2Flood = "protocol.h2_flood", retry;
    /// The response broke HTTP in another way.
    ProtocolOther = "protocol.other", final;
    /// The connection ended inside the body.
    TruncatedDisconnect = "truncated.disconnect", retry;
    // Retry: without `close_notify` the end of such a body cannot be distinguished from a cut connection. Source: RFC
    // 8446, section 6.1; RFC 9112, section 9.8.
    /// TLS ended without `close_notify` in a body that only the close delimits.
    TruncatedTlsClose = "truncated.tls_close", retry;
    // Retry: the error of this one stream. Source: RFC 9113, section 5.4.2.
    /// The HTTP/2 stream was reset inside the body.
    TruncatedH2Reset = "truncated.h2_reset", retry;
    // Retry: a body cut off on its way, which its framing did not show.
    /// The compressed body ends early.
    DecodeTruncated = "decode.truncated", retry;
    // Final: TCP has its own checksums, so the server stored or compressed the body that way.
    /// The compressed body fails its own check.
    DecodeCorrupt = "decode.corrupt", final;
    /// More than five layers of Content-Encoding.
    DecodeTooManyLayers = "decode.too_many_layers", final;
    /// A zstd window over 8 MiB.
    DecodeWindow = "decode.window", final;
    /// Content-Length announces more than `max_body_size`.
    TooLargeDeclared = "too_large.declared", final;
    /// The body grew past `max_body_size`.
    TooLargeBody = "too_large.body", final;
    /// The decoded body grew past `max_body_size`.
    TooLargeDecoded = "too_large.decoded", final;
    /// The response's head is too large.
    TooLargeHeaders = "too_large.headers", final;
    /// More than `max_redirects` hops, or a loop.
    RedirectTooMany = "redirect.too_many", final;
    /// A redirect to a scheme that is not http or https.
    RedirectScheme = "redirect.scheme", final;
    /// A redirect to http with `https_only`.
    RedirectDowngrade = "redirect.downgrade", final;
    /// Two different Location headers.
    RedirectAmbiguous = "redirect.ambiguous", final;
    /// A Location that is no URL.
    RedirectInvalid = "redirect.invalid", final;
    /// A 307 or 308 to another origin, and the body may not go there.
    RedirectBody = "redirect.body", final;
    // Retry, all but one: another attempt may go through another proxy, and a proxy that answers 502 or 503 may have met
    // what the origin itself would have been asked again for.
    /// The proxy could not be reached, or does not speak as it should.
    ProxyRefused = "proxy.refused", retry;
    /// The proxy asks for credentials, or for others.
    ProxyAuth = "proxy.auth", final;
    /// The proxy opened no tunnel.
    ProxyConnectStatus = "proxy.connect_status", retry;
    /// The way through the proxy took too long.
    ProxyTimeout = "proxy.timeout", retry;
    /// The TLS handshake with the proxy itself failed.
    ProxyTls = "proxy.tls", final;
    // Final: the request has already waited for the probes of its host; see `politeness::circuit`.
    /// The host is down: it is asked only now and then.
    HostCircuitOpen = "host.circuit_open", final;
    /// The host refuses everything for longer than patience lasts.
    HostThrottled = "host.throttled", final;
    /// robots.txt does not allow it.
    HostRobots = "host.robots", final;
    // Retry, both: descriptors and ports become free as other requests end.
    /// No file descriptor was free.
    LocalFds = "local.fds", retry;
    /// No local port was free.
    LocalPorts = "local.ports", retry;
    // Final: a request that is not idempotent is not repeated automatically. Source: RFC 9110, section 9.2.2.
    /// It was being sent when an earlier run ended; whether it arrived is not known.
    LocalSentUnknown = "local.sent_unknown", final;
    /// A bug in hurtle itself, caught.
    InternalPanic = "internal.panic", final;
}

impl Code {
    /// The part before the dot.
    pub fn class(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one attempt, or the whole request, failed: the stable code, and a text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    /// What programs decide by.
    pub code: Code,
    /// What people read; contains no secrets, and no decision depends on it.
    pub detail: Cow<'static, str>,
}

impl Failure {
    /// A failure with its text.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A peer sends interim responses without end.
    pub(crate) fn too_many_interim() -> Self {
        Self::new(Code::ProtocolTooMany1xx, "more than 32 interim responses")
    }
}

/// An invalid configuration, found before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct ConfigError {
    /// The option's public name.
    pub option: &'static str,
    /// What is wrong with its value and what is allowed.
    pub reason: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_class_dot_reason_and_unique() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            let (class, reason) = text.split_once('.').unwrap();
            assert!(!class.is_empty() && !reason.is_empty(), "{text}");
            assert!(seen.insert(text), "{text} twice");
            assert_eq!(code.class(), class);
        }
    }
}
