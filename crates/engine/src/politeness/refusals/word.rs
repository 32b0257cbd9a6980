//! What a host says that it takes now, and whether that can be relied on.
//!
//! A quota is spread over its period because it may be that of a window that slides. Where the first answer of a cycle
//! says that all that went before is forgotten, and each says what is left, there is nothing to be careful about: as
//! much goes at once. A host whose word was not true once is not believed again.

use std::time::Instant;

/// Which requests went because of it since the last refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    None,
    Some,
    Last,
}

/// One host's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// So many more it takes now, by its answer to a request that went then.
    left: u32,
    told_to: Instant,
    /// All that it took before this cycle it had forgotten when that began.
    is_fresh: bool,
    is_believed: bool,
    used: Used,
}

impl Word {
    pub(super) const fn new(first: Instant) -> Self {
        Self { left: 0, told_to: first, is_fresh: false, is_believed: true, used: Used::None }
    }

    /// Whether one more may go because of it.
    pub(super) fn grants(&self) -> bool {
        self.left > 0
    }

    /// The answer to a request that went at `started` says what is left.
    pub(super) fn tell(&mut self, started: Instant, left: u32) {
        if !(self.is_fresh && self.is_believed) || started < self.told_to {
            // Those that went later and are back were not counted in an answer that they overtook.
            return;
        }
        self.left = if started > self.told_to { left } else { left.min(self.left) };
        self.told_to = started;
    }

    /// A window has begun in which nothing counts that went before.
    pub(super) fn refresh(&mut self) {
        self.is_fresh = true;
    }

    /// The cycle is over.
    pub(super) fn end(&mut self) {
        (self.left, self.is_fresh) = (0, false);
    }

    /// A request goes.
    pub(super) fn take(&mut self) {
        self.used = match self.used {
            _ if self.grants() => Used::Last,
            Used::None => Used::None,
            Used::Some | Used::Last => Used::Some,
        };
        self.left = self.left.saturating_sub(1);
    }

    /// It did not go after all.
    pub(super) fn give_back(&mut self) {
        self.left += u32::from(self.used == Used::Last);
    }

    /// A request was refused. `counts_before`: it was the first of its cycle, so requests of the last one still count.
    pub(super) fn refused(&mut self, counts_before: bool) {
        let was_true = match self.used {
            Used::None => true,
            Used::Some => !counts_before,
            Used::Last => false,
        };
        self.is_believed &= was_true;
        self.go_on();
    }

    /// The same because of a limit that it says nothing of.
    pub(super) fn go_on(&mut self) {
        self.used = Used::None;
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is granted, after an answer to a request that went `after_ms` and says that `left` are left.
    fn told(word: &mut Word, start: Instant, after_ms: u64, left: u32) -> u32 {
        word.tell(start + Duration::from_millis(after_ms), left);
        word.left
    }

    #[test]
    fn it_counts_where_all_before_is_forgotten() {
        let start = Instant::now();
        let mut word = Word::new(start);
        assert_eq!(told(&mut word, start, 1, 3), 0, "the window may slide");
        word.refresh();
        assert_eq!(told(&mut word, start, 1, 3), 3);
        word.take();
        word.take();
        assert_eq!(word.left, 1);
        word.give_back();
        assert_eq!(word.left, 2);
        word.end();
        assert_eq!((word.left, told(&mut word, start, 9, 3)), (0, 0));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_count() {
        let start = Instant::now();
        let mut word = Word::new(start);
        word.refresh();
        assert_eq!(told(&mut word, start, 2, 1), 1);
        assert_eq!(told(&mut word, start, 1, 3), 1, "one that went later is not in it");
        assert_eq!(told(&mut word, start, 2, 3), 1, "of two that went together the lower");
        assert_eq!(told(&mut word, start, 3, 4), 4);
    }

    #[test]
    fn it_is_not_believed_again_once_it_was_not_true() {
        let start = Instant::now();
        let believed = |refuse: &dyn Fn(&mut Word)| {
            let mut word = Word::new(start);
            word.refresh();
            word.tell(start + Duration::from_millis(1), 2);
            word.take();
            refuse(&mut word);
            word.refresh();
            told(&mut word, start, 2, 3) > 0
        };
        assert!(!believed(&|word| word.refused(false)), "of what it granted one was refused");
        let next = |word: &mut Word, counts_before| {
            word.end();
            word.take();
            word.refused(counts_before);
        };
        assert!(!believed(&|word| next(word, true)), "what went at once counts for longer");
        assert!(believed(&|word| next(word, false)));
        assert!(believed(&Word::go_on), "another limit");
    }
}
