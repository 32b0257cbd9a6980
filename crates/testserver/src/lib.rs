//! A scripted HTTP server on loopback: fast enough never to be the bottleneck, slow or broken exactly where asked.
//!
//! It answers HTTP/1.1 and h2c (prior knowledge) on one port, and HTTP/1.1 and HTTP/2 by ALPN on a TLS port whose
//! certificate comes from a throw-away CA. The request says what the response will be: `/bytes/1000`, `/delay/50`,
//! `/reset?after=100`; `GET /` lists all of it.
//!
//! ```
//! use hurtle_testserver::{Config, Server};
//!
//! let mut server = Server::start(Config::default())?;
//! assert!(server.url("/bytes/100").starts_with("http://127.0.0.1:"));
//! server.stop();
//! # Ok::<(), hurtle_testserver::StartError>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod connection;
mod content;
mod door;
mod limiter;
mod limits;
mod listen;
mod outage;
mod payload;
mod profile;
mod routes;
mod server;
mod stats;
mod tls;
mod wire;
mod worker;

pub use config::{Config, Hosts, Profile, Robots, StartError, TlsFault};
pub use limits::LimitedStats;
pub use outage::Outage;
pub use server::Server;
pub use stats::{HostStats, Stats};
