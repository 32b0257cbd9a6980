//! Names to addresses: one answer for all ten thousand URLs of a host.
//!
//! A [`Resolver`] belongs to one shard. It answers from its cache without allocating, resolves each name once however
//! many requests wait for it, and bounds how many names it resolves at a time. How one name is resolved is in
//! `query`, the cache in `cache`.

mod cache;
#[cfg(test)]
pub(crate) mod fake_server;
mod query;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use self::cache::{Cache, Keep};
use self::query::Source;
use crate::error::{Code, Failure};

/// A host's addresses, in the order in which they are to be tried; or why there are none.
pub(crate) type Answer = Result<Rc<[IpAddr]>, Failure>;

/// How names are resolved.
#[derive(Clone, Debug)]
pub(crate) struct DnsConfig {
    /// The servers to query; empty means what the system is configured for, hosts file included.
    pub(crate) nameservers: Vec<SocketAddr>,
    /// The time for one name, with all its queries.
    pub(crate) timeout: Duration,
    /// The most names that are resolved at a time.
    pub(crate) concurrency: usize,
    /// The most names whose answers are cached.
    pub(crate) cache_size: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            timeout: Duration::from_secs(10),
            concurrency: 128,
            cache_size: 1 << 16,
        }
    }
}

/// The names of one shard. Not `Send`: it lives and is used inside a `LocalSet`.
pub(crate) struct Resolver {
    shared: Rc<Shared>,
}

struct Shared {
    config: DnsConfig,
    cache: RefCell<Cache>,
    flights: RefCell<HashMap<Rc<str>, Rc<Flight>>>,
    slots: Semaphore,
    source: OnceCell<Source>,
}

/// A lookup in progress, and what its waiters need.
#[derive(Default)]
struct Flight {
    answer: OnceCell<Answer>,
    landed: Notify,
}

impl Resolver {
    /// A resolver with an empty cache. The system's configuration is read at the first query.
    pub(crate) fn new(config: DnsConfig) -> Self {
        let shared = Shared {
            cache: RefCell::new(Cache::new(config.cache_size)),
            flights: RefCell::default(),
            slots: Semaphore::new(config.concurrency.max(1)),
            source: OnceCell::new(),
            config,
        };
        Self { shared: Rc::new(shared) }
    }

    /// The addresses of a host, at most 64, IPv6 and IPv4 in turn (RFC 8305 §4).
    ///
    /// O(1) and without allocation for a name that is cached. Must run inside a `LocalSet`.
    ///
    /// # Errors
    /// `dns.not_found`, `dns.no_address`, `dns.temporary`, `timeout.dns`, `local.fds`, `local.ports`. The first is
    /// cached for the run, the second for a minute, the others not at all.
    ///
    /// # Cancel safety
    /// Dropping the future affects no other waiter: the lookup continues and its answer is cached.
    pub(crate) async fn lookup(&self, host: &str) -> Answer {
        if let Some(answer) = self.shared.cache.borrow_mut().get(host, Instant::now()) {
            return answer;
        }
        if let Some(answer) = without_query(host) {
            self.shared.remember(host, &answer, Keep::Forever);
            return answer;
        }
        self.flight(host).wait().await
    }

    /// The lookup of this name that is in progress, or a new one.
    fn flight(&self, host: &str) -> Rc<Flight> {
        let mut flights = self.shared.flights.borrow_mut();
        if let Some(flight) = flights.get(host) {
            return Rc::clone(flight);
        }
        let name: Rc<str> = host.into();
        let flight = Rc::new(Flight::default());
        flights.insert(Rc::clone(&name), Rc::clone(&flight));
        let landing = Landing { shared: Rc::clone(&self.shared), name, flight: Rc::clone(&flight) };
        tokio::task::spawn_local(landing.run());
        flight
    }
}

impl Shared {
    async fn resolve(&self, host: &str) -> (Answer, Keep) {
        // Never closed: the semaphore lives as long as `self`.
        let _slot = self.slots.acquire().await;
        let source = self.source.get_or_init(|| Source::new(&self.config.nameservers));
        timeout(self.config.timeout, source.resolve(host)).await.unwrap_or_else(|_| {
            (Err(Failure::new(Code::TimeoutDns, "the name server did not answer in time")), Keep::Not)
        })
    }

    fn remember(&self, host: &str, answer: &Answer, keep: Keep) {
        self.cache.borrow_mut().insert(host, answer, keep, Instant::now());
    }
}

impl Flight {
    async fn wait(&self) -> Answer {
        loop {
            // Created before the check: an answer between the two is not missed.
            let landed = self.landed.notified();
            if let Some(answer) = self.answer.get() {
                return answer.clone();
            }
            landed.await;
        }
    }
}

/// Ends a lookup exactly once, whatever happens to its task.
struct Landing {
    shared: Rc<Shared>,
    name: Rc<str>,
    flight: Rc<Flight>,
}

impl Landing {
    async fn run(self) {
        let (answer, keep) = self.shared.resolve(&self.name).await;
        self.shared.remember(&self.name, &answer, keep);
        // Set once, here; dropping `self` wakes the waiters.
        let _ = self.flight.answer.set(answer);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.flights.borrow_mut().remove(&self.name);
        self.flight
            .answer
            .get_or_init(|| Err(Failure::new(Code::InternalPanic, "the DNS lookup was aborted")));
        self.flight.landed.notify_waiters();
    }
}

/// What is known without a query: literal addresses, and the names that must not be queried.
///
/// Source: RFC 6761 §6.3 and §6.4 (`localhost`, `invalid`), RFC 7686 §2 (`onion`).
fn without_query(host: &str) -> Option<Answer> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Ok(Rc::new([address])));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let top = name.rsplit('.').next().unwrap_or_default();
    if top.eq_ignore_ascii_case("localhost") {
        return Some(Ok(Rc::new([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])));
    }
    (top.eq_ignore_ascii_case("invalid") || top.eq_ignore_ascii_case("onion")).then(|| Err(not_found()))
}

fn not_found() -> Failure {
    Failure::new(Code::DnsNotFound, "the name does not exist")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::fake_server::{A, AAAA, FakeServer};
    use super::*;
    use tokio::task::{LocalSet, spawn_local};

    fn resolver_of(server: &FakeServer) -> Resolver {
        Resolver::new(DnsConfig {
            nameservers: vec![server.address()],
            timeout: Duration::from_millis(400),
            ..DnsConfig::default()
        })
    }

    fn addresses(answer: &Answer) -> Vec<String> {
        answer.as_ref().unwrap().iter().map(IpAddr::to_string).collect()
    }

    fn code(answer: &Answer) -> Code {
        answer.as_ref().unwrap_err().code
    }

    #[tokio::test]
    async fn both_kinds_of_address_are_found_and_remembered() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = resolver_of(&server);
                for _ in 0..3 {
                    let answer = resolver.lookup("both.example").await;
                    assert_eq!(addresses(&answer), ["2001:db8::1", "192.0.2.0", "192.0.2.1"]);
                }
                assert_eq!((server.count("both.example.", A), server.count("both.example.", AAAA)), (1, 1));
                assert_eq!(addresses(&resolver.lookup("only6.example").await), ["2001:db8::1"]);
                assert_eq!(resolver.lookup("many.example").await.unwrap().len(), 30);
            })
            .await;
    }

    #[tokio::test]
    async fn a_thousand_waiters_cost_one_pair_of_queries() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = Rc::new(resolver_of(&server));
                let waiters: Vec<_> = (0..1_000)
                    .map(|_| {
                        let resolver = Rc::clone(&resolver);
                        spawn_local(async move { resolver.lookup("both.example").await })
                    })
                    .collect();
                for waiter in waiters {
                    assert_eq!(waiter.await.unwrap().unwrap().len(), 3);
                }
                assert_eq!(server.queries(), 2);
            })
            .await;
    }

    #[tokio::test]
    async fn d1_a_name_that_does_not_exist_is_asked_for_once() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = resolver_of(&server);
                for _ in 0..3 {
                    assert_eq!(code(&resolver.lookup("missing.example").await), Code::DnsNotFound);
                }
                assert_eq!(server.count("missing.example.", A), 1);
            })
            .await;
    }

    #[tokio::test]
    async fn d2_a_failing_server_is_asked_again() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = resolver_of(&server);
                assert_eq!(code(&resolver.lookup("broken.example").await), Code::DnsTemporary);
                let before = server.count("broken.example.", A);
                assert_eq!(code(&resolver.lookup("broken.example").await), Code::DnsTemporary);
                assert!(server.count("broken.example.", A) > before, "SERVFAIL was remembered");
                // No A, and the query for AAAA failed: that is not "no address".
                assert_eq!(code(&resolver.lookup("half-broken.example").await), Code::DnsTemporary);
            })
            .await;
    }

    #[tokio::test]
    async fn d3_silence_ends_in_time_and_holds_up_nobody() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = Rc::new(resolver_of(&server));
                let (started, other) = (Instant::now(), Rc::clone(&resolver));
                let silent = spawn_local(async move { other.lookup("silent.example").await });
                assert!(resolver.lookup("both.example").await.is_ok());
                assert!(started.elapsed() < Duration::from_millis(300));
                assert_eq!(code(&silent.await.unwrap()), Code::TimeoutDns);
                // One kind of address is enough.
                let started = Instant::now();
                assert_eq!(addresses(&resolver.lookup("silent6.example").await), ["192.0.2.0", "192.0.2.1"]);
                assert!(started.elapsed() < Duration::from_millis(300));
            })
            .await;
    }

    #[tokio::test]
    async fn d4_a_name_without_addresses() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                assert_eq!(code(&resolver_of(&server).lookup("empty.example").await), Code::DnsNoAddress);
            })
            .await;
    }

    #[tokio::test]
    async fn the_first_waiter_may_leave() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = Rc::new(resolver_of(&server));
                let other = Rc::clone(&resolver);
                let first = spawn_local(async move { other.lookup("slow.example").await });
                tokio::task::yield_now().await;
                let other = Rc::clone(&resolver);
                let second = spawn_local(async move { other.lookup("slow.example").await });
                tokio::task::yield_now().await;
                first.abort();
                assert!(first.await.unwrap_err().is_cancelled());
                assert_eq!(second.await.unwrap().unwrap().len(), 2);
                assert_eq!(server.count("slow.example.", A), 1);
                assert!(resolver.shared.flights.borrow().is_empty());
            })
            .await;
    }

    #[tokio::test]
    async fn some_names_are_never_asked_for() {
        LocalSet::new()
            .run_until(async {
                let server = FakeServer::start();
                let resolver = resolver_of(&server);
                assert_eq!(addresses(&resolver.lookup("192.0.2.7").await), ["192.0.2.7"]);
                assert_eq!(addresses(&resolver.lookup("2001:db8::7").await), ["2001:db8::7"]);
                for name in ["localhost", "localhost.", "a.localhost"] {
                    assert_eq!(addresses(&resolver.lookup(name).await), ["::1", "127.0.0.1"], "{name}");
                }
                for name in ["invalid", "a.invalid", "b.invalid.", "x.onion"] {
                    assert_eq!(code(&resolver.lookup(name).await), Code::DnsNotFound, "{name}");
                }
                let long_label = format!("{}.example", "a".repeat(64));
                assert_eq!(code(&resolver.lookup(&long_label).await), Code::DnsNotFound);
                assert_eq!(server.queries(), 0);
            })
            .await;
    }
}
