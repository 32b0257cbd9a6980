//! A job: one stream of requests in, one stream of batches out. This folder holds what shards and consumer share, the
//! batches that pass between them, and the statistics.

mod batch;
mod bodies;
mod bottleneck;
mod buffer;
mod disk;
mod gate;
mod kept;
mod ledger;
mod look_ahead;
mod state;
mod stats;
mod throttled;

pub(crate) use batch::Draft;
pub use batch::{Batch, Extra, OwnedRow, Row, RowView};
pub(crate) use bodies::{Claim, FREE};
pub use bottleneck::Bottleneck;
pub(crate) use bottleneck::Look;
pub(crate) use gate::Gate;
pub(crate) use kept::Kept;
pub(crate) use ledger::Ledger;
pub(crate) use look_ahead::Load;
pub(crate) use state::JobState;
pub use state::Next;
pub use stats::{Latencies, Phases, Stats};
pub use throttled::ThrottledHost;
use throttled::ThrottledHosts;

/// What the rows of a job keep of what came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeps {
    /// Their bytes as sent and received.
    pub(crate) exchanges: bool,
    /// The content codings of their bodies.
    pub(crate) codings: bool,
}
