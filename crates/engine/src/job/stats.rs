//! Counters and histograms of a job, summed up as its batches are taken: nothing here is on the hot path of a shard.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Batch;
use crate::error::Code;
use crate::timings::Timings;

/// Two significant digits, up to a day in microseconds: about 40 KB.
const DIGITS: u8 = 2;

/// Statistics of the rows taken so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Rows.
    pub done: u64,
    /// Complete responses with a status below 400.
    pub ok: u64,
    /// Attempts, the first of each request included.
    pub attempts: u64,
    /// Requests that were refused.
    pub throttled: u64,
    /// How long they waited for that, all in all.
    pub throttled_for: Duration,
    /// Bytes of bodies as received.
    pub wire_bytes: u64,
    /// Bytes of bodies, decoded.
    pub body_bytes: u64,
    /// Rows by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Rows by error code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Time to the first byte of the response.
    pub first_byte: Latencies,
    /// Time of the last attempt.
    pub total: Latencies,
    /// Time spent in each phase of the last attempts.
    pub phases: Phases,
}

impl Stats {
    /// Rows that are not ok.
    pub fn failed(&self) -> u64 {
        self.done - self.ok
    }

    /// Adds a batch. A copy counts as a row only: its response was sent and received once.
    pub fn add(&mut self, batch: &Batch) {
        for view in batch.iter() {
            let row = view.row;
            self.done += 1;
            self.ok += u64::from(row.ok());
            if let Some(status) = row.status {
                *self.statuses.entry(status).or_default() += 1;
            }
            if let Some(code) = row.code.map(Code::as_str) {
                *self.errors.entry(code).or_default() += 1;
            }
            if row.is_copy {
                continue;
            }
            self.attempts += u64::from(row.attempts);
            self.throttled += u64::from(row.throttled > 0);
            self.throttled_for += row.throttled_for.unwrap_or_default();
            self.wire_bytes += row.wire_bytes;
            self.body_bytes += view.row.body_len();
            self.phases.add(&row.timings);
            if row.status.is_some() {
                self.first_byte.record(row.timings.first_byte);
                self.total.record(row.timings.total);
            }
        }
    }
}

/// Time by phase, summed over requests: many are in a phase at once, so a sum may exceed the elapsed time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Waiting for a slot.
    pub queue: Duration,
    /// Resolving names.
    pub dns: Duration,
    /// Opening TCP.
    pub connect: Duration,
    /// TLS handshakes.
    pub tls: Duration,
    /// From the request sent to the head of the response.
    pub first_byte: Duration,
    /// Reading bodies.
    pub body: Duration,
}

impl Phases {
    fn add(&mut self, timings: &Timings) {
        for (sum, spent) in [
            (&mut self.queue, timings.queue),
            (&mut self.dns, timings.dns),
            (&mut self.connect, timings.connect),
            (&mut self.tls, timings.tls),
            (&mut self.first_byte, timings.first_byte),
            (&mut self.body, timings.body),
        ] {
            *sum = sum.saturating_add(spent.unwrap_or_default());
        }
    }

    /// Each phase by its name, in the order in which a request goes through them.
    pub fn by_name(&self) -> [(&'static str, Duration); 6] {
        [
            ("queue", self.queue),
            ("dns", self.dns),
            ("connect", self.connect),
            ("tls", self.tls),
            ("first_byte", self.first_byte),
            ("body", self.body),
        ]
    }
}

/// A histogram of durations.
#[derive(Clone, Default)]
pub struct Latencies {
    /// Created with the first value: a job without a response has none.
    histogram: Option<Histogram<u64>>,
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latencies {{ p50: {:?}, p99: {:?} }}", self.quantile(0.5), self.quantile(0.99))
    }
}

impl Latencies {
    fn record(&mut self, value: Option<Duration>) {
        let Some(value) = value else { return };
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_max(86_400_000_000, DIGITS).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(value.as_micros() as u64);
        }
    }

    /// The value that `share` (0 to 1) of all values do not exceed, in seconds.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let histogram = self.histogram.as_ref()?;
        Some(histogram.value_at_quantile(share) as f64 / 1e6)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Draft, Row};
    use super::*;
    use bytes::Bytes;
    use http::Method;

    fn batch(rows: &[(Option<u16>, Option<Code>, u64)]) -> Batch {
        let mut batch = Batch::default();
        for &(status, code, first_byte_ms) in rows {
            let mut row = Row::new(0, Method::GET);
            row.status = status;
            row.code = code;
            row.attempts = 1;
            row.timings.first_byte = Some(Duration::from_millis(first_byte_ms));
            let body = Bytes::from_static(b"abc");
            batch.push(row, Draft { url: "u", final_url: "u", reason: b"", detail: "", headers: None, body });
        }
        batch
    }

    #[test]
    fn rows_are_counted_by_how_they_ended() {
        let mut stats = Stats::default();
        stats.add(&batch(&[(Some(200), None, 1), (Some(404), None, 1), (None, Some(Code::DnsNotFound), 1)]));
        stats.add(&batch(&[(Some(200), Some(Code::TruncatedDisconnect), 1)]));
        assert_eq!((stats.done, stats.ok, stats.failed()), (4, 1, 3));
        assert_eq!(stats.statuses, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!(stats.errors, BTreeMap::from([("dns.not_found", 1), ("truncated.disconnect", 1)]));
        assert_eq!(stats.body_bytes, 12);
    }

    #[test]
    fn phases_are_summed_over_what_was_sent() {
        let answered = Timings {
            queue: Some(Duration::from_millis(5)),
            first_byte: Some(Duration::from_millis(20)),
            body: Some(Duration::from_millis(3)),
            ..Timings::default()
        };
        let failed = Timings { dns: Some(Duration::from_millis(40)), ..Timings::default() };
        let mut batch = Batch::default();
        for (timings, is_copy) in [(answered, false), (answered, true), (failed, false), (answered, false)] {
            let mut row = Row::new(0, Method::GET);
            (row.timings, row.is_copy) = (timings, is_copy);
            batch.push(
                row,
                Draft {
                    url: "u",
                    final_url: "u",
                    reason: b"",
                    detail: "",
                    headers: None,
                    body: Bytes::new(),
                },
            );
        }
        let mut stats = Stats::default();
        stats.add(&batch);
        let spent_ms = stats.phases.by_name().map(|(name, spent)| (name, spent.as_millis()));
        assert_eq!(
            spent_ms,
            [("queue", 10), ("dns", 40), ("connect", 0), ("tls", 0), ("first_byte", 40), ("body", 6)]
        );
    }

    #[test]
    fn quantiles_are_right_within_one_percent() {
        let mut stats = Stats::default();
        assert_eq!(stats.first_byte.quantile(0.5), None);
        let rows: Vec<_> = (1..=100).map(|ms| (Some(200), None, ms)).collect();
        stats.add(&batch(&rows));
        for (share, expected) in [(0.5, 0.050), (0.95, 0.095), (0.99, 0.099)] {
            let value = stats.first_byte.quantile(share).unwrap();
            assert!((value / expected - 1.0).abs() < 0.01, "{share}: {value}");
        }
    }
}
