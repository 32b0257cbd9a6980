//! Limits that several hosts share, as the server sees them: by domain, by address, and by name.
//!
//! Every name below `localhost` is the machine itself, and `site.localhost` is a registrable domain.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Row, Rows, drain, engine, fetch, many_hosts, quick_retries, start};
use hurtle_engine::Concurrency::Fixed;
use hurtle_engine::{Code, LimitBy, Limits, Options, Rate, RateLimit};
use hurtle_testserver::{Config, Profile, Robots, Server};

const NAMES: usize = 50;

/// The URL of the `n`-th of 50 names of `domain`.
fn url(server: &Server, domain: &str, n: usize, path: &str) -> String {
    format!("http://n{}.{domain}:{}{path}", n % NAMES, server.addr().port())
}

fn urls(server: &Server, domain: &str, count: usize, path: &str) -> Vec<String> {
    (0..count).map(|n| url(server, domain, n, path)).collect()
}

fn limits(concurrency: u32, shared: bool) -> Limits {
    Limits { concurrency: Some(Fixed(concurrency)), shared, ..Limits::default() }
}

fn per_second(count: u32) -> RateLimit {
    RateLimit::Fixed(Rate { count, per: Duration::from_secs(1), burst: 1 })
}

/// The ways in which fifty names of `site.localhost` share the limits of one host.
fn ways() -> [Options; 3] {
    let names: Vec<String> = (0..NAMES).map(|n| format!("n{n}.site.localhost")).collect();
    let of_group = Limits { shared: true, ..Limits::default() };
    [
        Options { limit_by: LimitBy::Domain, ..Options::default() },
        Options { limit_by: LimitBy::Ip, ..Options::default() },
        Options { hosts: vec![(names.join(", ").into(), of_group)], ..Options::default() },
    ]
}

fn assert_all_ok(rows: &Rows, count: usize) {
    rows.assert_complete(count as u64);
    assert!(rows.0.iter().all(|row| row.ok), "{:?}", rows.0.iter().find(|row| !row.ok));
}

#[test]
fn test_fifty_names_share_the_requests_in_flight_of_one_host() {
    for threads in [1, 2, 3] {
        for options in ways() {
            let server = many_hosts(Duration::from_millis(2));
            let options = Options { threads, concurrency_per_host: Fixed(4), ..options };
            let rows = fetch(&engine(options.clone()), &urls(&server, "site.localhost", 300, "/bytes/1"));
            assert_all_ok(&rows, 300);
            let stats = server.stats();
            assert_eq!((stats.max_in_flight, stats.hosts), (4, 50), "{threads} threads: {options:?}");
        }
    }
}

#[test]
fn test_without_a_group_each_name_has_its_own() {
    let server = many_hosts(Duration::from_millis(30));
    let options = Options { concurrency_per_host: Fixed(1), ..Options::default() };
    assert_all_ok(&fetch(&engine(options), &urls(&server, "site.localhost", 50, "/bytes/1")), 50);
    assert!(server.stats().max_in_flight > 4, "{:?}", server.stats());
}

#[test]
fn test_a_limit_that_several_threads_share_is_exact_for_a_domain() {
    let server = many_hosts(Duration::from_millis(5));
    for threads in [2, 3] {
        let options = Options {
            threads,
            limit_by: LimitBy::Domain,
            concurrency_per_host: Fixed(40),
            ..Options::default()
        };
        assert_all_ok(&fetch(&engine(options), &urls(&server, "site.localhost", 1000, "/bytes/1")), 1000);
        assert_eq!(server.stats().max_in_flight, 40, "{threads} threads");
    }
}

#[test]
fn test_other_domains_and_other_groups_have_their_own() {
    let servers = [(); 3].map(|()| many_hosts(Duration::from_millis(4)));
    let [one, two, own] = &servers;
    let options = Options {
        limit_by: LimitBy::Domain,
        concurrency_per_host: Fixed(3),
        hosts: vec![
            ("own.one.localhost".into(), limits(2, false)),
            ("*.three.localhost, four.localhost".into(), limits(5, true)),
        ],
        ..Options::default()
    };
    let mut all = urls(one, "one.localhost", 100, "/bytes/1");
    all.extend(urls(two, "two.localhost", 100, "/bytes/1"));
    all.extend((0..100).map(|_| format!("http://own.one.localhost:{}/bytes/1", own.addr().port())));
    let engine = engine(options);
    assert_all_ok(&fetch(&engine, &all), 300);
    assert_eq!(servers.each_ref().map(|server| server.stats().max_in_flight), [3, 3, 2]);
    let mut group = urls(own, "three.localhost", 100, "/bytes/1");
    group.extend((0..50).map(|_| format!("http://four.localhost:{}/bytes/1", own.addr().port())));
    assert_all_ok(&fetch(&engine, &group), 150);
    assert_eq!(own.stats().max_in_flight, 5);
}

#[test]
fn test_fifty_names_share_a_rate() {
    for options in ways() {
        let server = many_hosts(Duration::ZERO);
        let options = Options { threads: 2, rate_limit_per_host: per_second(100), ..options };
        assert_all_ok(&fetch(&engine(options), &urls(&server, "site.localhost", 50, "/bytes/1")), 50);
        let hosts = server.host_stats();
        let times = || hosts.iter().map(|host| host.first_request_us);
        // 490 ms as sent. A busy server may see the first of them late; without a group they take no time at all.
        let span = times().max().unwrap() - times().min().unwrap();
        assert!(span >= 300_000, "{span} us: {hosts:?}");
    }
}

#[test]
fn test_a_refusal_of_one_name_parks_all_names_that_share_its_limits() {
    for options in ways() {
        let server = many_hosts(Duration::ZERO);
        let refuses = url(&server, "site.localhost", 0, "/retry-after?seconds=1&status=429&times=1&key=k");
        let all: Vec<String> = [refuses]
            .into_iter()
            .chain((1..50).map(|n| url(&server, "site.localhost", n, "/bytes/1")))
            .collect();
        // One thread: more would look names up side by side, and the first of them might not be the first to be sent.
        let options = Options { threads: 1, concurrency_per_host: Fixed(1), ..options };
        let engine = engine(options);
        let job = start(&engine, &all);
        let rows = drain(&job);
        assert_all_ok(&rows, 50);
        let hosts = server.host_stats();
        let refusing = hosts.iter().find(|host| host.host.starts_with("n0.")).unwrap();
        assert_eq!(refusing.requests, 2);
        let first = refusing.first_request_us;
        let early = hosts.iter().filter(|host| host.first_request_us < first + 990_000);
        assert_eq!(early.count(), 1, "{hosts:?}");
        let named = job.progress().throttled_by.unwrap().host;
        let groups = ["site.localhost", "127.0.0.1"];
        assert!(groups.contains(&&*named) || named.starts_with("n0.site.localhost, n1."), "{named}");
    }
}

#[test]
fn test_without_a_group_a_refusal_parks_its_name_alone() {
    let server = many_hosts(Duration::ZERO);
    let refuses = url(&server, "site.localhost", 0, "/retry-after?seconds=1&status=429&times=1&key=k");
    let all: Vec<String> =
        [refuses].into_iter().chain((1..50).map(|n| url(&server, "site.localhost", n, "/bytes/1"))).collect();
    let options = Options { concurrency_per_host: Fixed(1), ..Options::default() };
    assert_all_ok(&fetch(&engine(options), &all), 50);
    let last = server.host_stats().iter().map(|host| host.first_request_us).max().unwrap();
    let again = server.host_stats().iter().map(|host| host.last_request_us).max().unwrap();
    assert!(again - last > 500_000, "the others did not wait");
}

#[test]
fn test_a_name_that_is_down_holds_up_no_other_of_its_group() {
    for mut options in ways() {
        options.retries = quick_retries(1).retries;
        options.retries.rounds = 1;
        let server = many_hosts(Duration::ZERO);
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut all = Vec::new();
        for n in 0..150 {
            all.push(url(&server, "site.localhost", n, "/bytes/1"));
            all.push(format!("http://n1.site.localhost:{closed}/{n}"));
        }
        let by = options.limit_by;
        let rows = fetch(&engine(Options { threads: 2, ..options }), &all);
        rows.assert_complete(300);
        let (down, well): (Vec<&Row>, Vec<&Row>) = rows.0.iter().partition(|row| row.index % 2 == 1);
        assert!(well.iter().all(|row| row.ok && row.attempts == 1));
        let tried = down.iter().filter(|row| row.code == Some(Code::ConnectRefused)).count();
        let spared = down.iter().filter(|row| row.code == Some(Code::HostCircuitOpen)).count();
        assert_eq!(tried + spared, 150, "{down:?}");
        assert!(spared > 75, "{by:?}: {tried} of 150 were tried");
    }
}

#[test]
fn test_robots_txt_is_asked_of_each_name_of_a_group() {
    let robots = Robots::Text("User-agent: *\nDisallow: /private/\n".to_owned());
    let profile = Profile { latency: Duration::from_millis(2), ..Profile::default() };
    let server = Server::start(Config { robots: Some(robots), profile, ..Config::default() }).unwrap();
    for options in ways() {
        let before = server.stats().requests;
        let mut all = urls(&server, "site.localhost", 100, "/bytes/1");
        all.extend(urls(&server, "site.localhost", 50, "/private/x"));
        let options = Options { robots: true, threads: 2, concurrency_per_host: Fixed(4), ..options };
        let rows = fetch(&engine(options), &all);
        rows.assert_complete(150);
        assert!(rows.0.iter().all(|row| row.ok == (row.index < 100)));
        assert!(rows.0.iter().all(|row| row.ok || row.code == Some(Code::HostRobots)));
        assert_eq!(server.stats().requests - before, 100 + 50, "one robots.txt for each name");
        assert_eq!(server.stats().max_in_flight, 4);
    }
}

#[test]
fn test_redirects_within_and_between_groups_arrive() {
    let server = many_hosts(Duration::ZERO);
    let port = server.addr().port();
    for options in ways() {
        for threads in [1, 2, 3] {
            let all: Vec<String> = (0..60)
                .map(|n| {
                    let next =
                        ["n3.site.localhost", "127.0.0.9", "n4.site.localhost", "x.other.localhost"][n % 4];
                    let to = format!("/redirect-to?url=http://{next}:{port}/bytes/7");
                    url(&server, "site.localhost", n, &to)
                })
                .collect();
            let rows = fetch(&engine(Options { threads, ..options.clone() }), &all);
            assert_all_ok(&rows, 60);
            assert!(rows.0.iter().all(|row| row.hops.len() == 1 && row.body.len() == 7));
        }
    }
}
