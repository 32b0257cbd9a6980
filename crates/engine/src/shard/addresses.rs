//! The address of each origin, where limits are by address: one at a time, the same for all shards.
//!
//! The requests to a name with several addresses all go to one of them: each address has its own limits, and the order
//! of a DNS answer changes from one query to the next. If no connection can be opened to it, the next one is used, until
//! one has worked or all have failed. After that the origin keeps its address until its name is resolved again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::request::Target;

/// How long the addresses of a name are used before the resolver is asked again, which has a cache of its own.
const KEPT: Duration = Duration::from_secs(60);

/// The addresses of names, and those that origins use. All operations are O(1) but for the addresses of one name.
#[derive(Debug, Default)]
pub(crate) struct Addresses(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    names: HashMap<Box<str>, Found>,
    /// By origin. One that is missing here uses the first address of its name.
    choices: HashMap<Box<str>, Choice>,
}

/// The addresses of a name.
#[derive(Debug)]
struct Found {
    all: Box<[IpAddr]>,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    address: IpAddr,
    /// How many addresses in a row could not be connected to.
    failed: usize,
    /// It has worked, or all have failed.
    is_settled: bool,
    /// `Found::until` of the addresses that this was learned about.
    until: Instant,
}

impl Addresses {
    /// The address that requests to an origin go to. None: the name must be resolved.
    pub(super) fn of(&self, target: &Target, now: Instant) -> Option<IpAddr> {
        self.chosen(target, |found| found.until > now)
    }

    /// The same, even if it is out of date.
    pub(super) fn last_of(&self, target: &Target) -> Option<IpAddr> {
        self.chosen(target, |_| true)
    }

    fn chosen(&self, target: &Target, is_good: impl Fn(&Found) -> bool) -> Option<IpAddr> {
        if let Ok(address) = target.host().parse() {
            return Some(address);
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.names.get(target.host()).filter(|found| is_good(found))?;
        let choice = known.choices.get(target.origin()).map(|choice| choice.address);
        choice.filter(|address| found.all.contains(address)).or_else(|| found.all.first().copied())
    }

    /// Records the addresses of a name. The first one so far stays the first, if it is still among them.
    pub(super) fn found(&self, name: &str, all: &[IpAddr], now: Instant) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut all: Box<[IpAddr]> = all.into();
        let before = known.names.get(name).and_then(|found| found.all.first());
        if let Some(place) = all.iter().position(|address| Some(address) == before) {
            all.swap(0, place);
        }
        known.names.insert(name.into(), Found { all, until: now + KEPT });
    }

    /// No connection could be opened to an address. Returns how many addresses the name has, if the origin now uses
    /// another one; None if there is no other, or all have failed.
    pub(super) fn leave(&self, target: &Target, failed: IpAddr, now: Instant) -> Option<usize> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Known { names, choices } = &mut *known;
        let found = names.get(target.host()).filter(|found| found.all.len() > 1)?;
        let choice = found.choice(choices.get(target.origin()))?;
        if choice.address != failed {
            return Some(found.all.len());
        }
        let is_old = found.until <= now;
        if choice.is_settled && !is_old {
            return None;
        }
        let place = found.all.iter().position(|&address| address == failed)?;
        let address = *found.all.iter().cycle().nth(place + 1)?;
        let failed = if is_old { 1 } else { choice.failed + 1 };
        let is_settled = failed >= found.all.len();
        choices.insert(target.origin().into(), Choice { address, failed, is_settled, ..choice });
        (!is_settled).then_some(found.all.len())
    }

    /// A connection was opened to an address: the origin keeps it.
    pub(super) fn connected(&self, target: &Target, address: IpAddr) {
        let found = |known: &Known| {
            let found = known.names.get(target.host()).filter(|found| found.all.len() > 1)?;
            found.choice(known.choices.get(target.origin()))
        };
        let is_news = |choice: &Choice| choice.address == address && !choice.is_settled;
        let choice = found(&self.0.read().unwrap_or_else(PoisonError::into_inner)).filter(is_news);
        if let Some(choice) = choice {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.choices.insert(target.origin().into(), Choice { is_settled: true, ..choice });
        }
    }
}

impl Found {
    /// The address that an origin of the name uses, and what was learned since the name was resolved.
    fn choice(&self, known: Option<&Choice>) -> Option<Choice> {
        let known = known.copied().filter(|choice| self.all.contains(&choice.address));
        if let Some(choice) = known.filter(|choice| choice.until == self.until) {
            return Some(choice);
        }
        let address = known.map_or_else(|| self.all.first().copied(), |choice| Some(choice.address))?;
        Some(Choice { address, failed: 0, is_settled: false, until: self.until })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap().target
    }

    #[test]
    fn an_address_is_itself_and_a_name_must_be_resolved() {
        let (addresses, now) = (Addresses::default(), Instant::now());
        let [literal, v6, name] =
            ["http://192.0.2.1/", "http://[2001:db8::1]/", "http://a.example/"].map(target);
        assert_eq!(addresses.of(&literal, now), Some(ip(1)));
        assert_eq!(addresses.of(&v6, now), "2001:db8::1".parse().ok());
        assert_eq!((addresses.of(&name, now), addresses.last_of(&name)), (None, None));
        assert_eq!((addresses.leave(&name, ip(1), now), addresses.leave(&literal, ip(1), now)), (None, None));
    }

    #[test]
    fn a_name_keeps_its_address_in_whatever_order_they_come() {
        let (addresses, now, a) = (Addresses::default(), Instant::now(), target("http://a.example/"));
        addresses.found("a.example", &[ip(1), ip(2)], now);
        assert_eq!(addresses.of(&a, now), Some(ip(1)));
        let later = now + KEPT;
        assert_eq!((addresses.of(&a, later), addresses.last_of(&a)), (None, Some(ip(1))));
        addresses.found("a.example", &[ip(2), ip(1)], later);
        assert_eq!(addresses.of(&a, later), Some(ip(1)));
        addresses.found("a.example", &[ip(3), ip(2)], later);
        assert_eq!(addresses.of(&a, later), Some(ip(3)));
    }

    #[test]
    fn each_address_is_tried_once_until_the_name_is_resolved_again() {
        let (addresses, now, a) = (Addresses::default(), Instant::now(), target("http://a.example/"));
        let all = [ip(1), ip(2), ip(3)];
        addresses.found("a.example", &all, now);
        assert_eq!(addresses.leave(&a, ip(1), now), Some(3));
        assert_eq!(addresses.of(&a, now), Some(ip(2)));
        assert_eq!(addresses.leave(&a, ip(1), now), Some(3), "another request found that out before");
        assert_eq!(addresses.of(&a, now), Some(ip(2)));
        assert_eq!(addresses.leave(&a, ip(2), now), Some(3));
        assert_eq!(addresses.leave(&a, ip(3), now), None);
        for _ in 0..5 {
            assert_eq!(addresses.of(&a, now), Some(ip(1)));
            assert_eq!(addresses.leave(&a, ip(1), now), None);
        }
        addresses.found("a.example", &all, now + KEPT);
        assert_eq!(addresses.leave(&a, ip(1), now + KEPT), Some(3));
        addresses.found("b.example", &[ip(1)], now);
        assert_eq!(addresses.leave(&target("http://b.example/"), ip(1), now), None, "there is no other");
    }

    #[test]
    fn an_address_that_worked_is_kept_until_the_name_is_resolved_again_and_for_its_port_only() {
        let (addresses, now, a) = (Addresses::default(), Instant::now(), target("http://a.example/"));
        let other = target("http://a.example:81/");
        addresses.found("a.example", &[ip(1), ip(2)], now);
        assert_eq!(addresses.leave(&a, ip(1), now), Some(2));
        addresses.connected(&a, ip(1));
        addresses.connected(&a, ip(2));
        assert_eq!(addresses.leave(&a, ip(2), now), None);
        assert_eq!((addresses.of(&a, now), addresses.of(&other, now)), (Some(ip(2)), Some(ip(1))));
        assert_eq!(addresses.leave(&other, ip(1), now), Some(2));
        assert_eq!(addresses.leave(&other, ip(2), now), None);
        assert_eq!((addresses.of(&a, now), addresses.of(&other, now)), (Some(ip(2)), Some(ip(1))));
        assert_eq!(addresses.leave(&a, ip(2), now + KEPT), Some(2), "what was learned is out of date");
    }
}
