//! A server on a bare socket that misbehaves as a test says, in ways that the test server does not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, Stream};

/// A connection that is silent for this long ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the same script on every connection, each in its own thread, which ends with its connection.
pub(crate) struct Script {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Script {
    /// `play` is given the number of the connection, from 0, and the connection.
    pub(crate) fn start(play: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || accept(&listener, &shared, &stopped, &Arc::new(play)));
        Self { address, seen, stop, listener: Some(thread) }
    }

    /// Answers every request of every connection with the same bytes.
    pub(crate) fn answer(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, peer| {
            while peer.request().is_some() {
                peer.send(&answer);
            }
        })
    }

    /// Sends the same bytes after the first request of each connection, and closes.
    pub(crate) fn answer_and_close(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, peer| {
            if peer.request().is_some() {
                peer.send(&answer);
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn tls_url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Heads of requests read to their end.
    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap_or_default();
        }
    }
}

fn accept<F>(listener: &TcpListener, seen: &Arc<Seen>, stop: &AtomicBool, play: &Arc<F>)
where
    F: Fn(usize, &mut Peer) + Send + Sync + 'static,
{
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                let (play, seen) = (Arc::clone(play), Arc::clone(seen));
                std::thread::spawn(move || play(number, &mut Peer { stream, unread: Vec::new(), seen }));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The server's end of one connection.
pub(crate) struct Peer {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
    seen: Arc<Seen>,
}

impl Peer {
    /// The next request's head. None: the client has closed, or takes too long.
    pub(crate) fn request(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.unread.extend_from_slice(&buffer[..read]),
            }
        };
        let rest = self.unread.split_off(end);
        let head = std::mem::replace(&mut self.unread, rest);
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
        Some(String::from_utf8(head).unwrap())
    }

    /// Counts a request that is read in another way.
    pub(super) fn count_request(&self) {
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// Sends bytes; a client that has gone misses them.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Speaks TLS: answers one request with these bytes, and says that it ends, or just closes.
    pub(crate) fn answer_in_tls(&mut self, config: &Arc<ServerConfig>, answer: &[u8]) {
        let mut tls = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut head = Vec::new();
        let mut stream = Stream::new(&mut tls, &mut self.stream);
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                // The client does not go on: its test sees why. What the server has to say of it is sent.
                _ => return while self.wants_write(&mut tls) {},
            }
        }
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
        let _ = Stream::new(&mut tls, &mut self.stream).write_all(answer);
        tls.send_close_notify();
        while self.wants_write(&mut tls) {}
    }

    fn wants_write(&mut self, tls: &mut ServerConnection) -> bool {
        tls.wants_write() && tls.write_tls(&mut self.stream).is_ok()
    }

    /// Waits until the client closes.
    pub(crate) fn wait_for_end(&mut self) {
        while self.stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
