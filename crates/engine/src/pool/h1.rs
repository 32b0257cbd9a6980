//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, no hand-over per request.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::SendBody;
use crate::connect::Stream;

/// The largest head of a response, in bytes, and the most headers.
const MAX_HEAD: usize = 256 << 10;
const MAX_HEADERS: usize = 1000;

/// A connection and what is known of it.
pub(crate) struct H1 {
    pub(crate) sender: SendRequest<SendBody>,
    pub(crate) driver: Driver,
    pub(crate) remote: Option<IpAddr>,
    /// Requests it has served.
    pub(crate) served: u32,
}

/// Moves the bytes of a connection whenever its task is polled.
pub(crate) struct Driver {
    connection: Option<Pin<Box<Wire>>>,
}

type Wire = Connection<TokioIo<Stream>, SendBody>;

impl Driver {
    /// Moves what can be moved. False: the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        // An error of the connection also reaches whoever waits for its response.
        if connection.as_mut().poll(cx).is_ready() {
            self.connection = None;
        }
        self.connection.is_some()
    }

    /// Waits for `future`, which needs this connection to move.
    pub(crate) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        // A poll of the connection costs more than one of the future: the future first, which may need no more
        // than what is there, and which says what it wants before the connection looks for it.
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }
}

impl H1 {
    /// Starts to speak HTTP/1.1.
    ///
    /// # Errors
    /// Those of hyper; none that depends on the peer.
    pub(crate) async fn handshake(stream: Stream, remote: Option<IpAddr>) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = Driver { connection: Some(Box::pin(connection)) };
        Ok(Self { sender, driver, remote, served: 0 })
    }

    /// Lets the connection find out, after a response, whether it may be used again.
    pub(crate) async fn settle(&mut self) {
        if !self.sender.is_ready() {
            poll_fn(|cx| Poll::Ready(self.driver.poll(cx))).await;
        }
    }

    /// Whether it can take another request.
    pub(crate) fn is_open(&self) -> bool {
        self.driver.connection.is_some() && !self.sender.is_closed()
    }
}
