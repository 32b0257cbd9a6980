//! A bare HTTP/1.1 client on a std socket: it shows what is really sent. Every wait is bounded.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hurtle_testserver::{Config, Server, Stats};

pub const PATIENCE: Duration = Duration::from_secs(5);

pub fn server() -> Server {
    Server::start(Config { tls_port: None, ..Config::default() }).unwrap()
}

/// The documented content of `/bytes/N?seed=S`.
pub fn content(n: usize, seed: u64) -> Vec<u8> {
    let line = |i| format!("{i:016x} {n:016x} {seed:016x} hurtle bytes\n");
    let mut all: Vec<u8> = (0..=n / 64).flat_map(|i| line(i).into_bytes()).collect();
    all.truncate(n);
    all
}

/// Waits until the counters are as wanted.
pub fn wait_for(server: &Server, wanted: impl Fn(&Stats) -> bool) -> Stats {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = server.stats();
        if wanted(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "still {stats:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A connection that is used for one request after the other.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, request: &str) {
        self.send_bytes(request.as_bytes());
    }

    pub fn send_bytes(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
    }

    pub fn send_get(&mut self, target: &str) {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: test.invalid:80\r\n\r\n"));
    }

    pub fn get(&mut self, target: &str) -> Reply {
        self.send_get(target);
        self.reply().unwrap()
    }

    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Everything until the connection ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut all = std::mem::take(&mut self.unread);
        let end = self.stream.read_to_end(&mut all).map(|_| ());
        (all, end)
    }

    pub fn head(&mut self) -> io::Result<Reply> {
        let text = String::from_utf8(self.until(b"\r\n\r\n")?).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Ok(Reply { status, headers: lines.map(header).collect(), body: Vec::new() })
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head()?;
        if let Some(length) = reply.header("content-length").map(|length| length.parse().unwrap()) {
            reply.body = self.take(length)?;
        } else if reply.header("transfer-encoding") == Some("chunked") {
            while let length @ 1.. = self.chunk_size()? {
                reply.body.extend(self.take(length)?);
                self.take(2)?;
            }
            self.take(2)?;
        }
        Ok(reply)
    }

    fn chunk_size(&mut self) -> io::Result<usize> {
        let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
        Ok(usize::from_str_radix(line.trim(), 16).unwrap())
    }

    fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return self.take(at + mark.len());
            }
            self.fill()?;
        }
    }

    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend(buffer.drain(..read));
                Ok(())
            }
        }
    }
}

/// One request on a connection of its own.
pub fn get(server: &Server, target: &str) -> Reply {
    Client::connect(server.addr()).get(target)
}
