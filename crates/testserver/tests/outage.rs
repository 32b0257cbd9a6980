//! Servers that are down, and come up again on the same ports.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::{Client, PATIENCE, get, server, wait_for};
use hurtle_testserver::{Config, Hosts, Outage, Server, StartError};

fn connect_error(addr: SocketAddr) -> ErrorKind {
    TcpStream::connect_timeout(&addr, PATIENCE).unwrap_err().kind()
}

#[test]
fn test_refuse_closes_what_is_open_and_lets_nobody_in() {
    for config in [
        Config::default(),
        Config { threads: 3, ..Config::default() },
        Config { hosts: Hosts::AllLoopback, threads: 2, ..Config::default() },
    ] {
        let server = Server::start(config).unwrap();
        let (plain, secure) = (server.addr(), server.tls_addr().unwrap());
        let mut idle = Client::connect(plain);
        assert_eq!(idle.get("/bytes/1").status, 200);
        let mut waiting = Client::connect(plain);
        waiting.send_get("/hang");
        wait_for(&server, |stats| stats.in_flight == 1);
        for _ in 0..3 {
            server.set_outage(Some(Outage::Refuse)).unwrap();
            let stats = server.stats();
            assert_eq!((stats.open_connections, stats.in_flight), (0, 0));
            assert_eq!([connect_error(plain), connect_error(secure)], [ErrorKind::ConnectionRefused; 2]);
            server.set_outage(None).unwrap();
            assert_eq!(get(&server, "/bytes/1").status, 200);
            TcpStream::connect_timeout(&secure, PATIENCE).unwrap();
        }
        assert!(idle.rest().0.is_empty());
        assert!(waiting.rest().0.is_empty());
        assert_eq!(server.stats().outage_requests, 0);
    }
}

#[test]
fn test_the_ports_are_held_while_connections_are_refused() {
    let mut server = Server::start(Config::default()).unwrap();
    let addrs = [server.addr(), server.tls_addr().unwrap()];
    server.set_outage(Some(Outage::Refuse)).unwrap();
    server.set_outage(Some(Outage::Refuse)).unwrap();
    let second = Server::start(Config { port: 0, ..Config::default() }).unwrap();
    assert!(!addrs.contains(&second.addr()));
    #[cfg(target_os = "linux")]
    for addr in addrs {
        // Without SO_REUSEADDR, as an ordinary client binds its end.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert_eq!(socket.bind(&addr.into()).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    server.stop();
    for addr in addrs {
        TcpListener::bind(addr).unwrap();
    }
    server.set_outage(None).unwrap();
    assert_eq!(connect_error(server.addr()), ErrorKind::ConnectionRefused);
}

#[test]
fn test_requests_get_the_outages_answer_when_they_arrive_in_it() {
    let server = server();
    let mut kept = Client::connect(server.addr());
    assert_eq!(kept.get("/bytes/1").status, 200);
    server.set_outage(Some(Outage::Status(502))).unwrap();
    // Known paths, unknown ones and those that would wait: all the same, and at once.
    for target in ["/bytes/1", "/nowhere", "/hang", "/limited?rate=1"] {
        assert_eq!(kept.get(target).status, 502, "{target}");
    }
    assert!(server.limited_stats().is_empty());
    server.set_outage(Some(Outage::Reset)).unwrap();
    kept.send_get("/bytes/1");
    assert_eq!(kept.rest().1.unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.set_outage(Some(Outage::Stall)).unwrap();
    let mut stalled = Client::connect(server.addr());
    stalled.send_get("/bytes/1");
    wait_for(&server, |stats| stats.outage_requests == 6 && stats.in_flight == 1);
    server.set_outage(None).unwrap();
    stalled.set_patience(Duration::from_millis(50));
    assert!(stalled.head().is_err());
    assert_eq!(get(&server, "/bytes/1").status, 200);
    let [host] = &server.host_stats()[..] else { unreachable!("one host was asked") };
    assert_eq!((host.outage_requests, host.requests), (6, 8));
}

#[test]
fn test_an_outage_can_change_without_an_end_between() {
    let server = server();
    server.set_outage(Some(Outage::Status(503))).unwrap();
    server.set_outage(Some(Outage::Refuse)).unwrap();
    assert_eq!(connect_error(server.addr()), ErrorKind::ConnectionRefused);
    server.set_outage(Some(Outage::Status(500))).unwrap();
    assert_eq!(get(&server, "/bytes/1").status, 500);
    server.set_outage(None).unwrap();
    assert_eq!(get(&server, "/bytes/1").status, 200);
}

#[test]
fn test_an_answer_begun_before_the_outage_is_finished() {
    let server = server();
    let mut client = Client::connect(server.addr());
    client.send_get("/delay/50?bytes=3");
    wait_for(&server, |stats| stats.in_flight == 1);
    server.set_outage(Some(Outage::Status(503))).unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
    assert_eq!(server.stats().outage_requests, 0);
}

#[test]
fn test_a_status_out_of_range_is_refused() {
    let server = server();
    for status in [0, 1, 2, 100, 1000] {
        let error = server.set_outage(Some(Outage::Status(status))).unwrap_err();
        assert!(matches!(error, StartError::Invalid { option: "outage", .. }), "{error}");
    }
    assert_eq!(get(&server, "/bytes/1").status, 200);
}
