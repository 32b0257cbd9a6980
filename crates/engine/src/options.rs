//! Every option of the engine, with its default. The Python side holds the same names and the same defaults
//! (a contract test proves them equal) and sends them whole.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::error::ConfigError;

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

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Further attempts after the first.
    pub total: u32,
    /// Statuses that are tried again.
    pub statuses: Vec<u16>,
    /// Methods that may be repeated.
    pub methods: Vec<Method>,
    /// The first wait; doubles with each attempt.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// The part of each wait that is random, from 0 to 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            total: 2,
            statuses: vec![408, 429, 500, 502, 503, 504],
            methods: vec![
                Method::GET,
                Method::HEAD,
                Method::OPTIONS,
                Method::PUT,
                Method::DELETE,
                Method::TRACE,
            ],
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            jitter: 1.0,
        }
    }
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The system's roots; Mozilla's list where the system has none.
    #[default]
    System,
    /// Anyone. Only ever the user's own words.
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

/// All that an engine is told when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Requests in flight, all hosts.
    pub concurrency: u32,
    /// Requests in flight to one host.
    pub concurrency_per_host: u32,
    /// Limits of one attempt.
    pub timeout: Timeouts,
    /// Limit of one request with all its attempts.
    pub deadline: Option<Duration>,
    /// When to try again.
    pub retries: RetryPolicy,
    /// Whether a redirect is followed.
    pub follow_redirects: bool,
    /// The most hops of one request.
    pub max_redirects: u32,
    /// Whom to trust.
    pub verify: Verify,
    /// Which HTTP version.
    pub http2: Http2,
    /// The largest body, decoded, in bytes.
    pub max_body_size: u64,
    /// What to do with a larger one.
    pub on_oversize: OnOversize,
    /// Headers of every request; a request's own win.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Query parameters of every request, already encoded.
    pub params: Option<String>,
    /// Bytes that may wait for the consumer before no further request is started.
    pub max_buffer: u64,
    /// Threads; 0 means one per core this process may use.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 256,
            concurrency_per_host: 10,
            timeout: Timeouts::default(),
            deadline: None,
            retries: RetryPolicy::default(),
            follow_redirects: true,
            max_redirects: 10,
            verify: Verify::default(),
            http2: Http2::default(),
            max_body_size: 64 << 20,
            on_oversize: OnOversize::default(),
            headers: Vec::new(),
            params: None,
            max_buffer: 64 << 20,
            threads: 0,
        }
    }
}

impl Options {
    /// Checks what can be checked without I/O.
    ///
    /// # Errors
    /// The first option whose value cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |option, reason: &str| Err(ConfigError { option, reason: reason.to_owned() });
        if self.concurrency == 0 {
            return fail("concurrency", "must be at least 1");
        }
        if self.concurrency_per_host == 0 {
            return fail("concurrency_per_host", "must be at least 1");
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
        let options = Options { concurrency: 0, ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("concurrency"));
        let options = Options { concurrency_per_host: 0, ..Options::default() };
        assert_eq!(options.validate().map_err(|e| e.option), Err("concurrency_per_host"));
    }

    #[test]
    fn jitter_is_a_share() {
        let mut options = Options::default();
        options.retries.jitter = 1.5;
        assert_eq!(options.validate().map_err(|e| e.option), Err("retries.jitter"));
    }
}
