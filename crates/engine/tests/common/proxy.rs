//! A small proxy on loopback: CONNECT, requests in the clear, and SOCKS 5.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a proxy answers with in place of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This status, to everything.
    Status(&'static str),
    /// The connection is closed.
    Close,
    /// Nothing.
    Silence,
}

/// A proxy; it stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// The heads of all requests, or the addresses asked for over SOCKS.
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    pub(crate) fn refusing(refusal: Refusal) -> Self {
        Self::with(Some(refusal))
    }

    fn with(refusal: Option<Refusal>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ends) = (Arc::clone(&heads), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let heads = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, refusal, &heads));
            }
        });
        Self { address, heads, stopped }
    }

    /// `scheme://127.0.0.1:PORT`, with `user:password@` if that is given.
    pub(crate) fn url(&self, scheme: &str, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("{scheme}://{credentials}{at}{}", self.address)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).map(drop).unwrap_or_default();
    }
}

fn serve(mut client: TcpStream, refusal: Option<Refusal>, heads: &Mutex<Vec<String>>) {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut first = [0];
    if client.peek(&mut first).unwrap_or(0) == 0 || refusal == Some(Refusal::Close) {
        return;
    }
    if first == [5] {
        return socks(client, refusal, heads).unwrap_or_default();
    }
    while let Some(head) = read_head(&mut client) {
        heads.lock().unwrap().push(head.clone());
        match refusal {
            Some(Refusal::Status(status)) => {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                client.write_all(answer.as_bytes()).unwrap_or_default();
                continue;
            }
            Some(_) => return std::thread::sleep(Duration::from_secs(5)),
            None => {}
        }
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method == "CONNECT" {
            let Ok(server) = TcpStream::connect(target) else { return };
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap_or_default();
            return join(client, server);
        }
        let Some(rest) = target.strip_prefix("http://") else { return };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(mut server) = TcpStream::connect(host) else { return };
        let plain =
            head.replacen(target, &format!("/{path}"), 1).replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(plain.as_bytes()).unwrap_or_default();
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).unwrap_or_default();
        let text = String::from_utf8_lossy(&answer).replacen("connection: close\r\n", "", 1);
        client.write_all(text.as_bytes()).unwrap_or_default();
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Source: RFC 1928; RFC 1929.
fn socks(mut client: TcpStream, refusal: Option<Refusal>, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut start = [0; 2];
    client.read_exact(&mut start)?;
    let methods = take(&mut client, start[1])?;
    if methods.contains(&2) {
        client.write_all(&[5, 2])?;
        let mut version = [0; 2];
        client.read_exact(&mut version)?;
        let user = take(&mut client, version[1])?;
        let mut length = [0];
        client.read_exact(&mut length)?;
        let password = take(&mut client, length[0])?;
        heads.lock().unwrap().push(String::from_utf8_lossy(&[user, b":".to_vec(), password].concat()).into());
        let is_wrong = matches!(refusal, Some(Refusal::Status(_)));
        client.write_all(&[1, u8::from(is_wrong)])?;
    } else {
        client.write_all(&[5, 0])?;
    }
    let mut request = [0; 4];
    client.read_exact(&mut request)?;
    let host = match request[3] {
        1 => take(&mut client, 4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let mut length = [0];
            client.read_exact(&mut length)?;
            String::from_utf8_lossy(&take(&mut client, length[0])?).into_owned()
        }
        other => panic!("address type {other}"),
    };
    let port = take(&mut client, 2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    heads.lock().unwrap().push(format!("{host}:{port}"));
    match TcpStream::connect((host.as_str(), port)) {
        Ok(server) => {
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
            join(client, server);
        }
        Err(_) => client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])?,
    }
    Ok(())
}

fn take(stream: &mut TcpStream, length: u8) -> std::io::Result<Vec<u8>> {
    let mut taken = vec![0; usize::from(length)];
    stream.read_exact(&mut taken)?;
    Ok(taken)
}

fn join(client: TcpStream, server: TcpStream) {
    let copied = |mut from: TcpStream, mut to: TcpStream| {
        std::io::copy(&mut from, &mut to).unwrap_or_default();
        to.shutdown(Shutdown::Write).unwrap_or_default();
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let back = std::thread::spawn(move || copied(server, client));
    copied(from, to);
    back.join().unwrap_or_default();
}
