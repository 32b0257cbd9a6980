//! A TLS server on a bare socket that answers as a test says, and agrees to the protocols that it names.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// The server's end of one connection. Dropped, it closes without `close_notify`.
pub(crate) type Session = StreamOwned<ServerConnection, TcpStream>;

/// A server for `localhost` whose certificate nobody knows.
pub(crate) struct Secure {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Secure {
    /// `play` is given each connection, in a thread of its own, which ends with the client or after five silent seconds.
    pub(crate) fn start(protocols: &[&str], play: impl Fn(&mut Session) + Send + Sync + 'static) -> Self {
        let config = Arc::new(config(protocols));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, play) = (Arc::new(AtomicUsize::new(0)), Arc::new(play));
        let count = Arc::clone(&connections);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let play = Arc::clone(&play);
                std::thread::spawn(move || play(&mut StreamOwned::new(session, stream)));
            }
        });
        Self { port, connections }
    }

    /// Sends the same bytes after the first request of each connection, and closes; `says_so`: with `close_notify`.
    pub(crate) fn answer_and_close(answer: &'static str, says_so: bool) -> Self {
        Self::start(&["http/1.1"], move |session| {
            if session.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let _ = session.write_all(answer.as_bytes());
                if says_so {
                    session.conn.send_close_notify();
                }
                let _ = session.flush();
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Connections accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn config(protocols: &[&str]) -> ServerConfig {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
