//! Requests that wait for a connection of their origin because this machine has no local port for another one.
//!
//! After a connection has closed in order, its port stays taken for a minute, so closing one to open another would gain
//! nothing. They wait in line for a connection that becomes free; the first may look for a port meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;

use super::OriginId;

/// A place in line, with the work that waits.
pub(crate) struct Place<T> {
    work: Cell<Option<T>>,
    called: Cell<bool>,
    in_line: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Place<T> {
    /// Takes the work, if no connection has.
    pub(crate) fn take(&self) -> Option<T> {
        self.work.take()
    }

    /// Puts the work back.
    pub(crate) fn put(&self, work: T) {
        self.work.set(Some(work));
    }

    /// Whether it was called since it was last asked.
    pub(crate) fn is_called(&self) -> bool {
        self.called.replace(false)
    }

    /// Sets the task to wake when it is called.
    pub(crate) fn register(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    fn call(&self) {
        self.called.set(true);
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The lines of a shard's origins; mostly there are none.
pub(crate) struct Lines<T>(HashMap<OriginId, VecDeque<Rc<Place<T>>>>);

impl<T> Lines<T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether requests of an origin wait. O(1).
    pub(crate) fn has(&self, origin: OriginId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&origin)
    }

    /// Adds work to the line of its origin: at the end, or as the first. O(1).
    pub(crate) fn wait(&mut self, origin: OriginId, work: T, first: bool) -> Rc<Place<T>> {
        let (work, called, in_line) = (Cell::new(Some(work)), Cell::new(false), Cell::new(true));
        let place = Rc::new(Place { work, called, in_line, waker: RefCell::new(None) });
        let line = self.0.entry(origin).or_default();
        if first {
            line.push_front(Rc::clone(&place));
        } else {
            line.push_back(Rc::clone(&place));
        }
        place
    }

    /// Whether a place is the first of its line. O(1).
    pub(crate) fn is_first(&self, origin: OriginId, place: &Rc<Place<T>>) -> bool {
        self.0.get(&origin).and_then(VecDeque::front).is_some_and(|first| Rc::ptr_eq(first, place))
    }

    /// Takes the work that is first in line: a connection is free. O(1).
    pub(crate) fn next(&mut self, origin: OriginId) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        loop {
            let line = self.0.get_mut(&origin)?;
            let place = line.pop_front();
            if line.is_empty() {
                self.0.remove(&origin);
            }
            let place = place?;
            place.in_line.set(false);
            if let Some(work) = place.take() {
                place.call();
                return Some(work);
            }
        }
    }

    /// Lets the first in line look for a port at once: there may be one.
    pub(crate) fn call(&self, origin: OriginId) {
        if let Some(first) = self.0.get(&origin).and_then(VecDeque::front) {
            first.call();
        }
    }

    /// Takes a place out of its line. O(1) for the first, otherwise O(n).
    pub(crate) fn leave(&mut self, origin: OriginId, place: &Rc<Place<T>>) {
        if !place.in_line.replace(false) {
            return;
        }
        let Some(line) = self.0.get_mut(&origin) else { return };
        if line.front().is_some_and(|first| Rc::ptr_eq(first, place)) {
            line.pop_front();
        } else {
            line.retain(|other| !Rc::ptr_eq(other, place));
        }
        if line.is_empty() {
            self.0.remove(&origin);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HERE: OriginId = OriginId::UNKNOWN;

    #[test]
    fn a_free_connection_takes_who_has_waited_longest_and_who_looked_before_them() {
        let mut lines = Lines::new();
        assert!(!lines.has(HERE) && lines.next(HERE).is_none());
        let [_b, _c] = ['b', 'c'].map(|work| lines.wait(HERE, work, false));
        let a = lines.wait(HERE, 'a', true);
        assert!(lines.is_first(HERE, &a));
        assert_eq!(std::iter::from_fn(|| lines.next(HERE)).collect::<String>(), "abc");
        assert!(!lines.has(HERE));
        assert!(a.is_called() && a.take().is_none(), "it learns that its work is taken");
    }

    #[test]
    fn who_left_the_line_is_neither_served_nor_called() {
        let mut lines = Lines::new();
        let [a, b, c] = ['a', 'b', 'c'].map(|work| lines.wait(HERE, work, false));
        lines.leave(HERE, &b);
        lines.leave(HERE, &a);
        lines.leave(HERE, &a);
        lines.call(HERE);
        assert!(c.is_called() && !c.is_called() && !a.is_called());
        assert_eq!((lines.next(HERE), lines.next(HERE)), (Some('c'), None));
        lines.leave(HERE, &c);
        assert!(!lines.has(HERE));
    }
}
