//! The phase clock: when each phase of an attempt began and ended, on the monotonic clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::Code;

/// The phase of an attempt. A timeout is named after the phase in which it occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for a connection or a stream.
    #[default]
    Queue,
    /// Resolving the name.
    Dns,
    /// Opening TCP.
    Connect,
    /// Opening the way through a proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// From the request sent to the response's head.
    FirstByte,
    /// Reading the body.
    Body,
}

impl Phase {
    /// The code of a timeout in this phase.
    pub(crate) fn timeout_code(self) -> Code {
        match self {
            Self::Queue => Code::TimeoutQueue,
            Self::Dns => Code::TimeoutDns,
            Self::Connect => Code::TimeoutConnect,
            Self::Proxy => Code::ProxyTimeout,
            Self::Tls => Code::TimeoutTls,
            Self::FirstByte => Code::TimeoutFirstByte,
            Self::Body => Code::TimeoutBody,
        }
    }

    /// The phase's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
        }
    }
}

/// Durations of the phases of the last attempt; `None` where a phase did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request's arrival in the engine to its slot.
    pub queue: Option<Duration>,
    /// Resolving the name.
    pub dns: Option<Duration>,
    /// Opening TCP; with a proxy, to the proxy, and the way through it.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request sent to the response's head.
    pub first_byte: Option<Duration>,
    /// From the head to the last byte of the body.
    pub body: Option<Duration>,
    /// From the slot to the end.
    pub total: Option<Duration>,
}

/// Turns monotonic instants into wall-clock time, anchored once so that a clock set back cannot reorder rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    origin: Instant,
    origin_us: i64,
}

impl WallClock {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_us: i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX) }
    }

    /// Microseconds since 1970-01-01 UTC at `instant`.
    pub(crate) fn micros_at(&self, instant: Instant) -> i64 {
        let ahead = i64::try_from(instant.saturating_duration_since(self.origin).as_micros());
        self.origin_us.saturating_add(ahead.unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_moves_with_the_monotonic_one() {
        let clock = WallClock::now();
        let later = clock.origin + Duration::from_millis(1500);
        assert_eq!(clock.micros_at(later) - clock.micros_at(clock.origin), 1_500_000);
    }

    #[test]
    fn a_timeout_is_named_after_its_phase() {
        for phase in [Phase::Queue, Phase::Dns, Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Body] {
            assert_eq!(phase.timeout_code().as_str(), format!("timeout.{}", phase.as_str()));
        }
    }
}
