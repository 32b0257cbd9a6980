//! The cache of DNS answers. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Answer;

/// How long an answer may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Only for the requests that wait for it.
    Not,
    /// For this time.
    For(Duration),
    /// As long as there is room.
    Forever,
}

/// A bounded cache in two generations. New and used names are young; when the young fill half the room, they become
/// the old generation, and the names of the previous old generation that were not used are dropped. All operations
/// are O(1), amortised.
pub(super) struct Cache {
    young: HashMap<Box<str>, Entry>,
    old: HashMap<Box<str>, Entry>,
    half: usize,
}

struct Entry {
    answer: Answer,
    /// None: it does not expire.
    expires: Option<Instant>,
}

impl Cache {
    /// A cache of at most `size` names.
    pub(super) fn new(size: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (size / 2).max(1) }
    }

    /// The answer, if one is cached and has not expired at `now`.
    pub(super) fn get(&mut self, host: &str, now: Instant) -> Option<Answer> {
        if let Some(entry) = self.young.get(host) {
            if entry.is_fresh(now) {
                return Some(entry.answer.clone());
            }
            self.young.remove(host);
            return None;
        }
        let (name, entry) = self.old.remove_entry(host).filter(|(_, entry)| entry.is_fresh(now))?;
        let answer = entry.answer.clone();
        self.put(name, entry);
        Some(answer)
    }

    /// Caches an answer found at `now`, in place of an earlier one.
    pub(super) fn insert(&mut self, host: &str, answer: &Answer, keep: Keep, now: Instant) {
        let expires = match keep {
            Keep::Not => return,
            Keep::For(time) => Some(now + time),
            Keep::Forever => None,
        };
        self.old.remove(host);
        self.put(host.into(), Entry { answer: answer.clone(), expires });
    }

    fn put(&mut self, name: Box<str>, entry: Entry) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, entry);
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]

    use super::*;
    use std::net::IpAddr;
    use std::rc::Rc;

    fn answer(last: u8) -> Answer {
        Ok(Rc::new([IpAddr::from([192, 0, 2, last])]))
    }

    #[test]
    fn an_answer_is_used_until_it_expires() {
        let (mut cache, now) = (Cache::new(8), Instant::now());
        cache.insert("a", &answer(1), Keep::For(Duration::from_secs(5)), now);
        assert_eq!(cache.get("a", now + Duration::from_millis(4_999)), Some(answer(1)));
        assert_eq!(cache.get("a", now + Duration::from_secs(5)), None);
        assert_eq!(cache.get("a", now), None, "an expired answer is gone");
    }

    #[test]
    fn some_answers_are_kept_forever_and_some_not_at_all() {
        let (mut cache, now) = (Cache::new(8), Instant::now());
        cache.insert("a", &answer(1), Keep::Forever, now);
        cache.insert("b", &answer(2), Keep::Not, now);
        assert_eq!(cache.get("a", now + Duration::from_secs(1 << 20)), Some(answer(1)));
        assert_eq!(cache.get("b", now), None);
    }

    #[test]
    fn the_size_is_bounded_and_what_is_used_stays() {
        let (mut cache, now) = (Cache::new(100), Instant::now());
        cache.insert("used", &answer(0), Keep::Forever, now);
        for number in 0..10_000 {
            cache.insert(&number.to_string(), &answer(1), Keep::Forever, now);
            assert_eq!(cache.get("used", now), Some(answer(0)), "after {number}");
            assert!(cache.young.len() + cache.old.len() <= 100);
        }
        assert_eq!(cache.get("17", now), None);
        assert_eq!(cache.get("9999", now), Some(answer(1)));
    }

    #[test]
    fn the_newest_answer_wins() {
        let (mut cache, now) = (Cache::new(4), Instant::now());
        cache.insert("a", &answer(1), Keep::Forever, now);
        for name in ["b", "c"] {
            cache.insert(name, &answer(9), Keep::Forever, now);
        }
        cache.insert("a", &answer(2), Keep::Forever, now);
        cache.insert("d", &answer(9), Keep::Forever, now);
        assert_eq!(cache.get("a", now), Some(answer(2)));
    }
}
