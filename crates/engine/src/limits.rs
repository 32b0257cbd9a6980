//! The limits of each host.

use std::collections::HashMap;

use crate::options::{Concurrency, Limits, Options, RateLimit};

/// A limit that one thread can serve is not divided: the budget for retries and the probes of a host that is down are
/// per thread.
const DIVIDED_FROM: u32 = 32;

/// The limits of one host, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostLimits {
    pub(crate) concurrency: Concurrency,
    pub(crate) rate_limit: RateLimit,
}

/// The limits of every host: the general ones, and where some hosts differ.
#[derive(Debug)]
pub(crate) struct LimitTable {
    of_all: HostLimits,
    exact: HashMap<Box<str>, Limits>,
    /// By the part behind `*`, the longest first.
    below: Vec<(Box<str>, Limits)>,
    /// Each host must be handled by one thread, whatever its limits are.
    undivided: bool,
}

impl LimitTable {
    pub(crate) fn new(options: &Options) -> Self {
        let of_all =
            HostLimits { concurrency: options.concurrency_per_host, rate_limit: options.rate_limit_per_host };
        let (mut exact, mut below) = (HashMap::new(), Vec::new());
        for (name, limits) in &options.hosts {
            match name.strip_prefix('*') {
                Some(suffix) => below.push((suffix.into(), *limits)),
                None => {
                    exact.insert(name.clone(), *limits);
                }
            }
        }
        below.sort_by_key(|(suffix, _): &(Box<str>, Limits)| std::cmp::Reverse(suffix.len()));
        // robots.txt is fetched once, and its crawl-delay is a rate.
        Self { of_all, exact, below, undivided: options.robots }
    }

    /// How many requests to `host` may be in flight, if that is its only limit: it can be divided.
    pub(crate) fn divisible(&self, host: &str) -> Option<u32> {
        match self.of(host) {
            HostLimits { concurrency: Concurrency::Fixed(limit), rate_limit: RateLimit::Unlimited } => {
                (!self.undivided && limit >= DIVIDED_FROM).then_some(limit)
            }
            _ => None,
        }
    }

    /// The limits of `host`. O(1), except for patterns with `*`.
    pub(crate) fn of(&self, host: &str) -> HostLimits {
        let exact = self.exact.get(host);
        let own = exact.or_else(|| {
            let below =
                self.below.iter().find(|(suffix, _)| host.len() > suffix.len() && host.ends_with(&**suffix));
            below.map(|(_, limits)| limits)
        });
        own.map_or(self.of_all, |own| HostLimits {
            concurrency: own.concurrency.unwrap_or(self.of_all.concurrency),
            rate_limit: own.rate_limit.unwrap_or(self.of_all.rate_limit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(concurrency: u32) -> Limits {
        Limits { concurrency: Some(Concurrency::Fixed(concurrency)), rate_limit: None }
    }

    #[test]
    fn only_a_fixed_number_in_flight_can_be_divided() {
        let concurrency_per_host = Concurrency::Fixed(64);
        let divisible = |options: Options| LimitTable::new(&options).divisible("a");
        let wide = Options { concurrency_per_host, ..Options::default() };
        assert_eq!(divisible(wide.clone()), Some(64));
        assert_eq!(divisible(Options::default()), None, "one thread does ten well");
        assert_eq!(divisible(Options { robots: true, ..wide.clone() }), None);
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
            let of_host = table.of(host);
            assert_eq!(of_host.concurrency, Concurrency::Fixed(concurrency), "{host}");
            assert_eq!(of_host.rate_limit, RateLimit::Auto, "{host}");
        }
    }
}
