//! The configuration of a server, and why it may fail to start.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How the server listens and responds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; it must be loopback.
    pub host: IpAddr,
    /// The loopback addresses to serve.
    pub hosts: Hosts,
    /// The port for HTTP/1.1 and h2c; 0 lets the system choose.
    pub port: u16,
    /// The port for TLS; 0 lets the system choose, `None` leaves TLS out.
    pub tls_port: Option<u16>,
    /// What is wrong with the TLS port, if anything.
    pub tls_fault: Option<TlsFault>,
    /// Delays and errors applied to every response.
    pub profile: Profile,
    /// What `/robots.txt` says; `None`: 404.
    pub robots: Option<Robots>,
    /// Its content for hosts where that differs, by the Host header without its port.
    pub robots_by_host: HashMap<String, Robots>,
    /// Server threads, each with its own share of the connections; 1 to 64.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hosts: Hosts::One,
            port: 0,
            tls_port: Some(0),
            tls_fault: None,
            profile: Profile::default(),
            robots: None,
            robots_by_host: HashMap::new(),
            threads: 1,
        }
    }
}

impl Config {
    /// Checks every value.
    pub(crate) fn validate(&self) -> Result<(), StartError> {
        if !self.host.is_loopback() {
            return Err(invalid("host", &self.host, "a loopback address"));
        }
        if self.hosts == Hosts::AllLoopback && !self.host.is_ipv4() {
            return Err(invalid("host", &self.host, "an address of 127.0.0.0/8 with Hosts::AllLoopback"));
        }
        if !(1..=64).contains(&self.threads) {
            return Err(invalid("threads", &self.threads, "1 to 64"));
        }
        self.robots.iter().chain(self.robots_by_host.values()).try_for_each(Robots::validate)?;
        self.profile.validate()
    }
}

/// The response to `/robots.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Robots {
    /// 200 and this text.
    Text(String),
    /// This status, 200 to 999, and a short text that is not a rule.
    Status(u16),
}

impl Robots {
    fn validate(&self) -> Result<(), StartError> {
        match self {
            Self::Status(status) if !(200..=999).contains(status) => {
                Err(invalid("robots", status, "a text, or a status from 200 to 999"))
            }
            _ => Ok(()),
        }
    }
}

impl From<&str> for Robots {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Robots {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The loopback addresses to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hosts {
    /// Only [`Config::host`].
    #[default]
    One,
    /// Every address of 127.0.0.0/8, so that one server acts as many hosts.
    ///
    /// No single address covers that range, so the socket is bound to 0.0.0.0; on Linux also to the loopback device,
    /// which no other machine can reach. A connection whose local address lies outside 127.0.0.0/8 is reset when it
    /// is accepted, before a byte is read or written.
    AllLoopback,
}

/// Delays and errors applied to every response, from a generator with a fixed seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Time before every response.
    pub latency: Duration,
    /// Up to this much more, uniformly distributed.
    pub jitter: Duration,
    /// Share of requests answered with `error_status`, 0.0 to 1.0.
    pub error_rate: f64,
    /// The status of those responses, 200 to 999.
    pub error_status: u16,
    /// Share of requests whose connection (HTTP/2: stream) is reset, 0.0 to 1.0.
    pub reset_rate: f64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            error_rate: 0.0,
            error_status: 503,
            reset_rate: 0.0,
        }
    }
}

impl Profile {
    fn validate(&self) -> Result<(), StartError> {
        for (option, rate) in [("error_rate", self.error_rate), ("reset_rate", self.reset_rate)] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(invalid(option, &rate, "0.0 to 1.0"));
            }
        }
        if !(200..=999).contains(&self.error_status) {
            return Err(invalid("error_status", &self.error_status, "200 to 999"));
        }
        Ok(())
    }
}

/// What is wrong with the TLS port. The CA of [`crate::Server::ca_pem`] is valid in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate expired in 2001.
    Expired,
    /// The certificate is for `wrong.invalid` only.
    WrongName,
    /// The certificate is self-signed.
    SelfSigned,
    /// The certificate is signed by a CA that is not published.
    UnknownCa,
    /// The connection is closed in the middle of the handshake.
    Eof,
    /// The server never responds to the handshake.
    Stall,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the configuration is out of range.
    #[error("{option} = {value} is not allowed: it must be {allowed}")]
    Invalid {
        /// The field's name.
        option: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or its event loop did not start.
    #[error("cannot start a server thread: {0}")]
    Thread(#[source] io::Error),
    /// The throw-away certificates could not be created.
    #[error("cannot make the certificates: {0}")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(crate) fn invalid(option: &'static str, value: &impl ToString, allowed: &'static str) -> StartError {
    StartError::Invalid { option, value: value.to_string(), allowed }
}
