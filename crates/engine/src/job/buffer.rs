//! Bytes that wait for a job's consumer, those that it has in hand, and the shards that stop while there are too many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::bodies::Room;

/// No row is awaited.
const NONE: u64 = u64::MAX;
/// Requests start while the rows that wait take at most this part of the limit. More of them help nobody: a consumer
/// that is slower than the engine stays behind, and a fast one needs them for a moment only, while it waits for a disk.
const WAITING_PART: u64 = 16;

#[derive(Debug)]
pub(super) struct Buffer {
    bytes: AtomicU64,
    max: u64,
    /// What the consumer took last, until it takes more; and whether it waits for more.
    in_hand: AtomicU64,
    consumer_waits: AtomicBool,
    /// Rows that the consumer cannot use before an earlier one, and the position of that one.
    held_back: AtomicU64,
    awaited: AtomicU64,
    /// Some shard has stopped because of `bytes`.
    stalled: AtomicBool,
}

impl Buffer {
    pub(super) fn new(max: u64) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            max,
            in_hand: AtomicU64::new(0),
            consumer_waits: AtomicBool::new(false),
            held_back: AtomicU64::new(0),
            awaited: AtomicU64::new(NONE),
            stalled: AtomicBool::new(false),
        }
    }

    /// The most bytes.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Counts bytes that now wait.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Counts bytes that the consumer took. True: shards that have stopped must be told.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.has_room(before.saturating_sub(bytes)) && self.stalled.swap(false, Ordering::SeqCst)
    }

    /// Whether requests may start while `bytes` wait.
    fn has_room(&self, bytes: u64) -> bool {
        bytes < self.most_waiting() && bytes + self.held_back.load(Ordering::SeqCst) < self.max
    }

    fn most_waiting(&self) -> u64 {
        (self.max / WAITING_PART).max(1)
    }

    /// The consumer wants more rows.
    pub(super) fn begin_wait(&self) {
        self.consumer_waits.store(true, Ordering::SeqCst);
    }

    /// The consumer uses rows of `bytes` from now on.
    pub(super) fn hand_over(&self, bytes: usize) {
        self.in_hand.store(bytes as u64, Ordering::SeqCst);
        self.consumer_waits.store(false, Ordering::SeqCst);
    }

    /// The consumer keeps rows of `bytes`, until the row at `awaited` comes. True: shards that have stopped must be told.
    pub(super) fn hold_back(&self, bytes: u64, awaited: u64) -> bool {
        self.held_back.store(bytes, Ordering::SeqCst);
        let moves = self.awaited.swap(awaited, Ordering::SeqCst) != awaited;
        let has_room = self.has_room(self.bytes.load(Ordering::SeqCst));
        let tells = (has_room || moves) && self.stalled.load(Ordering::SeqCst);
        if tells && has_room {
            self.stalled.store(false, Ordering::SeqCst);
        }
        tells
    }

    /// Whether all that is held back waits for the row at `index`.
    pub(super) fn awaits(&self, index: u64) -> bool {
        self.awaited.load(Ordering::SeqCst) == index && self.held_back.load(Ordering::SeqCst) > 0
    }

    pub(super) fn room(&self, other_jobs: bool) -> Room {
        let awaited = self.awaited.load(Ordering::SeqCst);
        Room {
            max: self.max,
            rows: self.bytes.load(Ordering::SeqCst),
            in_hand: self.in_hand.load(Ordering::SeqCst),
            consumer_waits: self.consumer_waits.load(Ordering::SeqCst),
            held_back: self.held_back.load(Ordering::SeqCst),
            awaited: (awaited != NONE).then_some(awaited),
            other_jobs,
        }
    }

    /// Whether too many wait to start further requests.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.most_waiting()
    }

    /// Whether a shard has to start nothing more. If so, it has to be told when it may resume.
    pub(super) fn stops_starts(&self) -> bool {
        self.stalls(|bytes| !self.has_room(bytes))
    }

    /// Whether a shard has to stop reading: twice the limit waits. What the consumer keeps does not count: it may wait for
    /// a row that waits for the end of these. If so, the shard has to be told when it may resume.
    pub(super) fn stops_reading(&self) -> bool {
        self.stalls(|bytes| bytes >= self.max.saturating_mul(2))
    }

    fn stalls(&self, are_too_many: impl Fn(u64) -> bool) -> bool {
        let stalls = || are_too_many(self.bytes.load(Ordering::SeqCst));
        if !stalls() {
            return false;
        }
        self.stalled.store(true, Ordering::SeqCst);
        // The consumer may have taken some between the two lines, without telling anybody.
        stalls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_stopped_is_told_once_when_there_is_room() {
        let buffer = Buffer::new(1600);
        buffer.add(99);
        assert!(!buffer.is_full() && !buffer.stops_starts());
        assert!(!buffer.take(9), "nobody has stopped");
        buffer.add(3200);
        assert!(buffer.is_full() && buffer.stops_starts() && buffer.stops_reading());
        assert!(!buffer.take(3100), "190 are left");
        assert!(buffer.take(100));
        assert!(!buffer.take(90));
    }

    #[test]
    fn rows_that_wait_for_the_consumer_take_a_sixteenth_and_those_that_it_keeps_all() {
        let buffer = Buffer::new(1600);
        buffer.add(100);
        assert!(buffer.stops_starts() && !buffer.stops_reading());
        assert!(buffer.take(100));
        assert!(!buffer.hold_back(1590, 7) && !buffer.stops_starts());
        buffer.add(10);
        assert!(buffer.stops_starts() && buffer.hold_back(1580, 7));
    }
}
