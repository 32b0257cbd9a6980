//! One HTTP/2 connection, shared by the requests of its origin.

mod watch;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::h2::client::{Builder, ResponseFuture, SendRequest};
use ::h2::{Error, RecvStream};
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;

use self::watch::{Watch, Watched};
use super::{IDLE, MAX_INTERIM};
use crate::alarm::Alarm;
use crate::clock::PhaseClock;
use crate::connect::Stream;
use crate::timings::Phase;

/// Streams on one connection before another is opened, where the peer allows more.
const MAX_STREAMS: usize = 100;
/// The largest head of a response, in bytes.
const MAX_HEAD: u32 = 256 << 10;
/// The largest window that there is. Source: RFC 9113, section 6.9.1.
const MOST_WINDOW: u32 = (1 << 31) - 1;

/// A connection and its state. A task of its own moves its bytes.
pub(crate) struct H2 {
    /// Sends nothing itself: what is sent goes by copies of it.
    sender: RefCell<SendRequest<Bytes>>,
    watch: Rc<RefCell<Watch>>,
    pub(crate) remote: Option<IpAddr>,
    streams: Cell<usize>,
    max_streams: Cell<usize>,
    served: Cell<u32>,
    answered: Cell<bool>,
    /// Its task has ended.
    over: Cell<bool>,
    /// When its last stream ended.
    used: Cell<Instant>,
}

/// One request's place on a connection; given back when dropped.
pub(crate) struct StreamPlace {
    connection: Rc<H2>,
    /// Whether an earlier request has used the connection.
    pub(crate) reused: bool,
    /// The number of its stream, 0 before it is sent.
    stream: Cell<u32>,
}

/// Why no response came.
pub(crate) enum NoResponse {
    /// Nothing of the request was sent.
    Unsent(Error),
    Failed(Error),
    /// More interim responses than are read.
    TooManyInterim,
}

impl H2 {
    /// Opens the HTTP/2 session. `window` bytes may come on each stream that is not read, and no stream can use up what
    /// the others may receive.
    ///
    /// # Errors
    /// Those of h2: the preface could not be sent.
    pub(crate) async fn handshake(
        stream: Stream,
        remote: Option<IpAddr>,
        window: u32,
    ) -> Result<Rc<Self>, Error> {
        let watch = Rc::<RefCell<Watch>>::default();
        let (sender, connection) = Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(window.saturating_mul(MAX_STREAMS as u32).min(MOST_WINDOW))
            .initial_max_send_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .enable_push(false)
            .handshake(Watched::new(stream, Rc::clone(&watch)))
            .await?;
        let this = Rc::new(Self {
            sender: RefCell::new(sender),
            watch,
            remote,
            streams: Cell::new(0),
            max_streams: Cell::new(MAX_STREAMS),
            served: Cell::new(0),
            answered: Cell::new(false),
            over: Cell::new(false),
            used: Cell::new(Instant::now()),
        });
        let watcher = Rc::downgrade(&this);
        tokio::task::spawn_local(async move {
            let (mut connection, mut alarm) = (pin!(connection), Alarm::new());
            // The requests on it get its errors.
            poll_fn(|cx| {
                let ended = connection.as_mut().poll(cx).map(Result::unwrap_or_default);
                let Some(this) = watcher.upgrade() else { return ended };
                this.max_streams.set(connection.max_concurrent_send_streams().clamp(1, MAX_STREAMS));
                let ended =
                    if ended.is_ready() { ended } else { alarm.poll(cx, Some(this.idle_until().into_std())) };
                this.over.set(ended.is_ready());
                ended
            })
            .await;
        });
        Ok(this)
    }

    /// Whether the connection is open, and takes requests as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.sender.borrow_mut().poll_ready(&mut cx);
        !self.over.get() && !matches!(ready, Poll::Ready(Err(_)))
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
        let reused = self.served.get() > 1;
        StreamPlace { connection: Rc::clone(self), reused, stream: Cell::new(0) }
    }
}

impl StreamPlace {
    /// Sends a request with its body, and waits for the head of the final response. While the peer allows no further
    /// stream, the phase is that of waiting for one.
    ///
    /// # Cancel safety
    /// If it is dropped midway, the stream is reset.
    pub(crate) async fn response(
        &self,
        request: Request<()>,
        body: Bytes,
        clock: &PhaseClock,
    ) -> Result<Response<RecvStream>, NoResponse> {
        let mut sender = self.connection.sender.borrow().clone();
        poll_fn(|cx| sender.poll_ready(cx)).await.map_err(NoResponse::Unsent)?;
        let (mut response, mut stream) =
            sender.send_request(request, body.is_empty()).map_err(NoResponse::Unsent)?;
        self.stream.set(response.stream_id().as_u32());
        if !body.is_empty() {
            // It goes out as far as the peer's windows allow, without a copy.
            stream.send_data(body, true).map_err(NoResponse::Failed)?;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if sender.poll_ready(&mut cx).is_pending() {
            clock.enter(Phase::Queue);
            poll_fn(|cx| sender.poll_ready(cx)).await.map_err(NoResponse::Unsent)?;
            clock.enter(Phase::FirstByte);
        }
        let mut interim = 0;
        let response = poll_fn(|cx| poll_response(cx, &mut response, &mut interim)).await?;
        self.connection.answered.set(true);
        Ok(response)
    }

    pub(crate) fn remote(&self) -> Option<IpAddr> {
        self.connection.remote
    }

    /// Whether a response has come on the connection.
    pub(crate) fn has_answered(&self) -> bool {
        self.connection.answered.get()
    }

    /// Whether the response so far is malformed although h2 passes it on: it has pseudo-header fields that no response
    /// has.
    pub(crate) fn is_malformed(&self) -> bool {
        self.connection.watch.borrow().is_malformed(self.stream.get())
    }

    /// Whether the peer speaks HTTP/1, whatever was agreed.
    pub(crate) fn is_http1(&self) -> bool {
        self.connection.watch.borrow().is_http1()
    }

    /// Whether the connection was ended because the peer sent no end of frames that say nothing.
    pub(crate) fn is_flooded(&self) -> bool {
        self.connection.watch.borrow().is_flooded()
    }

    /// Whether the head on its stream is too large, or never ends, as far as h2 does not say what it refuses.
    pub(crate) fn is_head_too_large(&self) -> bool {
        let watch = self.connection.watch.borrow();
        watch.is_large(self.stream.get()) || watch.is_in_block()
    }
}

/// The final response. Interim ones are passed over, as many as are read.
fn poll_response(
    cx: &mut Context<'_>,
    response: &mut ResponseFuture,
    interim: &mut u32,
) -> Poll<Result<Response<RecvStream>, NoResponse>> {
    while let Some(passed) = ready!(response.poll_informational(cx)) {
        passed.map_err(NoResponse::Failed)?;
        *interim += 1;
        if *interim > MAX_INTERIM {
            return Poll::Ready(Err(NoResponse::TooManyInterim));
        }
    }
    pin!(response).poll(cx).map_err(NoResponse::Failed)
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.watch.borrow_mut().forget(self.stream.get());
        connection.streams.set(connection.streams.get().saturating_sub(1));
        connection.used.set(Instant::now());
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
                    let mut connection = ::h2::server::handshake(stream).await.unwrap();
                    while connection.accept().await.is_some() {}
                });
                let stream = Stream::Plain(TcpStream::connect(address).await.unwrap());
                let connection = H2::handshake(stream, None, 1 << 20).await.unwrap();
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
