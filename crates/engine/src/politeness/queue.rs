//! The waiting requests of one host: by priority, and in order of arrival within the same priority.

use std::collections::{BTreeMap, VecDeque};

/// Items by priority, if it is not 0.
type Ranked<T> = BTreeMap<i32, VecDeque<T>>;

/// A queue in which most items have priority 0; those cost no more than in a plain one.
#[derive(Debug)]
pub(super) struct Queue<T> {
    plain: VecDeque<T>,
    /// None while it would be empty: there may be a million hosts.
    ranked: Option<Box<Ranked<T>>>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { plain: VecDeque::new(), ranked: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.ranked.is_none()
    }

    #[cfg(test)]
    pub(super) fn len(&mut self) -> usize {
        self.iter_mut().count()
    }

    /// Adds an item behind all of the same or a higher priority. O(1) for priority 0, else O(log of the priorities in
    /// use).
    pub(super) fn push(&mut self, item: T, priority: i32) {
        if priority == 0 {
            self.plain.push_back(item);
        } else {
            self.ranked.get_or_insert_default().entry(priority).or_default().push_back(item);
        }
    }

    /// Adds an item before all others. O(1).
    pub(super) fn push_front(&mut self, item: T) {
        match self.highest() {
            Some(rank) if rank > 0 => {
                self.ranked.get_or_insert_default().entry(rank).or_default().push_front(item);
            }
            _ => self.plain.push_front(item),
        }
    }

    /// Adds an item behind so many others at most of those that are next. O(`others`).
    pub(super) fn push_behind(&mut self, item: T, others: usize) {
        if others == 0 {
            return self.push_front(item);
        }
        let mut ranks: Vec<i32> =
            self.ranked.iter().flat_map(|ranked| ranked.keys().copied()).chain([0]).collect();
        ranks.sort_unstable();
        let mut left = others;
        for rank in ranks.into_iter().rev() {
            let ranked = self.ranked.as_mut().and_then(|ranked| ranked.get_mut(&rank));
            let queue = ranked.unwrap_or(&mut self.plain);
            if !queue.is_empty() && queue.len() >= left {
                return queue.insert(left, item);
            }
            left = left.saturating_sub(queue.len());
        }
        self.push_last(item);
    }

    /// Puts the last of all before the others. O(1).
    pub(super) fn bring_last(&mut self) {
        let lowest = self.ranked.as_mut().and_then(|ranked| ranked.first_entry());
        let last = match lowest {
            Some(mut lowest) if *lowest.key() < 0 || self.plain.is_empty() => lowest.get_mut().pop_back(),
            _ => self.plain.pop_back(),
        };
        self.tidy();
        if let Some(last) = last {
            self.push_front(last);
        }
    }

    /// Adds an item behind all others.
    fn push_last(&mut self, item: T) {
        match self.ranked.as_mut().and_then(|ranked| ranked.first_entry()) {
            Some(mut lowest) if *lowest.key() < 0 || self.plain.is_empty() => {
                lowest.get_mut().push_back(item);
            }
            _ => self.plain.push_back(item),
        }
    }

    /// The first of the highest priority.
    pub(super) fn pop(&mut self) -> Option<T> {
        match self.highest() {
            Some(rank) if rank > 0 || self.plain.is_empty() => self.pop_ranked(rank),
            _ => self.plain.pop_front(),
        }
    }

    /// All of it, in no particular order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.queues().flatten()
    }

    /// Takes out what `which` picks; the rest keeps its order. O(n).
    pub(super) fn take_where(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.queues() {
            for _ in 0..queue.len() {
                match queue.pop_front() {
                    Some(item) if which(&item) => taken.push(item),
                    Some(item) => queue.push_back(item),
                    None => break,
                }
            }
        }
        self.tidy();
        taken
    }

    fn queues(&mut self) -> impl Iterator<Item = &mut VecDeque<T>> {
        let ranked = self.ranked.iter_mut().flat_map(|ranked| ranked.values_mut());
        std::iter::once(&mut self.plain).chain(ranked)
    }

    /// Drops the ranks that have become empty.
    fn tidy(&mut self) {
        if let Some(ranked) = &mut self.ranked {
            ranked.retain(|_, queue| !queue.is_empty());
            if ranked.is_empty() {
                self.ranked = None;
            }
        }
    }

    fn highest(&self) -> Option<i32> {
        self.ranked.as_ref()?.last_key_value().map(|(&rank, _)| rank)
    }

    fn pop_ranked(&mut self, rank: i32) -> Option<T> {
        let ranked = self.ranked.as_mut()?;
        let queue = ranked.get_mut(&rank)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            ranked.remove(&rank);
            if ranked.is_empty() {
                self.ranked = None;
            }
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue<char>) -> String {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn equals_leave_in_order_of_arrival_and_the_higher_before_the_lower() {
        let mut queue = Queue::new();
        for (item, priority) in [('c', 0), ('e', -1), ('a', 5), ('d', 0), ('b', 5), ('f', -2)] {
            queue.push(item, priority);
        }
        assert_eq!(drain(&mut queue), "abcdef");
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_picked_leaves_and_the_rest_keeps_its_order() {
        let mut queue = Queue::new();
        for (item, priority) in [('A', 5), ('b', 0), ('C', 0), ('d', 0), ('E', 0), ('f', -1)] {
            queue.push(item, priority);
        }
        assert_eq!(queue.take_where(char::is_ascii_uppercase), ['C', 'E', 'A']);
        assert_eq!(queue.iter_mut().count(), 3);
        assert_eq!(drain(&mut queue), "bdf");
        assert!(queue.is_empty());
    }

    #[test]
    fn who_is_put_in_front_is_next() {
        let mut queue = Queue::new();
        for (item, priority) in [('b', 7), ('c', 0), ('d', -1)] {
            queue.push(item, priority);
        }
        queue.push_front('a');
        assert_eq!(drain(&mut queue), "abcd");
        queue.push('z', -1);
        queue.push_front('y');
        assert_eq!(drain(&mut queue), "yz");
    }

    #[test]
    fn who_is_put_behind_some_is_next_after_them() {
        let filled = || {
            let mut queue = Queue::new();
            for (item, priority) in [('a', 7), ('b', 0), ('c', 0), ('d', -1)] {
                queue.push(item, priority);
            }
            queue
        };
        for (others, wanted) in
            [(0, "zabcd"), (1, "azbcd"), (2, "abzcd"), (3, "abczd"), (4, "abcdz"), (99, "abcdz")]
        {
            let mut queue = filled();
            queue.push_behind('z', others);
            assert_eq!(drain(&mut queue), wanted, "{others}");
        }
        let mut queue = Queue::new();
        queue.push_behind('z', 1);
        assert_eq!(drain(&mut queue), "z");
    }

    #[test]
    fn the_last_of_all_is_brought_to_the_front() {
        let mut queue = Queue::new();
        queue.bring_last();
        for (item, priority) in [('a', 7), ('b', 0), ('d', -1)] {
            queue.push(item, priority);
        }
        for wanted in ["dab", "bda"] {
            queue.bring_last();
            let order = drain(&mut queue);
            assert_eq!(order, wanted);
            order.chars().zip([7, 0, 0]).for_each(|(item, priority)| queue.push(item, priority));
        }
        let mut queue = Queue::new();
        queue.push('x', 3);
        queue.bring_last();
        assert_eq!(drain(&mut queue), "x");
    }
}
