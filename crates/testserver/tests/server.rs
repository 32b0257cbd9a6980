//! Starting, stopping, counting, profiles, hosts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Client, content, get, wait_for};
use hurtle_testserver::{Config, Hosts, Profile, Robots, Server, StartError};

#[test]
fn test_stop_frees_the_ports_and_ends_connections() {
    let mut server = Server::start(Config { threads: 2, ..Config::default() }).unwrap();
    let (plain, secure) = (server.addr(), server.tls_addr().unwrap());
    let mut client = Client::connect(plain);
    assert_eq!(client.get("/bytes/1").status, 200);
    server.stop();
    server.stop();
    assert!(client.reply().is_err());
    for addr in [plain, secure] {
        assert!(TcpStream::connect_timeout(&addr, common::PATIENCE).is_err());
        TcpListener::bind(addr).unwrap();
    }
    let again = Server::start(Config { port: plain.port(), tls_port: None, ..Config::default() }).unwrap();
    assert_eq!(get(&again, "/bytes/1").status, 200);
}

#[test]
fn test_start_says_which_address_when_the_port_is_taken() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = Server::start(Config { port: addr.port(), ..Config::default() }).unwrap_err();
    assert!(matches!(error, StartError::Bind { addr: told, .. } if told == addr), "{error}");
}

#[test]
fn test_start_refuses_values_out_of_range() {
    let profile = |profile| Config { profile, ..Config::default() };
    for (config, option) in [
        (Config { host: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..Config::default() }, "host"),
        (Config { host: "192.0.2.1".parse().unwrap(), ..Config::default() }, "host"),
        (
            Config { host: IpAddr::V6(Ipv6Addr::LOCALHOST), hosts: Hosts::AllLoopback, ..Config::default() },
            "host",
        ),
        (Config { threads: 0, ..Config::default() }, "threads"),
        (profile(Profile { error_rate: 1.5, ..Profile::default() }), "error_rate"),
        (profile(Profile { reset_rate: f64::NAN, ..Profile::default() }), "reset_rate"),
        (Config { robots: Some(Robots::Status(100)), ..Config::default() }, "robots"),
        (
            Config {
                robots_by_host: HashMap::from([("a".to_owned(), Robots::Status(1000))]),
                ..Config::default()
            },
            "robots",
        ),
        (profile(Profile { error_status: 100, ..Profile::default() }), "error_status"),
    ] {
        let error = Server::start(config).unwrap_err();
        assert!(matches!(error, StartError::Invalid { option: told, .. } if told == option), "{error}");
    }
}

#[test]
fn test_every_thread_serves_when_there_are_several() {
    let server = Server::start(Config { threads: 3, tls_port: None, ..Config::default() }).unwrap();
    let mut clients: Vec<Client> = (0..30).map(|_| Client::connect(server.addr())).collect();
    for client in &mut clients {
        client.send_get("/delay/200?bytes=10");
    }
    for client in &mut clients {
        assert_eq!(client.reply().unwrap().body, content(10, 0));
    }
    let stats = server.stats();
    assert_eq!((stats.requests, stats.connections, stats.max_open_connections), (30, 30, 30));
    assert_eq!((stats.in_flight, stats.max_in_flight_per_host), (0, 30));
}

#[test]
fn test_in_flight_is_counted_by_host() {
    let server = Server::start(Config { threads: 3, tls_port: None, ..Config::default() }).unwrap();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(server.addr())).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let host = if i < 3 { "a.invalid:1" } else { "B.invalid" };
        client.send(&format!("GET /delay/200 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    for client in &mut clients {
        assert_eq!(client.reply().unwrap().status, 200);
    }
    // One after the other adds nothing to the peaks: a request has left before its last byte arrives.
    for _ in 0..200 {
        assert_eq!(clients[0].get("/bytes/100").status, 200);
        assert_eq!(clients[1].get("/stream?chunks=2").status, 200);
    }
    let stats = server.stats();
    assert_eq!((stats.max_in_flight, stats.max_in_flight_per_host, stats.in_flight), (5, 3, 0));
    let hosts = server.host_stats();
    let peaks: Vec<_> = hosts.iter().map(|host| (host.host.as_str(), host.max_in_flight)).collect();
    assert_eq!(peaks, [("a.invalid", 3), ("b.invalid", 2), ("test.invalid", 1)]);
}

#[test]
fn test_first_and_last_request_are_timed_by_host() {
    let before = Instant::now();
    let server = Server::start(Config { tls_port: None, ..Config::default() }).unwrap();
    let mut client = Client::connect(server.addr());
    for target in ["/bytes/1", "/delay/60", "/bytes/1"] {
        assert_eq!(client.get(target).status, 200);
    }
    client.send("GET /bytes/1 HTTP/1.1\r\nHost: once.invalid\r\n\r\n");
    assert_eq!(client.reply().unwrap().status, 200);
    let elapsed_us = before.elapsed().as_micros() as u64;
    let hosts = server.host_stats();
    let [once, many] = &hosts[..] else { unreachable!("two hosts were asked") };
    assert_eq!((once.host.as_str(), many.host.as_str()), ("once.invalid", "test.invalid"));
    assert!(many.last_request_us - many.first_request_us >= 60_000);
    assert!(once.last_request_us - once.first_request_us < 60_000);
    assert!(many.last_request_us <= once.first_request_us && once.last_request_us <= elapsed_us);
}

#[test]
fn test_robots_txt_is_the_hosts_own_when_it_has_one() {
    let by_host = [("A.invalid:80", "Disallow: /a".into()), ("gone.invalid", Robots::Status(410))];
    let server = Server::start(Config {
        robots: Some("User-agent: *\nDisallow: /x\n".into()),
        robots_by_host: by_host.map(|(host, robots)| (host.to_owned(), robots)).into(),
        tls_port: None,
        ..Config::default()
    })
    .unwrap();
    let mut client = Client::connect(server.addr());
    for (host, status, text) in [
        ("a.invalid:8080", 200, "Disallow: /a"),
        ("gone.invalid", 410, "no rules here\n"),
        ("other.invalid", 200, "User-agent: *\nDisallow: /x\n"),
    ] {
        client.send(&format!("GET /robots.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.text()), (status, text), "{host}");
    }
    assert!(server.host_stats().iter().all(|host| host.requests == 1));
    assert_eq!(get(&common::server(), "/robots.txt").status, 404);
}

#[test]
fn test_profile_delays_every_answer() {
    let profile = Profile {
        latency: Duration::from_millis(30),
        jitter: Duration::from_millis(10),
        ..Profile::default()
    };
    let server = Server::start(Config { profile, tls_port: None, ..Config::default() }).unwrap();
    let mut client = Client::connect(server.addr());
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(client.get("/bytes/10").status, 200);
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}

#[test]
fn test_profile_errs_and_resets_at_its_rates() {
    let profile = Profile { error_rate: 0.3, error_status: 500, reset_rate: 0.2, ..Profile::default() };
    let server = Server::start(Config { profile, tls_port: None, ..Config::default() }).unwrap();
    let (mut errors, mut resets) = (0, 0);
    for _ in 0..200 {
        let mut client = Client::connect(server.addr());
        client.send_get("/bytes/10");
        match client.reply() {
            Ok(reply) if reply.status == 500 => errors += 1,
            Ok(reply) => assert_eq!(reply.status, 200),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                resets += 1;
            }
        }
    }
    assert!((40..=80).contains(&errors), "{errors}");
    assert!((22..=58).contains(&resets), "{resets}");
}

#[test]
fn test_all_loopback_addresses_are_answered_when_asked_for() {
    let config = Config { hosts: Hosts::AllLoopback, tls_port: None, ..Config::default() };
    let server = Server::start(config).unwrap();
    for last in [1, 2, 77] {
        let addr = SocketAddr::from(([127, 0, 0, last], server.addr().port()));
        assert_eq!(Client::connect(addr).get("/bytes/1").status, 200);
    }
    assert_eq!(server.stats().off_loopback, 0);
}

#[test]
fn test_ipv6_loopback_is_served_when_asked_for() {
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if TcpListener::bind((host, 0)).is_err() {
        return; // This machine has no IPv6.
    }
    let server = Server::start(Config { host, ..Config::default() }).unwrap();
    assert!(server.url("/").starts_with("http://[::1]:"));
    assert_eq!(get(&server, "/bytes/1").status, 200);
}

#[test]
fn test_urls_name_the_ports() {
    let server = Server::start(Config::default()).unwrap();
    assert_eq!(server.url("/x"), format!("http://127.0.0.1:{}/x", server.addr().port()));
    let tls_port = server.tls_addr().unwrap().port();
    assert_eq!(server.tls_url("/x").unwrap(), format!("https://localhost:{tls_port}/x"));
    assert_eq!(common::server().tls_url("/x"), None);
    wait_for(&server, |stats| stats.connections == 0);
}
