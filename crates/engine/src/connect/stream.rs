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
    if let Some(proxy) = way.proxy {
        return open_through(proxy, way, resolver, guard, tls, clock).await;
    }
    let &Way { target, address, http1_only, .. } = way;
    let tcp = if let Some(address) = address.or_else(|| target.host().parse().ok()) {
        clock.enter(Phase::Connect);
        tcp::dial(&[address], target.port(), guard).await?
    } else {
        clock.enter(Phase::Dns);
        let addresses = resolver.lookup(target.host()).await?;
        clock.enter(Phase::Connect);
        tcp::dial(&addresses, target.port(), guard).await?
    };
    let remote = tcp.peer_addr().ok().map(|peer| peer.ip());
    if !target.is_https() {
        return Ok(Opened { stream: Stream::Plain(tcp), remote, http2: false });
    }
    clock.enter(Phase::Tls);
    let stream = tls.handshake(target.host(), tcp, http1_only).await?;
    let http2 = super::tls::negotiated_h2(&stream);
    Ok(Opened { stream: Stream::Tls(Box::new(stream)), remote, http2 })
}

async fn open_through(
    proxy: &Proxy,
    way: &Way<'_>,
    resolver: &Resolver,
    guard: &Guard,
    tls: &TlsContext,
    clock: &PhaseClock,
) -> Result<Opened, Failure> {
    let &Way { target, http1_only, .. } = way;
    if let Ok(address) = target.host().parse() {
        guard.admit(&[address])?;
    }
    clock.enter(Phase::Proxy);
    let tcp = through::reach(proxy, resolver).await?;
    let remote = tcp.peer_addr().ok().map(|peer| peer.ip());
    let to_proxy = match proxy.kind {
        ProxyKind::Http => Stream::Plain(tcp),
        ProxyKind::Https => {
            let stream = tls.handshake(&proxy.host, tcp, true).await;
            Stream::Tls(Box::new(stream.map_err(|failure| through::of_proxy(proxy, failure))?))
        }
        ProxyKind::Socks5 | ProxyKind::Socks5h => {
            Stream::Plain(through::socks(tcp, proxy, target, resolver, guard).await?)
        }
    };
    if !target.is_https() {
        return Ok(Opened { stream: to_proxy, remote, http2: false });
    }
    let mut to_proxy = to_proxy;
    if !proxy.kind.is_socks() {
        through::connect(&mut to_proxy, proxy, target).await?;
    }
    clock.enter(Phase::Tls);
    let (stream, http2) = match to_proxy {
        Stream::Plain(tcp) => {
            let stream = tls.handshake(target.host(), tcp, http1_only).await?;
            let http2 = super::tls::negotiated_h2(&stream);
            (Stream::Tls(Box::new(stream)), http2)
        }
        Stream::Tls(outer) => {
            let stream = tls.handshake(target.host(), *outer, http1_only).await?;
            let http2 = super::tls::negotiated_h2(&stream);
            (Stream::TlsInTls(Box::new(stream)), http2)
        }
        nested @ Stream::TlsInTls(_) => (nested, false),
    };
    Ok(Opened { stream, remote, http2 })
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
