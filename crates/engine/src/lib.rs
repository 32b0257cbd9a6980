//! The engine of hurtle: sends many HTTP requests at once, as fast as the machine and the hosts allow.
//!
//! It knows no Python. Requests go in by the list ([`Job::submit`]), finished rows come out by the batch
//! ([`Job::next_batch`]). Inside, each thread is a [`shard`] of its own: hosts, connections and queues belong to
//! one thread, and no lock is taken on the way of a request. From the outside in:
//! `engine` > `shard` > `worker` > `dial` > `exchange` > `pool` > `connect` > plain data.

mod alarm;
mod auth;
mod batch;
mod bottleneck;
mod budget;
mod busy;
mod capacity;
mod clock;
mod connect;
mod dial;
mod engine;
mod error;
mod exchange;
mod flight;
mod gate;
mod headers;
mod job;
mod later;
mod ledger;
mod limits;
mod options;
mod outcome;
mod permits;
mod politeness;
mod pool;
mod random;
mod request;
mod retry;
mod router;
mod seat;
mod shard;
mod stats;
mod target;
mod timings;
mod worker;

pub use auth::basic;
pub use batch::{Batch, Extra, OwnedRow, Row, RowView};
pub use bottleneck::Bottleneck;
pub use engine::{Closed, Engine, Job, JobOptions, Progress, StartError};
pub use error::{Code, ConfigError, Failure};
pub use exchange::decode_body;
pub use headers::Headers;
pub use job::Next;
pub use options::{
    Concurrency, Http2, Limits, OnOversize, Options, Rate, RateLimit, RetryPolicy, Timeouts, Verify,
};
pub use outcome::{AttemptRecord, Exchange, Hop, Truncated};
pub use request::{Conditions, Request, Spec, Submission, Twin};
pub use stats::{Latencies, Phases, Stats};
pub use target::host_name;
pub use timings::Timings;
