//! One HTTP/2 connection, shared by the requests of its origin.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{IDLE, SendBody};
use crate::alarm::Alarm;
use crate::connect::Stream;

/// Streams on one connection before another is opened, where the peer allows more.
const MAX_STREAMS: usize = 100;
/// The largest head of a response, in bytes.
const MAX_HEAD: u32 = 256 << 10;
/// Flow control windows for what we receive: per stream, and per connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A connection and its state. A task of its own moves its bytes.
pub(crate) struct H2 {
    sender: SendRequest<SendBody>,
    pub(crate) remote: Option<IpAddr>,
    streams: Cell<usize>,
    max_streams: Cell<usize>,
    served: Cell<u32>,
    answered: Cell<bool>,
    /// When its last stream ended.
    used: Cell<Instant>,
}

/// One request's place on a connection; given back when dropped.
pub(crate) struct StreamPlace {
    connection: Rc<H2>,
    /// Whether an earlier request has used the connection.
    pub(crate) reused: bool,
}

#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl H2 {
    /// Opens the HTTP/2 session.
    ///
    /// # Errors
    /// Those of hyper: the preface could not be sent.
    pub(crate) async fn handshake(stream: Stream, remote: Option<IpAddr>) -> hyper::Result<Rc<Self>> {
        let (sender, connection) = Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        let this = Rc::new(Self {
            sender,
            remote,
            streams: Cell::new(0),
            max_streams: Cell::new(MAX_STREAMS),
            served: Cell::new(0),
            answered: Cell::new(false),
            used: Cell::new(Instant::now()),
        });
        let watcher = Rc::downgrade(&this);
        tokio::task::spawn_local(async move {
            let (mut connection, mut alarm) = (pin!(connection), Alarm::new());
            // The requests on it get its errors.
            poll_fn(|cx| {
                let ended = connection.as_mut().poll(cx).map(Result::unwrap_or_default);
                let Some(this) = watcher.upgrade() else { return ended };
                this.max_streams.set(connection.current_max_send_streams().clamp(1, MAX_STREAMS));
                if ended.is_ready() { ended } else { alarm.poll(cx, Some(this.idle_until().into_std())) }
            })
            .await;
        });
        Ok(this)
    }

    /// Whether the connection is open.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether it takes a new request now.
    pub(crate) fn has_room(&self) -> bool {
        self.streams.get() < self.max_streams.get()
    }

    /// When it will have been idle for too long.
    fn idle_until(&self) -> Instant {
        let since = if self.streams.get() == 0 { self.used.get() } else { Instant::now() };
        since + IDLE
    }

    /// Takes a place on it.
    pub(crate) fn enter(self: &Rc<Self>) -> StreamPlace {
        self.streams.set(self.streams.get() + 1);
        self.served.set(self.served.get().saturating_add(1));
        StreamPlace { connection: Rc::clone(self), reused: self.served.get() > 1 }
    }
}

impl StreamPlace {
    pub(crate) fn sender(&self) -> SendRequest<SendBody> {
        self.connection.sender.clone()
    }

    pub(crate) fn remote(&self) -> Option<IpAddr> {
        self.connection.remote
    }

    /// A response has come.
    pub(crate) fn note_answer(&self) {
        self.connection.answered.set(true);
    }

    /// Whether a response has come on the connection.
    pub(crate) fn has_answered(&self) -> bool {
        self.connection.answered.get()
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let streams = &self.connection.streams;
        streams.set(streams.get().saturating_sub(1));
        self.connection.used.set(Instant::now());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn it_closes_when_nobody_has_used_it_for_long() {
        LocalSet::new()
            .run_until(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                spawn_local(async move {
                    let (stream, _) = listener.accept().await.unwrap();
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while connection.accept().await.is_some() {}
                });
                let stream = Stream::Plain(TcpStream::connect(address).await.unwrap());
                let connection = H2::handshake(stream, None).await.unwrap();
                let place = connection.enter();
                sleep(IDLE * 5).await;
                assert!(connection.is_open(), "a stream was on it");
                drop(place);
                sleep(IDLE + Duration::from_secs(1)).await;
                assert!(!connection.is_open());
            })
            .await;
    }
}
