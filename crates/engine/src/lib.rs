//! The engine of hurtle: sends many HTTP requests at once, as fast as the machine and the hosts allow.
//!
//! It knows no Python. Requests go in by the list ([`Job::submit`]), finished rows come out by the batch
//! ([`Job::next_batch`]). Inside, each thread is a [`shard`] of its own: hosts, connections and queues belong to one
//! thread, and a request takes no lock. From top to bottom, each layer uses only what is below it:
//! `fuzzing` > `engine` > `shard` > `exchange` > `pool` > `connect` > `job` > `politeness` > `retry` > plain data.

mod alarm;
mod clock;
mod connect;
mod engine;
mod error;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod job;

mod limits;
mod options;
mod outcome;
mod paged;
mod politeness;
mod pool;
mod random;
mod request;
mod retry;
mod shard;
mod spool;
mod timers;
mod timings;

pub use engine::{Closed, Engine, Job, JobOptions, Progress, StartError};
pub use error::{Code, ConfigError, Failure};
pub use exchange::decode_body;
pub use headers::Headers;
pub use job::{
    Batch, Bottleneck, Extra, Latencies, Next, OwnedRow, Phases, Row, RowView, Stats, ThrottledHost,
};
pub use limits::Groups;
pub use options::{
    Concurrency, HostPattern, Http2, IDEMPOTENT_METHODS, KeepOnRedirect, LimitBy, Limits, OnOversize,
    Options, Pattern, Proxy, ProxyId, ProxyKind, Rate, RateLimit, Refused, RetryPolicy, Routes, Rule,
    Timeouts, Verify, is_idempotent,
};
pub use outcome::{AttemptEnd, AttemptRecord, Exchange, Hop, Truncated};
pub use request::{Conditions, Request, Spec, Submission, Twin, basic, host_name};
pub use spool::{BodyFile, Spool};
pub use timings::Timings;
