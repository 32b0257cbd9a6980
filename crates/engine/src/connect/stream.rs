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
use super::tls::TlsContext;
use crate::clock::PhaseClock;
use crate::error::Failure;
use crate::request::Target;
use crate::timings::Phase;

/// An open stream.
pub(crate) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// When it is dropped, the peer is told that it is reset, and its local port is free at once.
    pub(crate) fn leave_at_once(&self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
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

/// Resolves, connects and, for https, shakes hands. With `address`, connects to it and no other. `http1_only`: HTTP/2
/// is not offered.
///
/// # Errors
/// `blocked.address`, `dns.*`, `connect.*`, `tls.*`, `local.*`.
///
/// # Cancel safety
/// If it is dropped midway, nothing stays open.
pub(crate) async fn open(
    target: &Target,
    address: Option<IpAddr>,
    resolver: &Resolver,
    guard: &Guard,
    tls: &TlsContext,
    http1_only: bool,
    clock: &PhaseClock,
) -> Result<Opened, Failure> {
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

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
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
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
