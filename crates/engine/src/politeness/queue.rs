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
}
