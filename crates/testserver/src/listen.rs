//! Ports: reserved first, listened on later, so that a server can be down without losing its port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, Hosts, StartError};

/// Connections that wait to be accepted, per listener.
const BACKLOG: i32 = 4096;

/// The address a server listens on, and with how many threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    ip: IpAddr,
    hosts: Hosts,
    threads: usize,
}

impl Place {
    pub(crate) fn new(config: &Config) -> Self {
        let ip = match config.hosts {
            Hosts::One => config.host,
            Hosts::AllLoopback => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        Self { ip, hosts: config.hosts, threads: config.threads }
    }

    /// Reserves a port, or any free one for 0. Nothing is accepted yet: connections are refused.
    ///
    /// Linux spreads connections over listeners that share a port, so each thread gets one there; elsewhere the
    /// threads share one listener.
    ///
    /// # Errors
    ///
    /// [`StartError::Bind`] when the port is taken.
    pub(crate) fn reserve(self, port: u16) -> Result<Reservation, StartError> {
        let spread = self.threads > 1 && cfg!(target_os = "linux");
        let bind = |port| {
            let addr = SocketAddr::new(self.ip, port);
            bind(addr, spread, self.hosts).map_err(|source| StartError::Bind { addr, source })
        };
        let first = bind(port)?;
        let port = local_port(&first).map_err(StartError::Thread)?;
        let mut sockets = vec![first];
        for _ in 1..if spread { self.threads } else { 1 } {
            sockets.push(bind(port)?);
        }
        Ok(Reservation { addr: SocketAddr::new(self.ip, port), sockets, threads: self.threads })
    }
}

/// Sockets that hold a port without listening.
#[derive(Debug)]
pub(crate) struct Reservation {
    addr: SocketAddr,
    sockets: Vec<Socket>,
    threads: usize,
}

impl Reservation {
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Listens; the result has one listener for each thread.
    ///
    /// # Errors
    ///
    /// [`StartError::Bind`] when another program listens on the port by now.
    pub(crate) fn listen(self) -> Result<Vec<TcpListener>, StartError> {
        let Self { addr, sockets, threads } = self;
        let failed = |source| StartError::Bind { addr, source };
        let mut listeners: Vec<TcpListener> = Vec::with_capacity(threads);
        for socket in sockets {
            socket.listen(BACKLOG).map_err(failed)?;
            listeners.push(socket.into());
        }
        while let (true, Some(last)) = (listeners.len() < threads, listeners.last()) {
            let shared = last.try_clone().map_err(failed)?;
            listeners.push(shared);
        }
        Ok(listeners)
    }
}

fn bind(addr: SocketAddr, spread: bool, hosts: Hosts) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows this option would let two servers take the same port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(spread)?;
    #[cfg(not(target_os = "linux"))]
    let _ = spread;
    // Nothing that arrives at a network card can reach a socket that is bound to the loopback device.
    #[cfg(target_os = "linux")]
    if hosts == Hosts::AllLoopback {
        socket.bind_device(Some(b"lo"))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = hosts;
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn local_port(socket: &Socket) -> io::Result<u16> {
    let addr = socket.local_addr()?.as_socket();
    addr.map(|addr| addr.port()).ok_or_else(|| io::Error::other("the socket has no port"))
}
