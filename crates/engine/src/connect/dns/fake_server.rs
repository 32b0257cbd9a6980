//! A name server for tests, on a loopback socket and its own thread. It answers by the first label of a name, and
//! counts queries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

/// Ends the thread.
const STOP: &[u8] = b"stop";

type Queries = Arc<Mutex<Vec<(String, u16)>>>;

pub(crate) struct FakeServer {
    socket: Arc<UdpSocket>,
    queries: Queries,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    pub(crate) fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let queries = Queries::default();
        let thread = std::thread::spawn({
            let (socket, queries) = (Arc::clone(&socket), Arc::clone(&queries));
            move || serve(&socket, &queries)
        });
        Self { socket, queries, thread: Some(thread) }
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
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
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
        queries.lock().unwrap().push((name.clone(), kind));
        let Some(answer) = answer(&name, kind, &message[..2], &question) else { continue };
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

fn answer(name: &str, kind: u16, id: &[u8], question: &[u8]) -> Option<Vec<u8>> {
    let v4 = |count: u8| (0..count).map(|last| vec![192, 0, 2, last]).collect();
    let v6 = vec![vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]];
    let (code, records): (u8, Vec<Vec<u8>>) = match (name.split('.').next()?, kind) {
        ("missing", _) => (3, vec![]),
        ("broken", _) | ("half-broken", AAAA) => (2, vec![]),
        ("silent", _) | ("silent6", AAAA) => return None,
        ("both" | "silent6" | "slow", A) => (0, v4(2)),
        ("many", A) => (0, v4(30)),
        ("both" | "only6", AAAA) => (0, v6),
        // at.127-0-0-1.127-0-0-2.example has these two addresses.
        ("at", A) => (0, name.split('.').filter_map(address_in_words).collect()),
        _ => (0, vec![]),
    };
    let mut message = id.to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
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
