//! What the end of an attempt says about its host.

use crate::error::Code;

/// From the best news to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A complete response below 400.
    Served,
    /// The host works, and declines the request: 4xx.
    Declined,
    /// The host works, whatever it responded: another status, an incomplete response, a bad certificate.
    Answered,
    /// Says nothing about the host: its name does not exist, this machine had no descriptor.
    Silent,
    /// It responds too slowly to get more requests.
    Slow,
    /// It refuses, because of how much it is asked: 429, 425, or a 503 that names a wait.
    Throttled,
    /// What stands in front of it got no response from it: 502, 503, 504.
    Unavailable,
    /// No response at all.
    Down,
}

impl Signal {
    /// The signal of an attempt that ended with `code`, or else with `status`. `names_wait`: its response says when
    /// to come back.
    pub(crate) fn of(status: Option<u16>, code: Option<Code>, names_wait: bool) -> Self {
        match (code, status) {
            (Some(code), _) => Self::of_failure(code),
            (None, Some(425 | 429)) => Self::Throttled,
            (None, Some(503)) if names_wait => Self::Throttled,
            (None, Some(502..=504)) => Self::Unavailable,
            (None, Some(status)) if status < 400 => Self::Served,
            (None, Some(400..=407 | 409..=499)) => Self::Declined,
            (None, Some(_)) => Self::Answered,
            (None, None) => Self::Silent,
        }
    }

    fn of_failure(code: Code) -> Self {
        match code {
            Code::TimeoutBody => Self::Slow,
            Code::TimeoutQueue
            | Code::TimeoutDns
            | Code::TimeoutConnect
            | Code::TimeoutTls
            | Code::TimeoutSend
            | Code::TimeoutFirstByte
            | Code::TimeoutHeaders
            | Code::DnsTemporary
            | Code::ConnectRefused
            | Code::ConnectUnreachable
            | Code::ConnectReset
            | Code::ConnectFailed
            | Code::TlsEof
            | Code::ProtocolEmpty
            | Code::ProxyRefused
            | Code::ProxyTimeout
            | Code::ProxyConnectStatus => Self::Down,
            code => match code.class() {
                "input" | "blocked" | "dns" | "timeout" | "proxy" | "host" | "local" | "internal" => {
                    Self::Silent
                }
                _ => Self::Answered,
            },
        }
    }

    /// Whether it is a reason to send less.
    pub(crate) fn is_trouble(self) -> bool {
        matches!(self, Self::Slow | Self::Throttled | Self::Unavailable | Self::Down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_speak_for_the_host() {
        for (status, signal) in [
            (200, Signal::Served),
            (304, Signal::Served),
            (404, Signal::Declined),
            (408, Signal::Answered),
            (425, Signal::Throttled),
            (429, Signal::Throttled),
            (500, Signal::Answered),
            (503, Signal::Unavailable),
        ] {
            assert_eq!(Signal::of(Some(status), None, false), signal, "{status}");
        }
        assert_eq!(Signal::of(Some(503), None, true), Signal::Throttled);
        assert_eq!(
            Signal::of(Some(200), None, true),
            Signal::Served,
            "a wait after a whole answer parks nobody"
        );
    }

    #[test]
    fn a_failure_counts_before_the_status_it_came_with() {
        assert_eq!(Signal::of(Some(200), Some(Code::TruncatedDisconnect), false), Signal::Answered);
        assert_eq!(Signal::of(Some(200), Some(Code::TimeoutBody), false), Signal::Slow);
        assert_eq!(Signal::of(None, Some(Code::ConnectRefused), false), Signal::Down);
        assert_eq!(Signal::of(None, Some(Code::DnsNotFound), false), Signal::Silent);
        assert_eq!(Signal::of(None, Some(Code::LocalFds), false), Signal::Silent);
        assert_eq!(Signal::of(None, Some(Code::TimeoutJob), false), Signal::Silent);
    }
}
