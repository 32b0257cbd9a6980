//! What a shard knows about origins that are down, beyond what the scheduler needs.

use std::collections::{HashMap, HashSet};

/// Origins by their number.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// How the last attempt at each ended, as text for people.
    troubles: HashMap<u32, Box<str>>,
    /// Those that got one last probe when nothing else was left to do.
    asked_last: HashSet<u32>,
}

impl Outages {
    /// Records how an attempt at an origin that is down has ended.
    pub(super) fn note(&mut self, origin: u32, trouble: String) {
        self.troubles.insert(origin, trouble.into());
    }

    /// How the last attempt ended.
    pub(super) fn trouble(&self, origin: u32) -> &str {
        self.troubles.get(&origin).map_or("no response", |trouble| trouble)
    }

    /// The origin gets one last probe. False: it has already had it.
    pub(super) fn ask_last(&mut self, origin: u32) -> bool {
        self.asked_last.insert(origin)
    }

    /// The origin may get one last probe again.
    pub(super) fn forgive(&mut self, origin: u32) {
        self.asked_last.remove(&origin);
    }

    /// The origin is up again.
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
        assert_eq!((outages.trouble(1), outages.trouble(2)), ("refused", "no response"));
        assert!(outages.ask_last(1) && !outages.ask_last(1) && outages.ask_last(2));
        outages.end(1);
        assert_eq!(outages.trouble(1), "no response");
        assert!(outages.ask_last(1) && !outages.ask_last(2));
        outages.forgive(2);
        assert!(outages.ask_last(2));
    }
}
