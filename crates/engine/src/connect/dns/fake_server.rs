//! A name server for tests, on loopback sockets and its own threads. It answers by the first label of a name, and
//! counts queries. What does not fit into a datagram is asked for again by TCP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// The largest answer that is sent in a datagram.
const DATAGRAM_BYTES: usize = 1_232;

/// Ends the thread.
const STOP: &[u8] = b"stop";

type Queries = Arc<Mutex<Vec<(String, u16)>>>;

pub(crate) struct FakeServer {
    socket: Arc<UdpSocket>,
    queries: Queries,
    threads: Vec<JoinHandle<()>>,
}

impl FakeServer {
    pub(crate) fn start() -> Self {
        let (socket, listener) = both_sockets();
        let (socket, queries) = (Arc::new(socket), Queries::default());
        let datagrams = std::thread::spawn({
            let (socket, queries) = (Arc::clone(&socket), Arc::clone(&queries));
            move || serve(&socket, &queries)
        });
        let streams = std::thread::spawn(move || serve_tcp(&listener));
        Self { socket, queries, threads: vec![datagrams, streams] }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// How often it was asked for this.
    pub(crate) fn count(&self, name: &str, kind: u16) -> usize {
        self.queries.lock().unwrap().iter().filter(|query| query.0 == name && query.1 == kind).count()
    }

    /// How often it was asked.
    pub(crate) fn queries(&self) -> usize {
        self.queries.lock().unwrap().len()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.socket.send_to(STOP, self.address()).unwrap();
        // A stream without a query ends the thread.
        drop(std::net::TcpStream::connect(self.address()));
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// A datagram socket and a listener on the same port.
fn both_sockets() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

/// Answers one query on each stream.
fn serve_tcp(listener: &TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        let (name, kind, question) = read_question(&message);
        let answer = answer(&name, kind, 0, &message[..2], &question).unwrap_or_default();
        stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&answer).unwrap();
    }
}

fn serve(socket: &UdpSocket, queries: &Queries) {
    let mut buffer = [0; 512];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        let message = &buffer[..length];
        if message == STOP {
            return;
        }
        let (name, kind, question) = read_question(message);
        let query = (name.clone(), kind);
        let before = queries.lock().unwrap().iter().filter(|known| **known == query).count();
        queries.lock().unwrap().push(query);
        let Some(mut answer) = answer(&name, kind, before, &message[..2], &question) else { continue };
        if answer.len() > DATAGRAM_BYTES {
            // Cut off after the question, and marked so.
            answer.truncate(12 + question.len());
            answer[2] |= 2;
            answer[6..8].fill(0);
        }
        if name.starts_with("slow.") {
            let socket = socket.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(40));
                socket.send_to(&answer, peer).unwrap_or_default();
            });
        } else {
            socket.send_to(&answer, peer).unwrap();
        }
    }
}

fn read_question(message: &[u8]) -> (String, u16, Vec<u8>) {
    let (mut name, mut at) = (String::new(), 12);
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        name.push_str(std::str::from_utf8(&message[at + 1..end]).unwrap());
        name.push('.');
        at = end;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    (name.to_ascii_lowercase(), kind, message[12..at + 5].to_vec())
}

/// `before` is how often the same was asked before.
fn answer(name: &str, kind: u16, before: usize, id: &[u8], question: &[u8]) -> Option<Vec<u8>> {
    let v4 = |count: u8| (0..count).map(|last| vec![192, 0, 2, last]).collect();
    let v6 = vec![vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]];
    let (code, records): (u8, Vec<Vec<u8>>) = match (name.split('.').next()?, kind) {
        ("missing", _) => (3, vec![]),
        ("broken", _) | ("half-broken", AAAA) => (2, vec![]),
        ("silent", _) | ("silent6", AAAA) => return None,
        ("both" | "silent6" | "slow", A) => (0, v4(2)),
        ("many", A) => (0, v4(30)),
        ("both" | "only6", AAAA) => (0, v6),
        // at.127-0-0-1.127-0-0-2.v6---1.example has these three addresses.
        ("at", A) => (0, name.split('.').filter_map(address_in_words).collect()),
        ("at", AAAA) => (0, name.split('.').filter_map(ipv6_in_words).collect()),
        // turns.127-0-0-1.127-0-0-2.example has one of them, another one each time.
        ("turns", A) => {
            let all: Vec<_> = name.split('.').filter_map(address_in_words).collect();
            (0, all.get(before % all.len().max(1)).into_iter().cloned().collect())
        }
        // Nobody listens at any of them.
        ("thousand", A) => (0, (0..1_000_u16).map(|n| vec![127, 1, (n >> 8) as u8, n as u8]).collect()),
        // Each is an alias of the other.
        ("left", _) => return Some(alias(id, question, b"\x05right\xc0\x11")),
        ("right", _) => return Some(alias(id, question, b"\x04left\xc0\x12")),
        _ => (0, vec![]),
    };
    let mut message = id.to_vec();
    let [high, low] = (records.len() as u16).to_be_bytes();
    message.extend([0x81, 0x80 | code, 0, 1, high, low, 0, 0, 0, 0]);
    message.extend(question);
    for data in records {
        message.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        message.extend(data);
    }
    Some(message)
}

fn address_in_words(label: &str) -> Option<Vec<u8>> {
    let address: Ipv4Addr = label.replace('-', ".").parse().ok()?;
    Some(address.octets().to_vec())
}

fn ipv6_in_words(label: &str) -> Option<Vec<u8>> {
    let address: Ipv6Addr = label.strip_prefix("v6-")?.replace('-', ":").parse().ok()?;
    Some(address.octets().to_vec())
}

/// The name is an alias of `target`.
fn alias(id: &[u8], question: &[u8], target: &[u8]) -> Vec<u8> {
    let mut message = id.to_vec();
    message.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend(question);
    message.extend([0xc0, 12, 0, CNAME as u8, 0, 1, 0, 0, 0, 60, 0, target.len() as u8]);
    message.extend(target);
    message
}
