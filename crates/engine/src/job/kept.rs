//! The memory of bodies that were cut and wait for another attempt: it is bounded, because neither a permit nor the
//! consumer limits how many wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::JobState;

/// The part of `max_buffer` that such bodies may take in all; one of them alone may take all of it.
const PART: u64 = 4;

/// The memory of one such body, given back when dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    job: Arc<JobState>,
    bytes: u64,
}

impl Kept {
    /// None: too many bytes are kept already.
    pub(crate) fn new(job: &Arc<JobState>, bytes: u64) -> Option<Self> {
        let most = job.buffer.max();
        let add = |kept: u64| {
            let sum = kept + bytes;
            (sum <= most / PART || (kept == 0 && sum <= most)).then_some(sum)
        };
        job.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self { job: Arc::clone(job), bytes })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.job.kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
