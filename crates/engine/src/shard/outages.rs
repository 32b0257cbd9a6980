//! What a shard knows of origins that are down, beyond what the scheduler decides by.

use std::collections::{HashMap, HashSet};

/// Origins by their number.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// How the last attempt at each ended, for a person.
    troubles: HashMap<u32, Box<str>>,
    /// Those that were asked once more when nothing else was left to do.
    asked_last: HashSet<u32>,
}

impl Outages {
    /// An attempt at an origin that is down has ended so.
    pub(super) fn note(&mut self, origin: u32, trouble: String) {
        self.troubles.insert(origin, trouble.into());
    }

    /// How the last attempt ended.
    pub(super) fn trouble(&self, origin: u32) -> &str {
        self.troubles.get(&origin).map_or("no answer", |trouble| trouble)
    }

    /// The origin is asked once more, for the last time. False: it has been.
    pub(super) fn ask_last(&mut self, origin: u32) -> bool {
        self.asked_last.insert(origin)
    }

    /// The next that finds it down may ask once more.
    pub(super) fn forgive(&mut self, origin: u32) {
        self.asked_last.remove(&origin);
    }

    /// The origin answers.
    pub(super) fn end(&mut self, origin: u32) {
        self.troubles.remove(&origin);
        self.asked_last.remove(&origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_asked_for_the_last_time_once_in_each_outage() {
        let mut outages = Outages::default();
        outages.note(1, "refused".to_owned());
        assert_eq!((outages.trouble(1), outages.trouble(2)), ("refused", "no answer"));
        assert!(outages.ask_last(1) && !outages.ask_last(1) && outages.ask_last(2));
        outages.end(1);
        assert_eq!(outages.trouble(1), "no answer");
        assert!(outages.ask_last(1) && !outages.ask_last(2));
        outages.forgive(2);
        assert!(outages.ask_last(2));
    }
}
