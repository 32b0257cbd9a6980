//! Bytes that wait for a job's consumer, and the shards that stop while there are too many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Buffer {
    bytes: AtomicU64,
    max: u64,
    /// Some shard has stopped because of `bytes`.
    stalled: AtomicBool,
}

impl Buffer {
    pub(super) fn new(max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), max, stalled: AtomicBool::new(false) }
    }

    /// Counts bytes that now wait.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Counts bytes that the consumer took. True: shards that have stopped must be told.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        before.saturating_sub(bytes) < self.max && self.stalled.swap(false, Ordering::SeqCst)
    }

    /// Whether too many wait to start further requests.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.max
    }

    /// Whether a shard has to stop: `times` the limit waits. If so, it has to be told when it may resume.
    pub(super) fn stalls(&self, times: u64) -> bool {
        let mark = self.max.saturating_mul(times);
        if self.bytes.load(Ordering::Relaxed) < mark {
            return false;
        }
        self.stalled.store(true, Ordering::SeqCst);
        // The consumer may have taken some between the two lines, without telling anybody.
        self.bytes.load(Ordering::SeqCst) >= mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_stopped_is_told_once_when_there_is_room() {
        let buffer = Buffer::new(100);
        buffer.add(99);
        assert!(!buffer.is_full() && !buffer.stalls(1));
        assert!(!buffer.take(9), "nobody has stopped");
        buffer.add(150);
        assert!(buffer.is_full() && buffer.stalls(1) && buffer.stalls(2));
        assert!(!buffer.stalls(3));
        assert!(!buffer.take(100), "140 are left");
        assert!(buffer.take(50));
        assert!(!buffer.take(50));
    }
}
