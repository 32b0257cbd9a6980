//! The socket under hyper, with two things hyper does not offer: knowing when everything was written, and ending a
//! connection with RST instead of FIN.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A byte stream with a TCP socket at its end.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

const IDLE: u8 = 0;
const WANTED: u8 = 1;
const FLUSHED: u8 = 2;

/// The state shared by a response body and the socket of its HTTP/1 connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    reset: AtomicBool,
    flush: AtomicU8,
    waker: AtomicWaker,
}

impl Link {
    /// Makes the connection end with RST when it is dropped.
    pub(crate) fn reset_when_dropped(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Waits until everything handed to hyper so far is in the socket.
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.flush.compare_exchange(IDLE, WANTED, Ordering::AcqRel, Ordering::Acquire) {
            Err(FLUSHED) => {
                self.flush.store(IDLE, Ordering::Release);
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    /// hyper flushes the stream only when its own buffer is empty; that is the moment a body waits for.
    fn flushed(&self) {
        // Body and socket belong to one task, so nobody else moves this state between the two lines.
        if self.flush.load(Ordering::Acquire) == WANTED {
            self.flush.store(FLUSHED, Ordering::Release);
            self.waker.wake();
        }
    }
}

/// A socket that obeys its [`Link`].
#[derive(Debug)]
pub(crate) struct Wire<S: Socket> {
    socket: S,
    link: Arc<Link>,
}

impl<S: Socket> Wire<S> {
    pub(crate) fn new(socket: S, link: Arc<Link>) -> Self {
        Self { socket, link }
    }
}

impl<S: Socket> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.link.reset.load(Ordering::Relaxed) {
            // Fails only if the peer has already closed, and then there is nothing to reset.
            let _ = self.socket.tcp().set_zero_linger();
        }
    }
}

impl<S: Socket> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: Socket> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.link.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
