//! Requests that must not be sent twice are on record while a server may have worked on them.

use super::{Course, Flight};
use crate::options::is_idempotent;
use crate::outcome::{AttemptEnd, Outcome};

impl Flight {
    /// Whether it may be sent. A request that must not be sent twice is recorded first; once, however often it is
    /// tried, unless it was struck out meanwhile.
    ///
    /// False: it could not be recorded, and its job starts nothing more.
    pub(in crate::shard) async fn is_on_record(&self) -> bool {
        let Some(ledger) = &self.job.state.ledger else { return true };
        if self.noted.get() || is_idempotent(self.request.method()) {
            return true;
        }
        let noted = ledger.note(self.asked().index).await;
        self.noted.set(noted);
        if !noted {
            self.job.state.stop();
        }
        noted
    }

    /// It waits for its next attempt: as long as nobody can have worked on it, it is not on record. A run that is killed
    /// sends it again.
    pub(super) fn settle_record(&self, outcome: &Outcome) {
        let Some(ledger) = &self.job.state.ledger else { return };
        let is_untouched = |end| matches!(end, AttemptEnd::Unsent | AttemptEnd::Refused);
        let was_untouched = |course: &Course| {
            course.hops.is_empty() && course.earlier.iter().all(|attempt| is_untouched(attempt.end))
        };
        if is_untouched(outcome.end)
            && self.course.as_deref().is_none_or(was_untouched)
            && self.noted.replace(false)
        {
            ledger.strike_out(self.asked().index);
        }
    }
}
