//! The way to an origin through a proxy: a connection to the proxy, and a tunnel where one is needed.

use std::net::IpAddr;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error as SocksError, TargetAddr};

use super::dns::Resolver;
use super::guard::Guard;
use super::tcp;
use crate::error::{Code, Failure};
use crate::options::{Proxy, ProxyKind};
use crate::request::{Target, basic};

/// The longest head of an answer to CONNECT.
const MOST_HEAD: usize = 16 << 10;

/// Opens TCP to a proxy. No guard is asked: the caller named it.
///
/// # Errors
/// `proxy.refused`, `proxy.timeout`; `local.*`.
///
/// # Cancel safety
/// If it is dropped midway, nothing stays open.
pub(super) async fn reach(proxy: &Proxy, resolver: &Resolver) -> Result<TcpStream, Failure> {
    let addresses = match proxy.host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => resolver.lookup(&proxy.host).await.map_err(|failure| of_proxy(proxy, failure))?.to_vec(),
    };
    let open = Guard::new(false, &[]);
    tcp::dial(&addresses, proxy.port, &open).await.map_err(|failure| of_proxy(proxy, failure))
}

/// A failure on the way to the proxy is not one of the origin. What this machine lacks stays what it is.
pub(super) fn of_proxy(proxy: &Proxy, failure: Failure) -> Failure {
    let code = match failure.code {
        Code::LocalFds | Code::LocalPorts => return failure,
        Code::TimeoutConnect | Code::TimeoutDns | Code::TimeoutTls => Code::ProxyTimeout,
        code if code.class() == "tls" => Code::ProxyTls,
        _ => Code::ProxyRefused,
    };
    Failure::new(code, format!("{proxy}: {}", failure.detail))
}

/// Asks an HTTP proxy for a tunnel to the origin of `target`.
///
/// # Errors
/// `proxy.auth` (407), `proxy.connect_status` (any other than 2xx), `proxy.refused`: the connection ended, or what came
/// is no answer.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    proxy: &Proxy,
    target: &Target,
) -> Result<(), Failure> {
    let authority = match target.host() {
        host if host.contains(':') => format!("[{host}]:{}", target.port()),
        host => format!("{host}:{}", target.port()),
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    request.extend_from_slice(&lines(proxy));
    request.extend_from_slice(b"\r\n");
    let broken = |error: std::io::Error| refused(proxy, &error.to_string());
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut head = Vec::new();
    loop {
        let mut buffer = [0; 2048];
        let read = stream.read(&mut buffer).await.map_err(broken)?;
        if read == 0 {
            return Err(refused(proxy, "it closed the connection instead of answering CONNECT"));
        }
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
        match answered(&head) {
            Answer::Opened => return Ok(()),
            Answer::Interim(length) => drop(head.drain(..length)),
            Answer::Refused(407) => {
                let wants = if proxy.credentials.is_some() { "other credentials" } else { "credentials" };
                return Err(Failure::new(Code::ProxyAuth, format!("{proxy} asks for {wants} (407)")));
            }
            Answer::Refused(status) => {
                let status =
                    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |s| s.to_string());
                let detail = format!("{proxy} opened no tunnel to {authority}: {status}");
                return Err(Failure::new(Code::ProxyConnectStatus, detail));
            }
            Answer::Unfinished if head.len() < MOST_HEAD => {}
            Answer::Unfinished | Answer::Invalid => {
                return Err(refused(proxy, "what it answered to CONNECT is not HTTP"));
            }
        }
    }
}

/// The lines with which a request is allowed to use an HTTP proxy.
pub(crate) fn lines(proxy: &Proxy) -> Vec<u8> {
    let value = proxy.credentials.as_ref().and_then(|(user, password)| basic(user, password));
    value.map_or_else(Vec::new, |value| [b"proxy-authorization: ", value.as_bytes(), b"\r\n"].concat())
}

fn refused(proxy: &Proxy, why: &str) -> Failure {
    Failure::new(Code::ProxyRefused, format!("{proxy}: {why}"))
}

/// The answer to CONNECT, as far as it was received.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The tunnel is open.
    Opened,
    /// It is not.
    Refused(u16),
    /// An interim answer of so many bytes.
    Interim(usize),
    Unfinished,
    Invalid,
}

fn answered(head: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match (response.parse(head), response.code) {
        (Ok(httparse::Status::Complete(length)), Some(status)) => match status {
            100..200 => Answer::Interim(length),
            // The tunnel is silent until the client speaks. Source: RFC 9110, section 9.3.6.
            200..300 if length == head.len() => Answer::Opened,
            200..300 => Answer::Invalid,
            _ => Answer::Refused(status),
        },
        (Ok(httparse::Status::Partial), _) => Answer::Unfinished,
        _ => Answer::Invalid,
    }
}

/// Asks a SOCKS proxy for a connection to the origin of `target`. With `socks5` its name is resolved here, and one of the
/// addresses that `guard` admits is asked for.
///
/// # Errors
/// `proxy.auth`, `proxy.refused`; `connect.*`: what the proxy says of the origin; `dns.*`, `blocked.address`.
pub(super) async fn socks(
    stream: TcpStream,
    proxy: &Proxy,
    target: &Target,
    resolver: &Resolver,
    guard: &Guard,
) -> Result<TcpStream, Failure> {
    let address = match (target.host().parse::<IpAddr>(), proxy.kind) {
        (Ok(address), _) => Some(address),
        (Err(_), ProxyKind::Socks5) => {
            let addresses = resolver.lookup(target.host()).await?;
            let admitted = guard.admit(&addresses)?;
            // One is asked for, and more proxies reach IPv4.
            admitted.iter().find(|address| address.is_ipv4()).or(admitted.first()).copied()
        }
        (Err(_), _) => None,
    };
    let place = match address {
        Some(address) => TargetAddr::Ip((address, target.port()).into()),
        None => TargetAddr::Domain(target.host().into(), target.port()),
    };
    let opened = match &proxy.credentials {
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, place, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, place).await,
    };
    opened.map(Socks5Stream::into_inner).map_err(|error| socks_failure(proxy, &error))
}

fn socks_failure(proxy: &Proxy, error: &SocksError) -> Failure {
    let code = match error {
        SocksError::PasswordAuthFailure(_)
        | SocksError::AuthorizationRequired
        | SocksError::NoAcceptableAuthMethods
        | SocksError::UnknownAuthMethod => Code::ProxyAuth,
        SocksError::ConnectionRefused => Code::ConnectRefused,
        SocksError::NetworkUnreachable | SocksError::HostUnreachable | SocksError::TtlExpired => {
            Code::ConnectUnreachable
        }
        SocksError::ConnectionNotAllowedByRuleset => Code::ProxyConnectStatus,
        _ => Code::ProxyRefused,
    };
    Failure::new(code, format!("{proxy}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_connect_opens_the_tunnel_or_says_why_not() {
        for (head, expected) in [
            (&b"HTTP/1.1 200 Connection established\r\n\r\n"[..], Answer::Opened),
            (b"HTTP/1.0 200 OK\r\nproxy-agent: x\r\n\r\n", Answer::Opened),
            (b"HTTP/1.1 200\r\n\r\n", Answer::Opened),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP", Answer::Interim(25)),
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\nbody", Answer::Refused(407)),
            (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\n", Answer::Refused(503)),
            (b"HTTP/1.1 200 OK\r\n\r\nearly", Answer::Invalid),
            (b"HTTP/1.1 20", Answer::Unfinished),
            (b"", Answer::Unfinished),
            (b"SSH-2.0-x\r\n", Answer::Invalid),
        ] {
            assert_eq!(answered(head), expected, "{}", String::from_utf8_lossy(head));
        }
    }
}
