//! The steps of every connection to a port: TLS, or its fault, then HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::{Hosts, TlsFault};
use crate::connection::{Responder, Site};
use crate::wire::{Link, Socket, Wire};

/// How a port speaks TLS.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) fault: Option<TlsFault>,
}

/// One port, for as long as the server runs.
pub(crate) struct Door {
    port: u16,
    hosts: Hosts,
    protocol: auto::Builder<TokioExecutor>,
    tls: Option<Tls>,
    site: Arc<Site>,
}

impl Door {
    pub(crate) fn new(port: u16, hosts: Hosts, tls: Option<Tls>, site: &Arc<Site>) -> Self {
        let protocol = auto::Builder::new(TokioExecutor::new());
        Self { port, hosts, protocol, tls, site: Arc::clone(site) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether a connection is accepted; one from another machine is reset.
    pub(crate) fn admits(&self, stream: &TcpStream) -> bool {
        if self.hosts == Hosts::One || stream.local_addr().is_ok_and(|addr| addr.ip().is_loopback()) {
            return true;
        }
        self.site.counters.refused_off_loopback();
        let _ = stream.set_zero_linger();
        false
    }

    /// Serves a connection to its end.
    pub(crate) async fn enter(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _open = self.site.counters.connected();
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match &self.tls {
            None => self.serve(stream, peer).await,
            Some(Tls { fault: Some(TlsFault::Eof), .. }) => answer_with_eof(stream).await,
            Some(Tls { fault: Some(TlsFault::Stall), .. }) => stall(stream).await,
            Some(Tls { acceptor, .. }) => match acceptor.accept(stream).await {
                Ok(stream) => {
                    let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                    self.site.counters.tls_completed(resumed);
                    self.serve(stream, peer).await;
                }
                Err(_) => self.site.counters.tls_failed(),
            },
        }
    }

    async fn serve<S: Socket + Send + 'static>(&self, socket: S, peer: SocketAddr) {
        let link = Arc::new(Link::default());
        let wire = TokioIo::new(Wire::new(socket, Arc::clone(&link)));
        let responder = Responder::new(Arc::clone(&self.site), link, peer);
        // Errors here mean that the client has disconnected, or are the faults it asked for.
        let _ = self.protocol.serve_connection(wire, responder).await;
    }
}

/// Reads the client's first bytes, so that closing sends FIN and not RST, and closes.
async fn answer_with_eof(mut stream: TcpStream) {
    let _ = stream.read_buf(&mut Vec::with_capacity(16 * 1024)).await;
}

/// Reads, and never answers, until the client goes.
async fn stall(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(1024);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        buffer.clear();
    }
}
