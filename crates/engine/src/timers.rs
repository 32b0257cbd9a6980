//! Things that are due at an instant: a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Things that are due later. Equal instants keep their order.
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    added: u64,
}

struct Entry<T> {
    due: Instant,
    order: u64,
    item: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }

    /// O(log n).
    pub(crate) fn add(&mut self, due: Instant, item: T) {
        self.added += 1;
        self.heap.push(Reverse(Entry { due, order: self.added, item }));
    }

    /// When the next thing is due. O(1).
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.due)
    }

    /// Takes the next thing that is due at `now`. O(log n).
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.item)
    }

    /// All things, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|Reverse(entry)| &entry.item)
    }

    /// Takes out what `which` picks. O(n).
    pub(crate) fn take_where(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let all = std::mem::take(&mut self.heap).into_iter();
        let (taken, kept): (Vec<_>, Vec<_>) = all.partition(|Reverse(entry)| which(&entry.item));
        self.heap = kept.into();
        taken.into_iter().map(|Reverse(entry)| entry.item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn things_come_up_in_order_of_time_then_of_arrival() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut later = Timers::new();
        for (seconds, item) in [(2, 'c'), (1, 'a'), (1, 'b'), (3, 'd')] {
            later.add(at(seconds), item);
        }
        assert_eq!(later.pop_due(now), None);
        assert_eq!(later.next_due(), Some(at(1)));
        let due: String = std::iter::from_fn(|| later.pop_due(at(2))).collect();
        assert_eq!(due, "abc");
        later.add(at(9), 'e');
        assert_eq!(later.take_where(|&item| item == 'e'), ['e']);
        assert_eq!(later.next_due(), Some(at(3)));
    }
}
