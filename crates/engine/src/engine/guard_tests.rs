//! `block_private`: nothing reaches an address that is not public, and no packet is sent there. Tests have no public
//! address, so 127.0.0.2 stands for one: it is allowed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Engine;
use super::stage::{Row, fetch};
use crate::connect::DnsConfig;
use crate::connect::fake_server::FakeServer;
use crate::error::Code;
use crate::options::{LimitBy, Options};

/// A port that counts who connects at 127.0.0.1 and `::1`, and answers at 127.0.0.2.
struct Stage {
    /// Nobody accepts here: what connects waits in their queues.
    closed: Vec<TcpListener>,
    public: Public,
    names: FakeServer,
    port: u16,
}

/// A server that answers each request with a redirect to the URL in its query, or with `ok`, and closes.
struct Public {
    requests: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    fn start() -> Self {
        let (first, public) = loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(public) = TcpListener::bind(("127.0.0.2", port)) {
                break (first, public);
            }
        };
        let port = first.local_addr().unwrap().port();
        let closed: Vec<_> = [first].into_iter().chain(TcpListener::bind(("::1", port))).collect();
        for listener in &closed {
            listener.set_nonblocking(true).unwrap();
        }
        Self { closed, public: Public::serve(public), names: FakeServer::start(), port }
    }

    fn engine(&self, options: Options) -> Engine {
        let nameservers = vec![self.names.address()];
        // An answer is forgotten after the next two: it may change as often as it likes.
        let dns = DnsConfig { nameservers, cache_size: 0, ..DnsConfig::default() };
        Engine::start_with(options, dns).unwrap()
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.port)
    }

    /// Whether anything has connected to an address that is not public.
    fn was_reached(&self) -> bool {
        self.closed.iter().any(|listener| listener.accept().is_ok())
    }
}

impl Public {
    fn serve(listener: TcpListener) -> Self {
        let (requests, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let address = listener.local_addr().unwrap();
        let (counted, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                counted.fetch_add(1, Ordering::SeqCst);
                let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
                let answer = match path.split_once("?to=") {
                    Some((_, url)) => format!("302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n"),
                    None => "200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                };
                let _ = write!(stream, "HTTP/1.1 {answer}");
            }
        });
        Self { requests, stop, address, thread: Some(thread) }
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(std::net::TcpStream::connect(self.address));
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn guarded() -> Options {
    let allow_private = vec!["127.0.0.2/32".parse().unwrap()];
    let mut options = Options { block_private: true, allow_private, threads: 1, ..Options::default() };
    options.retries.backoff = Duration::from_millis(5);
    options
}

/// Both ways of resolving names: for each connection, and before a request is queued.
fn both_ways() -> [Options; 2] {
    [guarded(), Options { limit_by: LimitBy::Ip, ..guarded() }]
}

fn assert_blocked(rows: &[Row]) {
    for row in rows {
        assert_eq!((row.code, row.attempts, row.status), (Some(Code::BlockedAddress), 1, None), "{row:?}");
        assert_eq!(row.remote, None);
    }
}

#[test]
fn test_d6_names_with_private_addresses_get_no_packet() {
    for options in both_ways() {
        let stage = Stage::start();
        let engine = stage.engine(options);
        let hosts = ["at.127-0-0-1", "at.v6---1", "at.127-0-0-1.v6---1", "at.v6---ffff-7f00-1", "localhost"];
        let urls: Vec<_> = hosts.iter().map(|host| stage.url(host)).collect();
        assert_blocked(&fetch(&engine, &urls));
        assert!(!stage.was_reached());
        // The same listener is reached, and the test is none, where nothing is blocked.
        let open = stage.engine(Options { block_private: false, ..guarded() });
        drop(super::stage::start(&open, &urls[..1]));
        let job = super::stage::start(&open, &urls[..1]);
        let began = std::time::Instant::now();
        while !stage.was_reached() {
            assert!(began.elapsed() < super::stage::LIMIT, "{:?}", job.progress());
        }
    }
}

#[test]
fn test_d7_a_name_that_changes_its_address_is_checked_at_each_connection() {
    let stage = Stage::start();
    let engine = stage.engine(guarded());
    let url = stage.url("turns.127-0-0-2.127-0-0-1");
    for turn in 0..6 {
        fetch(&engine, &[1, 2].map(|n| stage.url(&format!("missing.n{n}.turn{turn}"))));
        let row = fetch(&engine, std::slice::from_ref(&url)).remove(0);
        if turn % 2 == 0 {
            assert_eq!((row.status, row.remote.as_deref()), (Some(200), Some("127.0.0.2")));
        } else {
            assert_blocked(&[row]);
        }
    }
    assert!(!stage.was_reached());
}

#[test]
fn test_d8_of_mixed_addresses_only_public_ones_are_used() {
    for options in both_ways() {
        let stage = Stage::start();
        let hosts =
            ["at.127-0-0-1.127-0-0-2", "at.127-0-0-2.v6---1.127-0-0-1.10-0-0-1", "at.10-0-0-1.127-0-0-1"];
        let rows = fetch(&stage.engine(options), &hosts.map(|host| stage.url(host)));
        for row in &rows[..2] {
            assert_eq!((row.status, row.remote.as_deref()), (Some(200), Some("127.0.0.2")), "{row:?}");
        }
        assert_blocked(&rows[2..]);
        assert!(!stage.was_reached());
    }
}

#[test]
fn test_r4_redirects_to_private_addresses_are_blocked_at_every_hop() {
    for options in both_ways() {
        let stage = Stage::start();
        let through = |url: &str| format!("{}?to={url}", stage.url("127.0.0.2"));
        let urls = [
            through(&stage.url("127.0.0.1")),
            through(&stage.url("0x7f.1")),
            through(&stage.url("at.127-0-0-1")),
            through(&through(&stage.url("[::1]"))),
        ];
        let rows = fetch(&stage.engine(options), &urls);
        assert_blocked(&rows);
        assert_eq!(stage.public.requests.load(Ordering::SeqCst), 5);
        assert!(!stage.was_reached());
    }
}

#[test]
fn test_i14_every_spelling_of_a_private_address_is_blocked() {
    for options in both_ways() {
        let stage = Stage::start();
        let engine = stage.engine(options);
        let hosts = [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "2130706433",
            "017700000001",
            "%31%32%37.0.0.1",
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "127\u{3002}0.0.1",
            "0",
            "0.0.0.0",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[2606:4700::5efe:127.0.0.1]",
            "[fe80::1]",
            "169.254.169.254",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.3",
        ];
        let rows = fetch(&engine, &hosts.map(|host| stage.url(host)));
        assert_blocked(&rows);
        assert!(!stage.was_reached());
        assert_eq!(fetch(&engine, &[stage.url("127.2")])[0].status, Some(200), "that one is allowed");
    }
}

#[test]
fn test_robots_txt_is_not_fetched_from_a_private_address() {
    for options in both_ways() {
        let stage = Stage::start();
        let engine = stage.engine(Options { robots: true, ..options });
        // The row says why, and not that robots.txt could not be fetched.
        assert_blocked(&fetch(&engine, &[stage.url("127.0.0.1"), stage.url("at.127-0-0-1")]));
        assert!(!stage.was_reached());
        assert_eq!(fetch(&engine, &[stage.url("at.127-0-0-2")])[0].status, Some(200));
    }
}
