//! How busy a thread is.

use std::time::Instant;

/// The share of CPU time in a span from which a thread counts as busy: the rest goes to the sampling itself and to
/// what else the machine does.
const BUSY: f64 = 0.9;

/// Compares the CPU time of a thread with the elapsed time. Must be called on that thread.
#[derive(Debug)]
pub(super) struct BusyMeter {
    seen: Option<(Instant, u64)>,
}

impl BusyMeter {
    pub(super) fn new() -> Self {
        Self { seen: None }
    }

    /// Whether the thread was busy since the last call. False if the system does not report it.
    pub(super) fn was_busy(&mut self) -> bool {
        let Some(ran_ns) = ran_ns() else { return false };
        let now = Instant::now();
        let Some((then, ran_then_ns)) = self.seen.replace((now, ran_ns)) else { return false };
        let passed = now.saturating_duration_since(then).as_nanos() as f64;
        ran_ns.saturating_sub(ran_then_ns) as f64 >= BUSY * passed
    }
}

/// CPU time of the calling thread in nanoseconds. Source: the kernel's documentation of `/proc/<pid>/schedstat`.
#[cfg(target_os = "linux")]
fn ran_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Other systems report it only through a library of their own.
#[cfg(not(target_os = "linux"))]
fn ran_ns() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sleeping_is_not_busy() {
        let mut meter = BusyMeter::new();
        assert!(!meter.was_busy());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!meter.was_busy());
    }
}
