//! Every option of the engine, with its default. The Python side has the same names and the same defaults (a contract
//! test proves them equal) and sends all of them.

mod method;
mod proxies;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use crate::error::ConfigError;
use method::idempotent_methods;
pub use method::{IDEMPOTENT_METHODS, is_idempotent};
pub use proxies::{HostPattern, Pattern, Proxy, ProxyId, ProxyKind, Routes, Rule};

/// Limits on the time of ONE attempt, from the moment a slot is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole attempt, to the last byte of the body.
    pub total: Option<Duration>,
    /// Name, TCP and TLS together.
    pub connect: Option<Duration>,
    /// From the request sent to the response's first byte.
    pub first_byte: Option<Duration>,
    /// Between two reads of the body.
    pub read: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { total: Some(Duration::from_secs(30)), connect: None, first_byte: None, read: None }
    }
}

/// How many requests may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// This many.
    Fixed(u32),
    /// As many as the servers can take, found by trying.
    Auto,
}

/// A rate: `count` requests in each span of `per`, evenly spaced, of which `burst` may go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub count: u32,
    /// The span.
    pub per: Duration,
    /// How many may go at once after a pause; 1 allows no burst.
    pub burst: u32,
}

/// How fast requests may follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateLimit {
    /// As fast as the other limits allow.
    #[default]
    Unlimited,
    /// At this rate.
    Fixed(Rate),
    /// At the rate that the host can take, found from its responses.
    Auto,
}

impl RateLimit {
    fn is_valid(self) -> bool {
        match self {
            Self::Fixed(rate) => rate.count > 0 && rate.burst > 0 && !rate.per.is_zero(),
            Self::Unlimited | Self::Auto => true,
        }
    }
}

/// Which requests share the limits of one host, and what is learned about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitBy {
    /// Those to one host name.
    #[default]
    Host,
    /// Those to one registrable domain: `example.com` with all names below it.
    Domain,
    /// Those to one IP address.
    Ip,
}

/// Limits of some hosts where they differ from the general ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight.
    pub concurrency: Option<Concurrency>,
    /// Requests over time.
    pub rate_limit: Option<RateLimit>,
    /// The hosts that they are for have them together, not each for itself.
    pub shared: bool,
}

/// Which refused requests are tried again: no server has worked on a request that it refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refused {
    /// All.
    #[default]
    Any,
    /// Those whose method may be repeated.
    Idempotent,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub total: u32,
    /// Statuses that are retried.
    pub statuses: Vec<u16>,
    /// Methods that may be retried.
    pub methods: Vec<Method>,
    /// The first wait; doubles with each attempt.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// The part of each wait that is random, from 0 to 1.
    pub jitter: f64,
    /// Whether nothing is sent to a host before the end of its `Retry-After`.
    pub respect_retry_after: bool,
    /// The longest such wait.
    pub max_retry_after: Duration,
    /// How long a request that its host refuses is tried again, from the first refusal on; None: a refusal is an
    /// attempt like any other.
    pub patience: Option<Duration>,
    /// Which refused requests are tried again.
    pub refused: Refused,
    /// How often a host that is down is asked again, once nothing else is left to do, before the requests that
    /// wait for it are given up.
    pub rounds: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            total: 2,
            statuses: vec![408, 425, 429, 500, 502, 503, 504],
            methods: idempotent_methods(),
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            jitter: 1.0,
            respect_retry_after: true,
            max_retry_after: Duration::from_secs(120),
            patience: Some(Duration::from_secs(15 * 60)),
            refused: Refused::Any,
            rounds: 6,
        }
    }
}

/// Which certificates to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The system's roots; Mozilla's list where the system has none.
    #[default]
    System,
    /// Any certificate. Only if the user says so explicitly.
    Nobody,
    /// Only the certificates of this PEM file.
    Bundle(PathBuf),
}

/// Which HTTP version to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// By ALPN over TLS; HTTP/1.1 in the clear.
    #[default]
    Auto,
    /// HTTP/2 only, with prior knowledge in the clear.
    Always,
    /// HTTP/1.1 only.
    Never,
}

/// What to do with a body over `max_body_size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOversize {
    /// The row fails with `too_large.*`.
    #[default]
    Error,
    /// The row keeps the prefix and is marked.
    Truncate,
}

/// What redirects may take to another origin, beyond headers that say nothing of the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepOnRedirect {
    /// Headers of the caller.
    pub headers: Vec<HeaderName>,
    /// The body.
    pub body: bool,
}

/// All options of an engine.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // Each is an option of its own; they are no states of one thing.
pub struct Options {
    /// Requests in flight, all hosts.
    pub concurrency: Concurrency,
    /// Requests in flight to one host.
    pub concurrency_per_host: Concurrency,
    /// Requests over time, all hosts.
    pub rate_limit: RateLimit,
    /// Requests over time to one host.
    pub rate_limit_per_host: RateLimit,
    /// Which requests count together against the limits of one host.
    pub limit_by: LimitBy,
    /// Limits by host name, as a parsed URL has it; with `*.` in front, of every name below. Several names are separated
    /// by commas. No name occurs twice.
    pub hosts: Vec<(Box<str>, Limits)>,
    /// Whether robots.txt is fetched and obeyed.
    pub robots: bool,
    /// Limits of one attempt.
    pub timeout: Timeouts,
    /// Limit of one request with all its attempts.
    pub deadline: Option<Duration>,
    /// When to retry.
    pub retries: RetryPolicy,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// The most hops of one request.
    pub max_redirects: u32,
    /// What they may take to another origin.
    pub keep_on_redirect: KeepOnRedirect,
    /// Whether nothing is sent in the clear.
    pub https_only: bool,
    /// Whether only addresses of the public internet are connected to.
    pub block_private: bool,
    /// Networks that are connected to all the same.
    pub allow_private: Vec<IpNet>,
    /// Which requests go through which proxies.
    pub routes: Routes,
    /// Which certificates to trust.
    pub verify: Verify,
    /// Which HTTP version.
    pub http2: Http2,
    /// The largest body, decoded, in bytes.
    pub max_body_size: u64,
    /// What to do with a larger one.
    pub on_oversize: OnOversize,
    /// Whether content codings that were asked for are undone.
    pub decode_content: bool,
    /// Whether responses that break the rules of HTTP in ways that browsers tolerate are refused.
    pub strict: bool,
    /// Headers of every request; a request's own win.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Query parameters of every request, already encoded.
    pub params: Option<String>,
    /// Bytes that bodies in flight and rows that wait for the consumer may take; beyond that no further request is
    /// started, and large bodies are read in turn.
    pub max_buffer: u64,
    /// Threads; 0 means one per core this process may use.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::Fixed(256),
            concurrency_per_host: Concurrency::Fixed(10),
            rate_limit: RateLimit::Unlimited,
            rate_limit_per_host: RateLimit::Unlimited,
            limit_by: LimitBy::default(),
            hosts: Vec::new(),
            robots: false,
            timeout: Timeouts::default(),
            deadline: None,
            retries: RetryPolicy::default(),
            follow_redirects: true,
            max_redirects: 10,
            keep_on_redirect: KeepOnRedirect::default(),
            https_only: false,
            block_private: false,
            allow_private: Vec::new(),
            routes: Routes::default(),
            verify: Verify::default(),
            http2: Http2::default(),
            max_body_size: 64 << 20,
            on_oversize: OnOversize::default(),
            decode_content: true,
            strict: false,
            headers: Vec::new(),
            params: None,
            max_buffer: 64 << 20,
            threads: 0,
        }
    }
}

const NO_RATE: &str = "must allow at least one request, in a time above 0";

impl Options {
    /// Checks what can be checked without I/O.
    ///
    /// # Errors
    /// The first option whose value cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |option, reason: &str| Err(ConfigError { option, reason: reason.to_owned() });
        if self.concurrency == Concurrency::Fixed(0) {
            return fail("concurrency", "must be at least 1");
        }
        if self.concurrency_per_host == Concurrency::Fixed(0) {
            return fail("concurrency_per_host", "must be at least 1");
        }
        if !self.rate_limit.is_valid() {
            return fail("rate_limit", NO_RATE);
        }
        if !self.rate_limit_per_host.is_valid() {
            return fail("rate_limit_per_host", NO_RATE);
        }
        for (_, limits) in &self.hosts {
            let rate = limits.rate_limit.unwrap_or_default();
            if limits.concurrency == Some(Concurrency::Fixed(0)) || !rate.is_valid() {
                return fail("hosts", "a limit must be above 0");
            }
        }
        if self.max_buffer == 0 {
            return fail("max_buffer", "must be at least 1 byte");
        }
        if !(0.0..=1.0).contains(&self.retries.jitter) {
            return fail("retries.jitter", "must be between 0 and 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn zero_is_no_concurrency() {
        let options = Options { concurrency: Concurrency::Fixed(0), ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("concurrency"));
        let options = Options { concurrency_per_host: Concurrency::Fixed(0), ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("concurrency_per_host"));
    }

    #[test]
    fn a_rate_needs_requests_and_time() {
        let rate = Rate { count: 0, per: Duration::from_secs(1), burst: 1 };
        let options = Options { rate_limit: RateLimit::Fixed(rate), ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("rate_limit"));
        let limits = Limits { rate_limit: Some(RateLimit::Fixed(rate)), ..Limits::default() };
        let options = Options { hosts: vec![("a".into(), limits)], ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("hosts"));
    }

    #[test]
    fn jitter_is_a_share() {
        let mut options = Options::default();
        options.retries.jitter = 1.5;
        assert_eq!(options.validate().map_err(|e| e.option), Err("retries.jitter"));
    }
}
