//! A list whose entries can be removed and keep their numbers: a number is never used again.

/// Entries of a page, whose memory is freed when the last of them is removed.
const PAGE: usize = 256;

/// Entries by number, from 0 on. Every operation is O(1).
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Option<Page<T>>>,
}

#[derive(Debug)]
struct Page<T> {
    entries: Vec<Option<T>>,
    live: usize,
}

impl<T> Paged<T> {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// Adds an entry and returns its number.
    pub(crate) fn push(&mut self, entry: T) -> usize {
        let is_full = |page: &Option<Page<T>>| page.as_ref().is_none_or(|page| page.entries.len() == PAGE);
        if self.pages.last().is_none_or(is_full) {
            self.pages.push(Some(Page { entries: Vec::new(), live: 0 }));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let Some(Some(page)) = self.pages.last_mut() else { return usize::MAX };
        page.entries.push(Some(entry));
        page.live += 1;
        before + page.entries.len() - 1
    }

    /// The entry with a number, unless it was removed.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.pages.get(number / PAGE)?.as_ref()?.entries.get(number % PAGE)?.as_ref()
    }

    /// The entry with a number, unless it was removed.
    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.pages.get_mut(number / PAGE)?.as_mut()?.entries.get_mut(number % PAGE)?.as_mut()
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, number: usize) {
        let Some(place) = self.pages.get_mut(number / PAGE) else { return };
        let Some(page) = place else { return };
        if let Some(entry) = page.entries.get_mut(number % PAGE)
            && entry.take().is_some()
        {
            page.live -= 1;
            if page.live == 0 && page.entries.len() == PAGE {
                *place = None;
            }
        }
    }

    /// Removes the entries that `keeps` does not keep. O(all).
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(&mut T) -> bool) {
        for number in 0..self.pages.len() * PAGE {
            if self.get_mut(number).is_some_and(|entry| !keeps(entry)) {
                self.remove(number);
            }
        }
    }

    /// All entries.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten().flat_map(|page| page.entries.iter_mut().flatten())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_numbers_and_pages_without_any_are_freed() {
        let mut list = Paged::new();
        assert!((0..2 * PAGE + 10).all(|number| list.push(number) == number));
        assert_eq!(
            (list.get(5).copied(), list.get_mut(PAGE).copied(), list.get(9_999_999).copied()),
            (Some(5), Some(PAGE), None)
        );
        list.remove(5);
        list.remove(5);
        list.remove(usize::MAX);
        assert_eq!((list.get(5), list.get(6)), (None, Some(&6)));
        list.retain(|number| *number >= PAGE + 3);
        assert!(list.pages.first().unwrap().is_none());
        assert_eq!(list.iter_mut().next().copied(), Some(PAGE + 3));
        (PAGE..2 * PAGE + 10).for_each(|number| list.remove(number));
        assert_eq!((list.iter_mut().count(), list.push(7)), (0, 2 * PAGE + 10));
        assert_eq!(list.get(2 * PAGE + 10), Some(&7));
    }
}
