//! The limits of each host, and which hosts share them.

mod domain;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::options::{Concurrency, LimitBy, Limits, Options, RateLimit};
pub(crate) use domain::registrable;

/// A limit that one thread can serve is not divided: the budget for retries and the probes of a host that is down are
/// per thread.
const DIVIDED_FROM: u32 = 32;

/// The limits of one host, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostLimits {
    pub(crate) concurrency: Concurrency,
    pub(crate) rate_limit: RateLimit,
}

/// The group whose limits a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group<'a> {
    /// A host, a registrable domain, or the hosts of one entry of `Options::hosts`, by its name.
    Named(&'a str),
    /// The address of the host, whose name may have to be resolved first.
    Address,
}

/// An entry of `Options::hosts`.
#[derive(Debug)]
struct Entry {
    /// Its names as given, which also name its group: no host has a name with a comma or a star.
    names: Box<str>,
    limits: Limits,
}

/// The limits of every host: the general ones, and where some hosts differ.
///
/// Each request counts against one group, and limits are found by the group's name. A group is one host, unless
/// `limit_by` or an entry with `shared` says otherwise. The closest entry decides: the one that names the host, else the
/// one with the longest name after `*`. If it is shared, its hosts are one group. If not, each of them is a group of its
/// own, whatever `limit_by` says. The exception are limits by domain: an entry for a whole domain, or for more, sets the
/// limits of the domain's group.
#[derive(Debug)]
pub(crate) struct LimitTable {
    of_all: HostLimits,
    by: LimitBy,
    entries: Vec<Entry>,
    exact: HashMap<Box<str>, usize>,
    /// By the part behind `*`, the longest first.
    below: Vec<(Box<str>, usize)>,
    /// Each host is a group.
    is_plain: bool,
    /// Each group must be handled by one thread, whatever its limits are.
    undivided: bool,
}

impl LimitTable {
    pub(crate) fn new(options: &Options) -> Self {
        let of_all =
            HostLimits { concurrency: options.concurrency_per_host, rate_limit: options.rate_limit_per_host };
        let by = options.limit_by;
        let (mut exact, mut below) = (HashMap::new(), Vec::new());
        for (at, (names, _)) in options.hosts.iter().enumerate() {
            for name in names.split(',').map(str::trim) {
                if let Some(suffix) = name.strip_prefix('*') {
                    below.push((suffix.into(), at));
                    continue;
                }
                let address = name.parse().ok().filter(|_| by == LimitBy::Ip);
                exact.insert(address.map_or_else(|| name.into(), |address| spelled(address).into()), at);
            }
        }
        below.sort_by_key(|(suffix, _): &(Box<str>, usize)| std::cmp::Reverse(suffix.len()));
        let entries =
            options.hosts.iter().map(|(names, limits)| Entry { names: names.clone(), limits: *limits });
        Self {
            of_all,
            by,
            entries: entries.collect(),
            exact,
            below,
            is_plain: by == LimitBy::Host && options.hosts.iter().all(|(_, limits)| !limits.shared),
            // robots.txt is fetched once, and its crawl-delay is a rate. An address is found after its requests were dealt.
            undivided: options.robots || by == LimitBy::Ip,
        }
    }

    /// Whether the group of a request may depend on an address.
    pub(crate) fn are_by_address(&self) -> bool {
        self.by == LimitBy::Ip
    }

    /// The group of requests to `host`. O(1), except for patterns with `*`.
    pub(crate) fn group<'a>(&'a self, host: &'a str) -> Group<'a> {
        if self.is_plain {
            return Group::Named(host);
        }
        let entry = self.closest(host);
        if let Some((_, entry)) = entry.filter(|(_, entry)| entry.limits.shared) {
            return Group::Named(&entry.names);
        }
        match self.by {
            LimitBy::Domain => {
                let domain = registrable(host).unwrap_or_else(|| host.strip_suffix('.').unwrap_or(host));
                let is_whole = entry.is_none_or(|(name, _)| name.len() <= domain.len());
                Group::Named(if is_whole { domain } else { host })
            }
            LimitBy::Ip if entry.is_none() || host.parse::<IpAddr>().is_ok() => Group::Address,
            LimitBy::Host | LimitBy::Ip => Group::Named(host),
        }
    }

    /// The name of the group of an address.
    pub(crate) fn group_of_address(&self, address: IpAddr) -> Cow<'_, str> {
        let name = spelled(address);
        match self.closest(&name) {
            Some((_, entry)) if entry.limits.shared => Cow::Borrowed(&entry.names),
            _ => Cow::Owned(name),
        }
    }

    /// How many requests to a group may be in flight, if that is its only limit: it can be divided.
    pub(crate) fn divisible(&self, group: &str) -> Option<u32> {
        match self.of(group) {
            HostLimits { concurrency: Concurrency::Fixed(limit), rate_limit: RateLimit::Unlimited } => {
                (!self.undivided && limit >= DIVIDED_FROM).then_some(limit)
            }
            _ => None,
        }
    }

    /// The limits of a group, by its name. O(1), except for patterns with `*` and shared entries.
    pub(crate) fn of(&self, group: &str) -> HostLimits {
        let entry = self.place_of(group).and_then(|at| self.entries.get(at));
        entry.map_or(self.of_all, |Entry { limits, .. }| HostLimits {
            concurrency: limits.concurrency.unwrap_or(self.of_all.concurrency),
            rate_limit: limits.rate_limit.unwrap_or(self.of_all.rate_limit),
        })
    }

    /// The place of a group's entry in `Options::hosts`, if it has one.
    fn place_of(&self, group: &str) -> Option<usize> {
        if group.contains([',', '*']) {
            return self.entries.iter().position(|entry| *entry.names == *group);
        }
        self.place_of_domain(group).or_else(|| self.closest_place(group).map(|(_, at)| at))
    }

    /// The closest entry for a host, and which of its names matched, without `*.`.
    fn closest(&self, host: &str) -> Option<(&str, &Entry)> {
        let (name, at) = self.closest_place(host)?;
        Some((name, self.entries.get(at)?))
    }

    fn closest_place(&self, host: &str) -> Option<(&str, usize)> {
        if let Some((name, &at)) = self.exact.get_key_value(host) {
            return Some((name, at));
        }
        let is_above = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
        let (suffix, at) = self.below.iter().find(|(suffix, _)| is_above(suffix))?;
        Some((suffix.get(1..)?, *at))
    }

    /// The entry for all names below a domain, if limits are by domain and no entry names the domain itself.
    fn place_of_domain(&self, group: &str) -> Option<usize> {
        let is_domain = self.by == LimitBy::Domain && registrable(group) == Some(group);
        if !is_domain || self.exact.contains_key(group) {
            return None;
        }
        let below = self.below.iter().find(|(suffix, _)| suffix.strip_prefix('.') == Some(group));
        below.map(|(_, at)| *at)
    }
}

/// Which hosts share limits, for estimates: nothing is sent.
#[derive(Debug)]
pub struct Groups(LimitTable);

impl Groups {
    /// The groups under these options.
    pub fn new(options: &Options) -> Self {
        Self(LimitTable::new(options))
    }

    /// The name of the group that a host belongs to, and the place of its limits in `Options::hosts` if they differ from
    /// the general ones. Where limits are by address, a host whose address is unknown is a group of its own.
    pub fn of(&self, host: &str) -> (String, Option<usize>) {
        let group = match (self.0.group(host), host.parse()) {
            (Group::Named(name), _) => Cow::Borrowed(name),
            (Group::Address, Ok(address)) => self.0.group_of_address(address),
            (Group::Address, Err(_)) => return (host.to_owned(), None),
        };
        let place = self.0.place_of(&group);
        (group.into_owned(), place)
    }
}

/// The name of an address's group. An IPv4 address written as IPv6 is the same machine.
fn spelled(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn limits(concurrency: u32) -> Limits {
        Limits { concurrency: Some(Concurrency::Fixed(concurrency)), ..Limits::default() }
    }

    fn shared(concurrency: u32) -> Limits {
        Limits { shared: true, ..limits(concurrency) }
    }

    fn table(limit_by: LimitBy, hosts: &[(&str, Limits)]) -> LimitTable {
        let hosts = hosts.iter().map(|&(names, limits)| (names.into(), limits)).collect();
        LimitTable::new(&Options { limit_by, hosts, ..Options::default() })
    }

    /// A host's group and how many requests may be in flight to it.
    fn group_of(table: &LimitTable, host: &str) -> (String, u32) {
        let group = match table.group(host) {
            Group::Named(name) => name.to_owned(),
            Group::Address => table.group_of_address(host.parse().unwrap()).into_owned(),
        };
        match table.of(&group).concurrency {
            Concurrency::Fixed(limit) => (group, limit),
            Concurrency::Auto => panic!("{group} has no fixed limit"),
        }
    }

    fn assert_groups(table: &LimitTable, expected: &[(&str, &str, u32)]) {
        for &(host, group, limit) in expected {
            assert_eq!(group_of(table, host), (group.to_owned(), limit), "{host}");
        }
    }

    #[test]
    fn only_a_fixed_number_in_flight_can_be_divided() {
        let concurrency_per_host = Concurrency::Fixed(64);
        let divisible = |options: Options| LimitTable::new(&options).divisible("a");
        let wide = Options { concurrency_per_host, ..Options::default() };
        assert_eq!(divisible(wide.clone()), Some(64));
        assert_eq!(divisible(Options::default()), None, "one thread does ten well");
        assert_eq!(divisible(Options { robots: true, ..wide.clone() }), None);
        assert_eq!(divisible(Options { limit_by: LimitBy::Ip, ..wide.clone() }), None);
        assert_eq!(divisible(Options { limit_by: LimitBy::Domain, ..wide.clone() }), Some(64));
        assert_eq!(divisible(Options { rate_limit_per_host: RateLimit::Auto, ..wide.clone() }), None);
        assert_eq!(
            divisible(Options { concurrency_per_host: Concurrency::Auto, ..Options::default() }),
            None
        );
    }

    #[test]
    fn the_closest_name_wins_and_what_it_leaves_open_is_as_for_all() {
        let hosts = vec![
            ("*.example.com".into(), limits(2)),
            ("*.deep.example.com".into(), limits(3)),
            ("a.example.com".into(), limits(4)),
        ];
        let table =
            LimitTable::new(&Options { hosts, rate_limit_per_host: RateLimit::Auto, ..Options::default() });
        for (host, concurrency) in [
            ("a.example.com", 4),
            ("b.example.com", 2),
            ("x.deep.example.com", 3),
            ("example.com", 10),
            ("badexample.com", 10),
        ] {
            assert_groups(&table, &[(host, host, concurrency)]);
            assert_eq!(table.of(host).rate_limit, RateLimit::Auto, "{host}");
        }
    }

    #[test]
    fn an_entry_that_is_shared_is_one_group() {
        let table = table(
            LimitBy::Host,
            &[
                ("a.example, x.b.example, *.c.example", shared(4)),
                ("*.b.example", limits(5)),
                ("*.d.example", shared(6)),
                ("own.c.example", limits(7)),
                ("e.example, f.example", limits(8)),
            ],
        );
        let group = "a.example, x.b.example, *.c.example";
        assert_groups(
            &table,
            &[
                ("a.example", group, 4),
                ("x.b.example", group, 4),
                ("1.c.example", group, 4),
                ("2.1.c.example", group, 4),
                ("c.example", "c.example", 10),
                ("y.b.example", "y.b.example", 5),
                ("1.d.example", "*.d.example", 6),
                ("own.c.example", "own.c.example", 7),
                ("e.example", "e.example", 8),
                ("f.example", "f.example", 8),
            ],
        );
    }

    #[test]
    fn by_domain_the_names_of_a_domain_are_one_group() {
        let table = table(
            LimitBy::Domain,
            &[
                ("both.example", limits(2)),
                ("*.both.example", limits(3)),
                ("*.below.example", limits(4)),
                ("*.org", limits(5)),
                ("own.example.org", limits(6)),
                ("*.each.example.org", limits(7)),
                ("x.one.example, two.example", shared(8)),
                ("*.github.io", limits(9)),
            ],
        );
        assert_groups(
            &table,
            &[
                ("a.example.com", "example.com", 10),
                ("example.com.", "example.com", 10),
                ("example.com", "example.com", 10),
                // The domain's own name wins, and what covers it is closer than what lies above it.
                ("a.both.example", "both.example", 2),
                ("both.example", "both.example", 2),
                ("a.below.example", "below.example", 4),
                ("below.example", "below.example", 4),
                ("a.other.org", "other.org", 5),
                // A name below a domain that has limits of its own is a group of its own.
                ("own.example.org", "own.example.org", 6),
                ("1.each.example.org", "1.each.example.org", 7),
                ("each.example.org", "example.org", 5),
                ("x.one.example", "x.one.example, two.example", 8),
                ("y.one.example", "one.example", 10),
                ("a.someone.github.io", "someone.github.io", 9),
                ("github.io", "github.io", 10),
                ("localhost", "localhost", 10),
                ("localhost.", "localhost", 10),
                ("127.0.0.1", "127.0.0.1", 10),
                ("::1", "::1", 10),
            ],
        );
    }

    #[test]
    fn by_ip_a_name_counts_against_its_address_unless_it_has_limits_of_its_own() {
        let table = table(
            LimitBy::Ip,
            &[
                ("own.example", limits(2)),
                ("*.each.example", limits(3)),
                ("192.0.2.1", limits(4)),
                ("192.0.2.2, 192.0.2.3, a.example", shared(5)),
                ("::ffff:c000:204", limits(6)),
            ],
        );
        assert_eq!(table.group("b.example"), Group::Address);
        let group = "192.0.2.2, 192.0.2.3, a.example";
        assert_groups(
            &table,
            &[
                ("own.example", "own.example", 2),
                ("1.each.example", "1.each.example", 3),
                ("192.0.2.1", "192.0.2.1", 4),
                ("::ffff:c000:201", "192.0.2.1", 4),
                ("192.0.2.4", "192.0.2.4", 6),
                ("192.0.2.9", "192.0.2.9", 10),
                ("2001:db8::1", "2001:db8::1", 10),
                ("192.0.2.3", group, 5),
                ("a.example", group, 5),
            ],
        );
    }

    #[test]
    fn a_group_tells_the_place_of_its_limits() {
        let hosts = vec![
            ("*.example.com".into(), limits(2)),
            ("192.0.2.1, a.example".into(), shared(3)),
            ("b.example".into(), limits(4)),
        ];
        let of = |limit_by, host: &str| {
            Groups::new(&Options { limit_by, hosts: hosts.clone(), ..Options::default() }).of(host)
        };
        let group = || "192.0.2.1, a.example".to_owned();
        assert_eq!(of(LimitBy::Host, "x.example.com"), ("x.example.com".to_owned(), Some(0)));
        assert_eq!(of(LimitBy::Domain, "x.y.example.com"), ("example.com".to_owned(), Some(0)));
        assert_eq!(of(LimitBy::Domain, "x.b.example"), ("b.example".to_owned(), Some(2)));
        assert_eq!(of(LimitBy::Ip, "192.0.2.1"), (group(), Some(1)));
        assert_eq!(of(LimitBy::Host, "a.example"), (group(), Some(1)));
        assert_eq!(of(LimitBy::Ip, "c.example"), ("c.example".to_owned(), None));
    }
}
