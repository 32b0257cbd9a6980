//! A byte stream to an origin, plain or over TLS, and the way to it.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::dns::Resolver;
use super::guard::Guard;
use super::tcp;
use super::through;
use super::tls::TlsContext;
use crate::clock::PhaseClock;
use crate::error::Failure;
use crate::options::{Proxy, ProxyKind};
use crate::request::Target;
use crate::timings::Phase;

/// An open stream.
pub(crate) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Over TLS, through a proxy that is itself spoken to over TLS.
    TlsInTls(Box<TlsStream<TlsStream<TcpStream>>>),
}

impl Stream {
    /// When it is dropped, the peer is told that it is reset, and its local port is free at once.
    pub(crate) fn leave_at_once(&self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::TlsInTls(tls) => tls.get_ref().0.get_ref().0,
        };
        // Otherwise it closes in order.
        tcp.set_zero_linger().unwrap_or_default();
    }
}

/// A stream and what was learned while it was opened.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) remote: Option<IpAddr>,
    /// The peer chose HTTP/2.
    pub(crate) http2: bool,
}

/// Where a connection leads, and how.
pub(crate) struct Way<'a> {
    pub(crate) target: &'a Target,
    /// Connects to this address and no other.
    pub(crate) address: Option<IpAddr>,
    /// Connects through this proxy. In the clear, the proxy gets the requests themselves.
    pub(crate) proxy: Option<&'a Proxy>,
    /// HTTP/2 is not offered.
    pub(crate) http1_only: bool,
}

/// Resolves, connects and, for https, shakes hands.
///
/// # Errors
/// `blocked.address`, `dns.*`, `connect.*`, `tls.*`, `local.*`, `proxy.*`.
///
/// # Cancel safety
/// If it is dropped midway, nothing stays open.
pub(crate) async fn open(
    way: &Way<'_>,
    resolver: &Resolver,
    guard: &Guard,
    tls: &TlsContext,
    clock: &PhaseClock,
) -> Result<Opened, Failure> {
    let (to_origin, remote) = if let Some(proxy) = way.proxy {
        reach_through(proxy, way.target, resolver, guard, tls, clock).await?
    } else {
        let tcp = reach(way, resolver, guard, clock).await?;
        let remote = peer_of(&tcp);
        (Stream::Plain(tcp), remote)
    };
    if !way.target.is_https() {
        return Ok(Opened { stream: to_origin, remote, http2: false });
    }
    clock.enter(Phase::Tls);
    let (host, http1_only) = (way.target.host(), way.http1_only);
    let (stream, http2) = match to_origin {
        Stream::Plain(tcp) => {
            let stream = tls.handshake(host, tcp, http1_only).await?;
            let http2 = super::tls::negotiated_h2(&stream);
            (Stream::Tls(Box::new(stream)), http2)
        }
        Stream::Tls(outer) => {
            let stream = tls.handshake(host, *outer, http1_only).await?;
            let http2 = super::tls::negotiated_h2(&stream);
            (Stream::TlsInTls(Box::new(stream)), http2)
        }
        // Nothing is nested deeper.
        nested @ Stream::TlsInTls(_) => (nested, false),
    };
    Ok(Opened { stream, remote, http2 })
}

fn peer_of(tcp: &TcpStream) -> Option<IpAddr> {
    tcp.peer_addr().ok().map(|peer| peer.ip())
}

/// A connection to the origin itself.
async fn reach(
    way: &Way<'_>,
    resolver: &Resolver,
    guard: &Guard,
    clock: &PhaseClock,
) -> Result<TcpStream, Failure> {
    let &Way { target, address, .. } = way;
    if let Some(address) = address.or_else(|| target.host().parse().ok()) {
        clock.enter(Phase::Connect);
        return tcp::dial(&[address], target.port(), guard).await;
    }
    clock.enter(Phase::Dns);
    let addresses = resolver.lookup(target.host()).await?;
    clock.enter(Phase::Connect);
    tcp::dial(&addresses, target.port(), guard).await
}

/// A connection to a proxy, and the tunnel through it where one is needed.
async fn reach_through(
    proxy: &Proxy,
    target: &Target,
    resolver: &Resolver,
    guard: &Guard,
    tls: &TlsContext,
    clock: &PhaseClock,
) -> Result<(Stream, Option<IpAddr>), Failure> {
    if let Ok(address) = target.host().parse() {
        guard.admit(&[address])?;
    }
    clock.enter(Phase::Proxy);
    let tcp = through::reach(proxy, resolver).await?;
    let remote = peer_of(&tcp);
    let mut stream = match proxy.kind {
        ProxyKind::Http => Stream::Plain(tcp),
        ProxyKind::Https => {
            let stream = tls.handshake(&proxy.host, tcp, true).await;
            Stream::Tls(Box::new(stream.map_err(|failure| through::of_proxy(proxy, failure))?))
        }
        ProxyKind::Socks5 | ProxyKind::Socks5h => {
            Stream::Plain(through::socks(tcp, proxy, target, resolver, guard).await?)
        }
    };
    if target.is_https() && !proxy.kind.is_socks() {
        through::connect(&mut stream, proxy, target).await?;
    }
    Ok((stream, remote))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsInTls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::TlsInTls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::TlsInTls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::TlsInTls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsInTls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsInTls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
