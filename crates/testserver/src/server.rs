//! The server: listeners, threads, connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Hosts, StartError, TlsFault};
use crate::connection::{Responder, Site};
use crate::stats::{HostStats, Stats};
use crate::tls::Identity;
use crate::wire::{Link, Socket, Wire};

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    ca_pem: String,
    site: Arc<Site>,
    workers: Vec<Worker>,
}

impl Server {
    /// Listens and starts the threads. When this returns, connections are accepted.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the configuration is out of range, a port is taken, or a thread does not start.
    pub fn start(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let identity = match config.tls_port {
            Some(_) => Some(Identity::new(config.host, config.tls_fault)?),
            None => None,
        };
        let (plain, plain_port) = listen(&config, config.port)?;
        let (secure, tls_port) = match config.tls_port {
            Some(port) => listen(&config, port).map(|(listeners, port)| (listeners, Some(port)))?,
            None => (Vec::new(), None),
        };
        let mut server = Self {
            addr: SocketAddr::new(config.host, plain_port),
            tls_addr: tls_port.map(|port| SocketAddr::new(config.host, port)),
            ca_pem: identity.as_ref().map(|identity| identity.ca_pem.clone()).unwrap_or_default(),
            site: Arc::new(Site::new(config.profile)),
            workers: Vec::with_capacity(config.threads),
        };
        let tls = identity
            .map(|identity| Tls { acceptor: TlsAcceptor::from(identity.config), fault: config.tls_fault });
        let mut secure = secure.into_iter();
        for (number, listener) in plain.into_iter().enumerate() {
            let mut ports = vec![Port::new(listener, None, config.hosts, &server.site)];
            if let (Some(listener), Some(tls)) = (secure.next(), &tls) {
                ports.push(Port::new(listener, Some(tls.clone()), config.hosts, &server.site));
            }
            server.workers.push(Worker::start(number, ports).map_err(StartError::Thread)?);
        }
        Ok(server)
    }

    /// The address for HTTP/1.1 and h2c.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address for TLS, unless it was left out.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// The throw-away CA's certificate in PEM; empty without a TLS port.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The https URL of a path, unless TLS was left out: by the name `localhost` where that is 127.0.0.1.
    pub fn tls_url(&self, path: &str) -> Option<String> {
        self.tls_addr.map(|addr| match addr.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => format!("https://localhost:{}{path}", addr.port()),
            _ => format!("https://{addr}{path}"),
        })
    }

    /// The counters of this moment.
    pub fn stats(&self) -> Stats {
        self.site.counters.snapshot()
    }

    /// The counters of every host asked for, sorted by name.
    pub fn host_stats(&self) -> Vec<HostStats> {
        self.site.counters.hosts()
    }

    /// Closes listeners and connections, and waits for the threads to end. Idempotent.
    pub fn stop(&mut self) {
        // All are told before the first is waited for: dropping a worker waits for its thread.
        for worker in &mut self.workers {
            worker.stop.take();
        }
        self.workers.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One listener a thread for a port. Linux spreads connections over listeners that share a port; elsewhere the
/// threads share one listener.
fn listen(config: &Config, port: u16) -> Result<(Vec<StdListener>, u16), StartError> {
    let ip = match config.hosts {
        Hosts::One => config.host,
        Hosts::AllLoopback => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let spread = config.threads > 1 && cfg!(target_os = "linux");
    let bind = |port| {
        let addr = SocketAddr::new(ip, port);
        bind(addr, spread, config.hosts).map_err(|source| StartError::Bind { addr, source })
    };
    let first = bind(port)?;
    let port = first.local_addr().map_err(StartError::Thread)?.port();
    let mut listeners = Vec::with_capacity(config.threads);
    for _ in 1..config.threads {
        listeners.push(if spread { bind(port)? } else { first.try_clone().map_err(StartError::Thread)? });
    }
    listeners.push(first);
    Ok((listeners, port))
}

fn bind(addr: SocketAddr, spread: bool, hosts: Hosts) -> io::Result<StdListener> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows this option would let two servers take the same port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(spread)?;
    #[cfg(not(target_os = "linux"))]
    let _ = spread;
    // Nothing that comes in over a network card can reach a socket that belongs to the loopback device.
    #[cfg(target_os = "linux")]
    if hosts == Hosts::AllLoopback {
        socket.bind_device(Some(b"lo"))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = hosts;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A thread with an event loop of its own. Dropping it stops it and waits.
#[derive(Debug)]
struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(number: usize, ports: Vec<Port>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("testserver-{number}"))
            .spawn(move || run(ports, stopped, &ready))?;
        let worker = Self { stop: Some(stop), thread: Some(thread) };
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Serves until told to stop: dropping the runtime then drops listeners and connections.
fn run(ports: Vec<Port>, stopped: oneshot::Receiver<()>, ready: &mpsc::Sender<io::Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let started = ports.into_iter().try_for_each(Port::serve);
        let failed = started.is_err();
        let _ = ready.send(started);
        if !failed {
            // An error means that the sender was dropped, which says the same.
            let _ = stopped.await;
        }
    });
}

#[derive(Clone)]
struct Tls {
    acceptor: TlsAcceptor,
    fault: Option<TlsFault>,
}

/// One listener and what its connections need.
struct Port {
    listener: StdListener,
    hosts: Hosts,
    door: Arc<Door>,
}

impl Port {
    fn new(listener: StdListener, tls: Option<Tls>, hosts: Hosts, site: &Arc<Site>) -> Self {
        let protocol = auto::Builder::new(TokioExecutor::new());
        Self { listener, hosts, door: Arc::new(Door { protocol, tls, site: Arc::clone(site) }) }
    }

    fn serve(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        tokio::spawn(accept(listener, self.hosts, self.door));
        Ok(())
    }
}

async fn accept(listener: TcpListener, hosts: Hosts, door: Arc<Door>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if hosts == Hosts::AllLoopback && !is_local(&stream) => {
                door.site.counters.refused_off_loopback();
                let _ = stream.set_zero_linger();
            }
            Ok((stream, peer)) => {
                tokio::spawn(Arc::clone(&door).enter(stream, peer));
            }
            // The client has already gone, or file descriptors have run out: those come back with time.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn is_local(stream: &TcpStream) -> bool {
    stream.local_addr().is_ok_and(|addr| addr.ip().is_loopback())
}

/// What every connection of a port goes through.
struct Door {
    protocol: auto::Builder<TokioExecutor>,
    tls: Option<Tls>,
    site: Arc<Site>,
}

impl Door {
    async fn enter(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _open = self.site.counters.connected();
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match &self.tls {
            None => self.serve(stream, peer).await,
            Some(Tls { fault: Some(TlsFault::Eof), .. }) => answer_with_eof(stream).await,
            Some(Tls { fault: Some(TlsFault::Stall), .. }) => stall(stream).await,
            Some(Tls { acceptor, .. }) => match acceptor.accept(stream).await {
                Ok(stream) => {
                    let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                    self.site.counters.tls_completed(resumed);
                    self.serve(stream, peer).await;
                }
                Err(_) => self.site.counters.tls_failed(),
            },
        }
    }

    async fn serve<S: Socket + Send + 'static>(&self, socket: S, peer: SocketAddr) {
        let link = Arc::new(Link::default());
        let wire = TokioIo::new(Wire::new(socket, Arc::clone(&link)));
        let responder = Responder::new(Arc::clone(&self.site), link, peer);
        // Errors here are the client's going away, or the faults it asked for.
        let _ = self.protocol.serve_connection(wire, responder).await;
    }
}

/// Reads the client's first bytes, so that closing sends FIN and not RST, and closes.
async fn answer_with_eof(mut stream: TcpStream) {
    let _ = stream.read_buf(&mut Vec::with_capacity(16 * 1024)).await;
}

/// Reads, and never answers, until the client goes.
async fn stall(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(1024);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        buffer.clear();
    }
}
