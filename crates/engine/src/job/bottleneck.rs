//! What keeps a job from being faster: sampled many times a second, counted, and reported at the end.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! bottlenecks {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What requests waited for at one moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bottleneck { $($(#[$doc])* $name,)* }

        impl Bottleneck {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in counters.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

bottlenecks! {
    /// The consumer is behind: rows wait for it.
    Consumer = "consumer";
    /// This machine has no file descriptor or port left.
    Descriptors = "descriptors";
    /// The engine's threads are busy all the time.
    Cpu = "cpu";
    /// All permits are taken.
    Concurrency = "concurrency";
    /// Hosts refuse requests, and are left alone until they take more.
    Throttled = "throttled";
    /// A rate lets no request go yet.
    RateLimit = "rate_limit";
    /// Hosts are down.
    HostsDown = "hosts_down";
    /// The permits of single hosts are taken.
    PerHost = "concurrency_per_host";
    /// All requests so far have been sent, and the input has not ended.
    Input = "input";
    /// All requests have been sent: the rest is up to the network and the servers.
    InFlight = "in_flight";
}

/// One sample of a shard and a job.
#[allow(clippy::struct_excessive_bools)] // independent facts, not states of one thing
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) consumer_is_behind: bool,
    pub(crate) lacks_descriptors: bool,
    pub(crate) is_busy: bool,
    pub(crate) permits_exhausted: bool,
    pub(crate) rate_of_all_blocks: bool,
    pub(crate) hosts_ready: bool,
    pub(crate) hosts_waiting: usize,
    pub(crate) hosts_refusing: usize,
    pub(crate) hosts_down: usize,
    /// Requests are in flight on this shard, of any job.
    pub(crate) in_flight_here: bool,
    /// Requests wait, on any shard.
    pub(crate) queued: bool,
    /// Requests are in flight, on any shard.
    pub(crate) in_flight: bool,
    pub(crate) input_ended: bool,
}

impl Look {
    /// What holds the job up now, if anything does. The first that applies: fixing a later one would not help.
    pub(crate) fn bottleneck(&self) -> Option<Bottleneck> {
        let found = if self.consumer_is_behind {
            Bottleneck::Consumer
        } else if self.lacks_descriptors {
            Bottleneck::Descriptors
        } else if self.is_busy {
            Bottleneck::Cpu
        } else if self.rate_of_all_blocks {
            Bottleneck::RateLimit
        } else if self.hosts_ready && self.permits_exhausted {
            Bottleneck::Concurrency
        } else if self.queued && self.hosts_refusing > 0 {
            Bottleneck::Throttled
        } else if self.queued && self.hosts_waiting > self.hosts_down {
            Bottleneck::RateLimit
        } else if self.queued && self.in_flight_here {
            Bottleneck::PerHost
        } else if self.hosts_down > 0 && !self.in_flight {
            Bottleneck::HostsDown
        } else if self.queued {
            // The requests wait on other shards, which know what for.
            return None;
        } else if !self.input_ended {
            Bottleneck::Input
        } else if self.in_flight {
            Bottleneck::InFlight
        } else {
            return None;
        };
        Some(found)
    }
}

/// How often each was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen([AtomicU64; Bottleneck::ALL.len()]);

impl Seen {
    pub(crate) fn count(&self, bottleneck: Bottleneck) {
        if let Some(seen) = self.0.get(bottleneck as usize) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of samples of each, by its name; those never seen are left out.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let seen = self.0.iter().map(|seen| seen.load(Ordering::Relaxed));
        Bottleneck::ALL.iter().map(|one| one.as_str()).zip(seen).filter(|&(_, seen)| seen > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Look = Look {
        consumer_is_behind: false,
        lacks_descriptors: false,
        is_busy: false,
        permits_exhausted: false,
        rate_of_all_blocks: false,
        hosts_ready: false,
        hosts_waiting: 0,
        hosts_refusing: 0,
        hosts_down: 0,
        queued: false,
        in_flight_here: false,
        in_flight: false,
        input_ended: true,
    };

    #[test]
    fn each_state_has_one_name() {
        let flying = Look { in_flight: true, in_flight_here: true, ..IDLE };
        let queued = Look { queued: true, ..flying };
        for (look, expected) in [
            (IDLE, None),
            (flying, Some(Bottleneck::InFlight)),
            (Look { input_ended: false, ..flying }, Some(Bottleneck::Input)),
            (queued, Some(Bottleneck::PerHost)),
            (Look { in_flight_here: false, ..queued }, None),
            (Look { in_flight_here: false, in_flight: false, input_ended: false, ..queued }, None),
            (Look { hosts_waiting: 1, ..queued }, Some(Bottleneck::RateLimit)),
            (
                Look { hosts_waiting: 2, hosts_down: 2, in_flight: false, in_flight_here: false, ..queued },
                Some(Bottleneck::HostsDown),
            ),
            (Look { hosts_waiting: 3, hosts_down: 2, ..queued }, Some(Bottleneck::RateLimit)),
            (Look { hosts_ready: true, permits_exhausted: true, ..queued }, Some(Bottleneck::Concurrency)),
            (Look { rate_of_all_blocks: true, hosts_ready: true, ..queued }, Some(Bottleneck::RateLimit)),
            (
                Look { is_busy: true, hosts_ready: true, permits_exhausted: true, ..queued },
                Some(Bottleneck::Cpu),
            ),
            (Look { lacks_descriptors: true, is_busy: true, ..queued }, Some(Bottleneck::Descriptors)),
            (Look { consumer_is_behind: true, is_busy: true, ..queued }, Some(Bottleneck::Consumer)),
        ] {
            assert_eq!(look.bottleneck(), expected, "{look:?}");
        }
    }

    #[test]
    fn only_what_was_seen_is_told() {
        let seen = Seen::default();
        seen.count(Bottleneck::Input);
        seen.count(Bottleneck::PerHost);
        seen.count(Bottleneck::Input);
        assert_eq!(seen.counts(), [("concurrency_per_host", 1), ("input", 2)]);
    }
}
