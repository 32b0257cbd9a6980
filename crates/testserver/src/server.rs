//! The server: its ports, its threads, its outages.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_rustls::TlsAcceptor;

use crate::config::{Config, StartError};
use crate::connection::Site;
use crate::door::{Door, Tls};
use crate::limits::LimitedStats;
use crate::listen::{Place, Reservation};
use crate::outage::Outage;
use crate::stats::{HostStats, Stats};
use crate::tls::Identity;
use crate::worker::Worker;

/// A running server. It stops when it is dropped.
pub struct Server {
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    ca_pem: String,
    site: Arc<Site>,
    place: Place,
    /// The plain port's, and then the TLS port's if there is one.
    doors: Vec<Arc<Door>>,
    workers: Vec<Worker>,
    listening: Mutex<Listening>,
}

/// Whether the threads have listeners.
#[derive(Debug)]
enum Listening {
    Open,
    /// The ports are held without listening, in the order of the doors; a missing one could not be reserved again.
    Reserved(Vec<Reservation>),
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
        let place = Place::new(&config);
        let plain = place.reserve(config.port)?;
        let secure = config.tls_port.map(|port| place.reserve(port)).transpose()?;
        let Config { host, hosts, tls_fault, threads, .. } = config;
        let site = Arc::new(Site::new(config));
        let addr = |port: &Reservation| SocketAddr::new(host, port.port());
        let mut server = Self {
            addr: addr(&plain),
            tls_addr: secure.as_ref().map(addr),
            ca_pem: identity.as_ref().map(|identity| identity.ca_pem.clone()).unwrap_or_default(),
            doors: vec![Arc::new(Door::new(plain.port(), hosts, None, &site))],
            site,
            place,
            workers: Vec::with_capacity(threads),
            listening: Mutex::new(Listening::Open),
        };
        let mut reserved = vec![plain];
        if let (Some(secure), Some(identity)) = (secure, identity) {
            let tls = Tls { acceptor: TlsAcceptor::from(identity.config), fault: tls_fault };
            server.doors.push(Arc::new(Door::new(secure.port(), hosts, Some(tls), &server.site)));
            reserved.push(secure);
        }
        for number in 0..threads {
            server.workers.push(Worker::start(number).map_err(StartError::Thread)?);
        }
        server.open(reserved)?;
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

    /// The URL of a path; the path begins with `/`.
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

    /// The current counters.
    pub fn stats(&self) -> Stats {
        self.site.counters.snapshot()
    }

    /// The counters of every requested host, sorted by name.
    pub fn host_stats(&self) -> Vec<HostStats> {
        self.site.counters.hosts()
    }

    /// The counters of `/limited` for every host and key, sorted by both.
    pub fn limited_stats(&self) -> Vec<LimitedStats> {
        self.site.counters.limits()
    }

    /// Takes the server down in some way, or with `None` brings it up again, on the same ports. The change is
    /// complete when this returns: after [`Outage::Refuse`] every connection is closed, after any other change
    /// connections are accepted.
    ///
    /// A request that arrived before still gets its response, unless its connection is closed. While connections are
    /// refused the ports are held by sockets that do not listen, so that no other program gets them. No-op once
    /// stopped.
    ///
    /// # Errors
    ///
    /// [`StartError::Invalid`] for a status out of range. [`StartError::Bind`] when another program took a port
    /// between closing and holding it, or when the server comes up again: calling again tries again.
    pub fn set_outage(&self, outage: Option<Outage>) -> Result<(), StartError> {
        outage.map_or(Ok(()), Outage::validate)?;
        let mut listening = self.listening();
        if outage == Some(Outage::Refuse) {
            self.refuse(&mut listening)?;
        }
        self.site.gate.set(outage);
        if outage != Some(Outage::Refuse) {
            self.come_back(&mut listening)?;
        }
        Ok(())
    }

    /// Closes listeners and connections, and waits for the threads to end. Idempotent.
    pub fn stop(&mut self) {
        // All are told before the first is waited for: dropping a worker waits for its thread.
        self.workers.iter_mut().for_each(Worker::stop);
        self.workers.clear();
        *self.listening() = Listening::Open;
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, listening: &mut Listening) -> Result<(), StartError> {
        if self.workers.is_empty() || matches!(listening, Listening::Reserved(_)) {
            return Ok(());
        }
        for worker in &self.workers {
            worker.close().map_err(StartError::Thread)?;
        }
        let mut reserved = Vec::with_capacity(self.doors.len());
        let held = self.hold(&mut reserved);
        *listening = Listening::Reserved(reserved);
        held
    }

    fn come_back(&self, listening: &mut Listening) -> Result<(), StartError> {
        let Listening::Reserved(reserved) = listening else { return Ok(()) };
        self.hold(reserved)?;
        self.open(std::mem::take(reserved))?;
        *listening = Listening::Open;
        Ok(())
    }

    /// Takes the ports of the doors that have no reservation yet.
    fn hold(&self, reserved: &mut Vec<Reservation>) -> Result<(), StartError> {
        for door in self.doors.iter().skip(reserved.len()) {
            reserved.push(self.place.reserve(door.port())?);
        }
        Ok(())
    }

    /// Listens, and gives each thread its listener of each door.
    fn open(&self, reserved: Vec<Reservation>) -> Result<(), StartError> {
        let mut listeners: Vec<_> =
            reserved.into_iter().map(Reservation::listen).collect::<Result<_, _>>()?;
        for worker in &self.workers {
            let own = listeners.iter_mut().filter_map(Vec::pop);
            let ports = own.zip(self.doors.iter().map(Arc::clone)).collect();
            worker.open(ports).map_err(StartError::Thread)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .field("tls_addr", &self.tls_addr)
            .field("listening", &self.listening())
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
