//! What is known of a job's bodies while they come, and what becomes of the job when the disk for them fails.

use std::io;

use super::JobState;

impl JobState {
    /// Bytes that have come of large bodies which are still being read.
    pub(crate) fn coming_bytes(&self) -> u64 {
        self.bodies.received()
    }

    /// A body cannot be written: nothing starts any more, and the consumer is told. Called by shards.
    pub(crate) fn fail_on_disk(&self, error: &io::Error) {
        if let Some(folder) = &self.folder {
            folder.fail(error);
            self.stop();
        }
    }
}
