//! Where the requests of a job wait while its consumer is far behind.

use std::sync::Arc;

use tokio::sync::Notify;

use super::JobState;

/// One shard's gate of one job.
pub(crate) struct Gate {
    job: Arc<JobState>,
    opened: Notify,
}

impl Gate {
    pub(crate) fn new(job: Arc<JobState>) -> Self {
        Self { job, opened: Notify::new() }
    }

    /// The job.
    pub(crate) fn job(&self) -> &Arc<JobState> {
        &self.job
    }

    /// Whether reading has to stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.job.must_stop_reading()
    }

    /// Waits until reading may continue.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn passed(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            // Registered before the check: an opening in between is not missed.
            opened.as_mut().enable();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }

    /// The consumer has caught up, or there is another reason to look again.
    pub(crate) fn open(&self) {
        self.opened.notify_waiters();
    }
}
