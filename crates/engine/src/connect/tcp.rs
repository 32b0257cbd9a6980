//! TCP connections: all addresses of a host, tried as RFC 8305 ("happy eyeballs") says.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::slice;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::guard::Guard;
use crate::error::{Code, Failure};

/// How long one address may take before the next is tried in parallel (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// The system's numbers for "no file descriptor is free", in the process and on the machine.
#[cfg(unix)]
const OUT_OF_FILES: [i32; 2] = [24, 23];
#[cfg(windows)]
const OUT_OF_FILES: [i32; 2] = [10024, 4];

/// Connects to the first of `addresses` that answers and that `guard` admits: to no other is a packet sent. Nagle's algorithm is off.
///
/// The next address is tried when one fails, or after 250 ms in parallel with those that have not answered. The
/// caller limits the time.
///
/// # Errors
/// `blocked.address`, `connect.*`, `timeout.connect` when the system gave up, `local.fds`, `local.ports`; of several addresses the most
/// specific failure.
///
/// # Cancel safety
/// Dropping the future closes every attempt.
pub(crate) async fn dial(addresses: &[IpAddr], port: u16, guard: &Guard) -> Result<TcpStream, Failure> {
    let admitted = guard.admit(addresses)?;
    let mut race = Race::new(&admitted, port);
    loop {
        if !race.start_next() && race.running.is_empty() {
            return Err(race.failure());
        }
        let finished = if race.waiting.as_slice().is_empty() {
            Some(race.finished().await)
        } else {
            timeout(STAGGER, race.finished()).await.ok()
        };
        match finished {
            Some(Ok(stream)) => return ready(stream),
            Some(Err(failure)) => race.note(failure)?,
            None => {}
        }
    }
}

fn ready(stream: TcpStream) -> Result<TcpStream, Failure> {
    stream.set_nodelay(true).map_err(|error| classify(&error))?;
    Ok(stream)
}

async fn attempt(address: SocketAddr) -> Result<TcpStream, Failure> {
    TcpStream::connect(address).await.map_err(|error| {
        // Without IPv6 on this machine the system says "no such local address", as it does when ports run out.
        if error.kind() == io::ErrorKind::AddrNotAvailable && address.is_ipv6() && !has_ipv6() {
            return Failure::new(Code::ConnectUnreachable, "this machine has no IPv6");
        }
        classify(&error)
    })
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

type Attempt = Pin<Box<dyn Future<Output = Result<TcpStream, Failure>>>>;

/// The attempts to one host.
struct Race<'a> {
    waiting: slice::Iter<'a, IpAddr>,
    port: u16,
    running: Vec<Attempt>,
    worst: Option<Failure>,
}

impl<'a> Race<'a> {
    fn new(addresses: &'a [IpAddr], port: u16) -> Self {
        Self { waiting: addresses.iter(), port, running: Vec::new(), worst: None }
    }

    /// False when every address has been tried.
    fn start_next(&mut self) -> bool {
        let Some(&address) = self.waiting.next() else { return false };
        self.running.push(Box::pin(attempt(SocketAddr::new(address, self.port))));
        true
    }

    /// Waits for any attempt to end, and removes it.
    async fn finished(&mut self) -> Result<TcpStream, Failure> {
        poll_fn(|context| self.poll_finished(context)).await
    }

    fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<Result<TcpStream, Failure>> {
        for position in 0..self.running.len() {
            let Some(attempt) = self.running.get_mut(position) else { break };
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                drop(self.running.swap_remove(position));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }

    /// Keeps the most specific failure: "no route" (a host with broken IPv6) is less specific than any other. A local
    /// shortage ends the race: it would affect every address.
    fn note(&mut self, failure: Failure) -> Result<(), Failure> {
        if matches!(failure.code, Code::LocalFds | Code::LocalPorts) {
            return Err(failure);
        }
        if self.worst.as_ref().is_none_or(|known| known.code == Code::ConnectUnreachable) {
            self.worst = Some(failure);
        }
        Ok(())
    }

    fn failure(self) -> Failure {
        self.worst.unwrap_or_else(|| Failure::new(Code::ConnectUnreachable, "no address to connect to"))
    }
}

/// Classifies an error of connecting by its kind or number, never by its text.
pub(crate) fn classify(error: &io::Error) -> Failure {
    if error.raw_os_error().is_some_and(|number| OUT_OF_FILES.contains(&number)) {
        return Failure::new(Code::LocalFds, "no file descriptor is free on this machine");
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::new(Code::ConnectRefused, "connection refused"),
        io::ErrorKind::HostUnreachable => Failure::new(Code::ConnectUnreachable, "no route to the host"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Failure::new(Code::ConnectUnreachable, "the network is unreachable")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Failure::new(Code::ConnectReset, "connection reset")
        }
        io::ErrorKind::TimedOut => {
            Failure::new(Code::TimeoutConnect, "the operating system gave up connecting")
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            Failure::new(Code::LocalPorts, "no local port is free on this machine")
        }
        _ => Failure::new(Code::ConnectFailed, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Instant;
    use tokio::net::TcpListener;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn open() -> Guard {
        Guard::new(false, &[])
    }

    fn loopback(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    /// A socket that is bound and does not listen: its port refuses connections, and no other program gets it
    /// meanwhile.
    fn refusing() -> (socket2::Socket, u16) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(HERE, 0).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        (socket, port)
    }

    #[tokio::test]
    async fn connects_without_delay_and_without_nagle() {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = dial(&[HERE], address.port(), &open()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn c1_refused() {
        let (_bound, port) = refusing();
        assert_eq!(dial(&[HERE], port, &open()).await.unwrap_err().code, Code::ConnectRefused);
        assert_eq!(dial(&[], port, &open()).await.unwrap_err().code, Code::ConnectUnreachable);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn d5_the_next_address_is_tried_at_once_when_one_fails() {
        let listener = TcpListener::bind((loopback(3), 0)).await.unwrap();
        let (started, port) = (Instant::now(), listener.local_addr().unwrap().port());
        let stream = dial(&[loopback(1), loopback(2), loopback(3)], port, &open()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), loopback(3));
        assert!(started.elapsed() < STAGGER);
    }

    /// A listener whose queue is full drops further SYNs, like a black hole.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn c2_the_next_address_is_tried_beside_a_silent_one() {
        use socket2::{Domain, Socket, Type};
        let hole = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        hole.bind(&SocketAddr::new(loopback(1), 0).into()).unwrap();
        hole.listen(0).unwrap();
        let full = hole.local_addr().unwrap().as_socket().unwrap();
        let queued: Vec<_> = (0..4)
            .map_while(|_| std::net::TcpStream::connect_timeout(&full, Duration::from_millis(50)).ok())
            .collect();
        assert!(queued.len() < 4, "the queue never fills");
        let _listener = TcpListener::bind((loopback(2), full.port())).await.unwrap();
        let started = Instant::now();
        let stream = dial(&[loopback(1), loopback(2)], full.port(), &open()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), loopback(2));
        assert!(started.elapsed() >= STAGGER, "the first address answered");
    }

    #[cfg(unix)]
    #[test]
    fn errors_are_named_by_number_and_kind() {
        for (number, code) in [
            (24, Code::LocalFds),
            (23, Code::LocalFds),
            (13, Code::ConnectFailed),
            #[cfg(target_os = "linux")]
            (99, Code::LocalPorts),
            #[cfg(target_os = "linux")]
            (101, Code::ConnectUnreachable),
            #[cfg(target_os = "linux")]
            (104, Code::ConnectReset),
            #[cfg(target_os = "linux")]
            (110, Code::TimeoutConnect),
            #[cfg(target_os = "linux")]
            (111, Code::ConnectRefused),
            #[cfg(target_os = "linux")]
            (113, Code::ConnectUnreachable),
        ] {
            assert_eq!(classify(&io::Error::from_raw_os_error(number)).code, code, "{number}");
        }
    }

    #[test]
    fn the_failure_that_says_most_is_kept() {
        let failure = |code| Failure::new(code, "");
        let mut race = Race::new(&[], 0);
        race.note(failure(Code::ConnectUnreachable)).unwrap();
        race.note(failure(Code::ConnectRefused)).unwrap();
        race.note(failure(Code::ConnectUnreachable)).unwrap();
        assert!(race.note(failure(Code::LocalFds)).is_err());
        assert_eq!(race.failure().code, Code::ConnectRefused);
    }
}
