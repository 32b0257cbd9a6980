//! The body type of all responses: sent at once, streamed, paced, or broken off on purpose.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::content::Content;
use crate::stats::InFlight;
use crate::wire::Link;

/// How a connection (HTTP/2: a stream) breaks off on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("reset on purpose")]
    Reset,
    #[error("closed on purpose")]
    Close,
}

impl Fault {
    /// Prepares the connection for this end. HTTP/2 has no link: there only the stream is reset.
    pub(crate) fn prepare(self, link: Option<&Link>) {
        if let (Self::Reset, Some(link)) = (self, link) {
            link.reset_when_dropped();
        }
    }
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct Payload {
    source: Source,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Whole(Bytes),
    Content(Content),
    Paced(Box<Pacing>),
    Broken(Box<Broken>),
}

/// Content in small pieces with pauses between them.
#[derive(Debug)]
pub(crate) struct Paced {
    pub(crate) content: Content,
    /// Bytes per piece.
    pub(crate) piece: usize,
    /// Time before the first piece.
    pub(crate) before: Duration,
    /// Time between two pieces.
    pub(crate) between: Duration,
    /// Whether the length is declared; if not, HTTP/1.1 sends chunks.
    pub(crate) sized: bool,
}

#[derive(Debug)]
struct Pacing {
    paced: Paced,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pacing {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
        }
        let piece = self.paced.content.next_piece(self.paced.piece);
        let between = self.paced.between;
        match &mut self.timer {
            _ if between.is_zero() => self.timer = None,
            Some(timer) => timer.as_mut().reset(Instant::now() + between),
            none => *none = Some(Box::pin(sleep(between))),
        }
        Poll::Ready(piece.map(Ok))
    }
}

#[derive(Debug)]
struct Broken {
    content: Content,
    declared: u64,
    fault: Fault,
    link: Option<Arc<Link>>,
}

impl Payload {
    pub(crate) fn empty() -> Self {
        Source::Empty.into()
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Source::Whole(bytes).into() }
    }

    pub(crate) fn content(content: Content) -> Self {
        if content.remaining() == 0 { Self::empty() } else { Source::Content(content).into() }
    }

    pub(crate) fn paced(paced: Paced) -> Self {
        if paced.content.remaining() == 0 {
            return Self::empty();
        }
        let timer = (!paced.before.is_zero()).then(|| Box::pin(sleep(paced.before)));
        Source::Paced(Box::new(Pacing { paced, timer })).into()
    }

    /// Declares `declared` bytes, sends `content`, waits until it is written, then breaks off.
    pub(crate) fn broken(content: Content, declared: u64, fault: Fault, link: Option<Arc<Link>>) -> Self {
        Source::Broken(Box::new(Broken { content, declared, fault, link })).into()
    }

    /// Counts the request as in flight until the last piece has been returned.
    pub(crate) fn hold(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }
}

impl From<Source> for Payload {
    fn from(source: Source) -> Self {
        Self { source, in_flight: None }
    }
}

type Piece = Option<Result<Bytes, Fault>>;

impl Source {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(bytes)))
            }
            Self::Content(content) => Poll::Ready(content.next().map(Ok)),
            Self::Paced(pacing) => pacing.poll_piece(cx),
            Self::Broken(broken) => broken.poll_piece(cx),
        }
    }
}

impl Broken {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(piece) = self.content.next() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(link) = &self.link {
            ready!(link.poll_flushed(cx));
        }
        self.fault.prepare(self.link.as_deref());
        Poll::Ready(Some(Err(self.fault)))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let piece = ready!(self.source.poll_piece(cx));
        // Released before hyper writes the last byte: see the module `stats`.
        if self.is_end_stream() || !matches!(piece, Some(Ok(_))) {
            self.in_flight = None;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Whole(_) | Source::Broken(_) => false,
            Source::Content(content) => content.remaining() == 0,
            Source::Paced(pacing) => pacing.paced.content.remaining() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Content(content) => SizeHint::with_exact(content.remaining()),
            Source::Paced(pacing) if pacing.paced.sized => {
                SizeHint::with_exact(pacing.paced.content.remaining())
            }
            Source::Paced(_) => SizeHint::default(),
            Source::Broken(broken) => SizeHint::with_exact(broken.declared),
        }
    }
}
