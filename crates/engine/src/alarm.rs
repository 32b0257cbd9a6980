//! A timer for a limit that moves often and is rarely reached.
//!
//! A connection's limit moves with every request. Setting a runtime timer each time would cost more than the rest of
//! the bookkeeping; so the timer stays where it is while the limit only moves away, and is checked again when it
//! fires. Until then a poll costs one atomic load.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use tokio::time::Sleep;

pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    set_to: Option<Instant>,
    bell: Arc<Bell>,
}

/// Woken by the runtime's timer; wakes the task in turn.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { sleep: None, set_to: None, bell: Arc::default() }
    }

    /// Ready once `limit` has passed. The task is woken for it; it may be woken early.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, limit: Option<Instant>) -> Poll<()> {
        let Some(limit) = limit else { return Poll::Pending };
        if self.set_to.is_some_and(|set_to| set_to <= limit) && !self.bell.rang.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if Instant::now() >= limit {
            return Poll::Ready(());
        }
        self.set(cx, limit)
    }

    #[cold]
    fn set(&mut self, cx: &mut Context<'_>, limit: Instant) -> Poll<()> {
        *self.bell.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.bell.rang.store(false, Ordering::SeqCst);
        self.set_to = Some(limit);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(limit.into())));
        sleep.as_mut().reset(limit.into());
        sleep.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.bell))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_limit_wherever_the_limit_moved() {
        let start = tokio::time::Instant::now();
        let mut alarm = Alarm::new();
        let mut limit = start + Duration::from_secs(30);
        let nudge = tokio::time::sleep(Duration::from_secs(10));
        tokio::pin!(nudge);
        let mut nudged = false;
        poll_fn(|cx| {
            if !nudged && nudge.as_mut().poll(cx).is_ready() {
                nudged = true;
                limit = start + Duration::from_secs(50);
            }
            alarm.poll(cx, Some(limit.into_std()))
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_earlier_when_the_limit_moves_closer() {
        let start = tokio::time::Instant::now();
        let mut alarm = Alarm::new();
        let far = start + Duration::from_secs(30);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, Some(far.into_std())))).await.is_pending());
        let near = start + Duration::from_secs(2);
        poll_fn(|cx| alarm.poll(cx, Some(near.into_std()))).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test]
    async fn without_a_limit_it_never_rings() {
        let mut alarm = Alarm::new();
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, None))).await.is_pending());
    }
}
