//! One thread of the engine: its hosts, its origins, its jobs. All state belongs to this thread; other threads
//! reach it through its mailbox only.

mod addresses;
mod attempt;
mod busy;
mod capacity;
mod dial;
mod end;
mod flight;
mod forget;
mod learn;
mod loans;
mod local_job;
mod names;
mod outages;
mod permits;
mod ports;
mod proxies;
mod refused;
mod robots;
mod router;
mod seat;
mod start;
mod time;
mod timekeeper;
mod watch;
mod worker;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::connect::{DnsConfig, Guard, Resolver, TlsContext};
use crate::error::{Code, Failure};
use crate::exchange::{Decoder, Heads};
use crate::job::{JobState, Load};
use crate::limits::Group;
use crate::options::{Concurrency, Options};
use crate::outcome::Outcome;
use crate::politeness::{Aimd, HostId, Pace, ProbeWaits, Rules, Scheduler, SharedPace};
use crate::pool::{Leave, OriginId, Origins, ProxyHealth, Scratch};
use crate::request::{Request, Submission, Target};
use crate::timings::WallClock;
pub(crate) use capacity::Capacity;
use flight::{Flight, Transfer};
use loans::{Waits, Workers};
pub(crate) use loans::{most_idle, most_loans};
use local_job::LocalJob;
use names::{Names, dns_config};
use outages::Outages;
pub(crate) use permits::Permits;
use robots::Robots;
pub(crate) use router::Router;
use seat::Seat;
use timekeeper::Timekeeper;

/// The flow control window of an HTTP/2 stream for what we receive: all those in flight fit into `max_buffer`, as far as
/// that leaves each of them enough for its speed.
const H2_WINDOW: (u64, u64) = (64 << 10, 1 << 20);
/// The first value of a host's adaptive limit.
const AUTO_FIRST: u32 = 4;

/// Messages from other threads to a shard.
pub(crate) enum Message {
    /// New requests of a job.
    Submit(Arc<JobState>, Vec<Submission>),
    /// A request that a redirect led here.
    Transfer(Box<Transfer>),
    /// The consumer of a job has caught up.
    Resume(u64),
    /// Another job was opened: those that have stopped reading may hold permits that it needs.
    OpenGates,
    /// A job has ended: what is left of it is dropped.
    Cancel(u64),
    /// A permit, from a shard that no longer needs it.
    Permit,
    /// A group of hosts that several shards serve asks for a wait.
    Park(Box<str>, Instant),
    /// The rules of an origin's robots.txt, which was fetched on behalf of a job. None: the job ended before.
    Robots { origin: OriginId, job: u64, rules: Option<Rules> },
    /// Another shard lacks a local port: a connection that is not in use has to leave its own.
    FreePort,
    /// The engine ends.
    Close,
}

/// What all shards of an engine share.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) heads: Heads,
    pub(crate) tls: TlsContext,
    pub(crate) dns: DnsConfig,
    /// Which addresses may be connected to.
    pub(crate) guard: Guard,
    pub(crate) proxies: ProxyHealth,
    pub(crate) permits: Permits,
    /// How many requests may go on without one.
    pub(crate) most_loans: u32,
    /// How many connections of one shard may be idle.
    pub(crate) most_idle: usize,
    /// The rate over all hosts.
    pub(crate) pace: Option<Arc<Mutex<Pace>>>,
    /// The limit over all hosts, if it is adaptive.
    pub(crate) capacity: Option<Mutex<Capacity>>,
    pub(crate) router: Router,
    pub(crate) wall: WallClock,
    /// Jobs that have not been dropped.
    pub(crate) open_jobs: Arc<AtomicUsize>,
    /// What may come on an HTTP/2 stream that is not read.
    pub(crate) h2_window: u32,
    pub(crate) mailboxes: Vec<UnboundedSender<Message>>,
}

impl Core {
    /// A shard that has ended needs no messages.
    pub(crate) fn tell(&self, shard: usize, message: Message) {
        if let Some(mailbox) = self.mailboxes.get(shard) {
            mailbox.send(message).unwrap_or_default();
        }
    }

    pub(crate) fn tell_all(&self, message: impl Fn() -> Message) {
        for shard in 0..self.mailboxes.len() {
            self.tell(shard, message());
        }
    }
}

pub(crate) struct Shard {
    at: usize,
    core: Arc<Core>,
    resolver: Resolver,
    decoder: RefCell<Decoder>,
    scratch: Scratch,
    origins: RefCell<Origins<Seat>>,
    scheduler: RefCell<Scheduler<Flight>>,
    /// Groups by name. For the scheduler each is one host.
    hosts: RefCell<HashMap<Box<str>, HostId>>,
    jobs: RefCell<HashMap<u64, Rc<LocalJob>>>,
    time: Timekeeper<Flight>,
    /// The rate over all hosts.
    pace: SharedPace,
    rows_wait: Notify,
    jobs_wait: Notify,
    robots: RefCell<HashMap<OriginId, Robots>>,
    names: Names,
    outages: RefCell<Outages>,
    /// With so many hosts, some are forgotten.
    forget_at: Cell<usize>,
    /// Workers that wait for a descriptor or a port.
    lacking: Cell<u32>,
    workers: Workers,
    waits: Waits,
    closing: Cell<bool>,
}

impl Shard {
    pub(crate) fn new(at: usize, core: Arc<Core>) -> Rc<Self> {
        let waits =
            ProbeWaits { first: core.options.retries.backoff, longest: core.options.retries.max_backoff };
        let pace = core.pace.clone();
        let origins = RefCell::new(Origins::new(core.most_idle));
        let dns = dns_config(&core);
        Rc::new(Self {
            at,
            core,
            resolver: Resolver::new(dns),
            decoder: RefCell::default(),
            scratch: Scratch::default(),
            origins,
            scheduler: RefCell::new(Scheduler::new(waits)),
            hosts: RefCell::default(),
            jobs: RefCell::default(),
            time: Timekeeper::new(),
            pace: SharedPace::new(pace),
            rows_wait: Notify::new(),
            jobs_wait: Notify::new(),
            robots: RefCell::default(),
            names: Names::default(),
            outages: RefCell::default(),
            forget_at: Cell::new(forget::ENOUGH),
            lacking: Cell::new(0),
            workers: Workers::default(),
            waits: Waits::default(),
            closing: Cell::new(false),
        })
    }

    /// Serves the mailbox until it says to close.
    pub(crate) async fn serve(self: Rc<Self>, mut mailbox: UnboundedReceiver<Message>) {
        tokio::task::spawn_local(Rc::clone(&self).keep_time());
        tokio::task::spawn_local(Rc::clone(&self).keep_flushing());
        tokio::task::spawn_local(Rc::clone(&self).keep_watch());
        while let Some(message) = mailbox.recv().await {
            match message {
                Message::Submit(job, submissions) => self.submit(&job, submissions),
                Message::Transfer(transfer) => self.receive(*transfer),
                Message::Resume(job) => self.resume(job),
                Message::OpenGates => self.jobs.borrow().values().for_each(|job| job.gate.open()),
                Message::Cancel(job) => self.cancel(job),
                Message::Permit => self.use_permit(),
                Message::Park(host, until) => self.park(&host, until),
                Message::Robots { origin, job, rules } => self.robots_known(origin, job, rules),
                Message::FreePort => {
                    self.origins.borrow_mut().evict_one(Leave::AtOnce);
                }
                Message::Close => break,
            }
        }
        self.closing.set(true);
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn submit(self: &Rc<Self>, job: &Arc<JobState>, submissions: Vec<Submission>) {
        if job.is_cancelled() {
            return;
        }
        let local = self.local_job(job);
        let now = Instant::now();
        for submission in submissions {
            let load = Load::of_one(submission.bytes_waiting());
            match submission {
                Submission::Send(request) => self.queue(&local, request, now),
                Submission::Refuse { index, method, url, failure } => {
                    job.left_queue(load);
                    self.refuse(&local, index, method, &url, &failure);
                }
            }
        }
        self.pump();
    }

    fn receive(self: &Rc<Self>, transfer: Transfer) {
        if transfer.job.is_cancelled() {
            return;
        }
        let job = self.local_job(&transfer.job);
        let place = self.locate(&transfer.request);
        let (origin, host) = place.unwrap_or((OriginId::UNKNOWN, HostId::UNKNOWN));
        let flight = transfer.into_flight(job, host, origin);
        if let Some(deadline) = self.core.options.deadline {
            self.time.note_deadline(flight.arrived, deadline);
        }
        match place {
            None => self.place(flight),
            Some(_) if flight.is_fresh() => self.enqueue(flight),
            Some(_) => self.enqueue_again(flight),
        }
        self.pump();
    }

    fn local_job(&self, job: &Arc<JobState>) -> Rc<LocalJob> {
        let mut jobs = self.jobs.borrow_mut();
        if let Some(local) = jobs.get(&job.id) {
            return Rc::clone(local);
        }
        if let Some(expires) = job.expires {
            self.time.expire_at(expires, job.id);
        }
        self.jobs_wait.notify_one();
        let local = Rc::new(LocalJob::new(Arc::clone(job)));
        jobs.insert(job.id, Rc::clone(&local));
        local
    }

    fn queue(self: &Rc<Self>, job: &Rc<LocalJob>, request: Request, now: Instant) {
        if let Some(deadline) = self.core.options.deadline {
            self.time.note_deadline(now, deadline);
        }
        let (origin, host) = (OriginId::UNKNOWN, HostId::UNKNOWN);
        if self.core.options.https_only && !request.is_https() {
            let failure = Failure::new(Code::InputScheme, "https_only: the URL says http");
            return self
                .land(Flight::new(Rc::clone(job), request, host, origin, now), Outcome::unsent(failure));
        }
        let Some((origin, host)) = self.locate(&request) else {
            return self.place(Flight::new(Rc::clone(job), request, host, origin, now));
        };
        self.enqueue(Flight::new(Rc::clone(job), request, host, origin, now));
    }

    /// Puts a request in the queue of its host.
    fn enqueue(&self, mut flight: Flight) {
        let (host, origin, priority) = (flight.host, flight.origin.number(), flight.request.priority());
        let mut scheduler = self.scheduler.borrow_mut();
        if scheduler.is_down(host, origin) {
            flight.set_suspended(true);
            scheduler.push_suspended(host, origin, flight, priority);
        } else {
            scheduler.push(host, flight, priority);
        }
    }

    /// Puts a request that has started before in the queue of its host.
    fn enqueue_again(&self, mut flight: Flight) {
        let (host, origin, priority) = (flight.host, flight.origin.number(), flight.asked().priority());
        let mut scheduler = self.scheduler.borrow_mut();
        if scheduler.is_down(host, origin) && flight.may_be_suspended() {
            flight.set_suspended(true);
            scheduler.push_suspended(host, origin, flight, priority);
        } else if flight.is_retrying() {
            let attempt = flight.attempt();
            scheduler.push_retry(host, flight, priority, attempt, Instant::now());
        } else {
            scheduler.push_front(host, flight);
        }
    }

    /// The origin and the host of a request, added if they are new. None: the address of its host is needed first.
    fn locate(&self, request: &Request) -> Option<(OriginId, HostId)> {
        if self.core.router.limits().are_by_address() {
            return self.locate_by_address(&request.target);
        }
        Some(self.locate_by_name(&request.target))
    }

    fn locate_by_name(&self, target: &Target) -> (OriginId, HostId) {
        let mut origins = self.origins.borrow_mut();
        if let Some(known) = origins.find(target) {
            return known;
        }
        let group = self.core.router.limits().group(target.host());
        let host = self.host(if let Group::Named(group) = group { group } else { target.host() });
        (origins.add(target, self.core.options.http2, host), host)
    }

    /// A group by its name, added if it is new. For the scheduler it is one host.
    fn host(&self, group: &str) -> HostId {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(&host) = hosts.get(group) {
            return host;
        }
        let router = &self.core.router;
        let limits = router.limits().of(group);
        let mut scheduler = self.scheduler.borrow_mut();
        let host = match (router.share_of(group, self.at), limits.concurrency) {
            (Some(share), _) => scheduler.add_host(share),
            (None, Concurrency::Fixed(limit)) => scheduler.add_host(limit),
            (None, Concurrency::Auto) => {
                let host = scheduler.add_host(AUTO_FIRST);
                let most = u32::try_from(most_in_flight(&self.core.options)).unwrap_or(u32::MAX);
                scheduler.set_aimd(host, Aimd::new(AUTO_FIRST, most));
                host
            }
        };
        if let Some(pace) = Pace::new(limits.rate_limit, Instant::now()) {
            scheduler.set_pace(host, pace);
        }
        hosts.insert(group.into(), host);
        host
    }

    /// Forwards a request that has started before: to a queue of this shard, or to the shard of its host. The caller
    /// must call `pump` afterwards.
    fn forward(self: &Rc<Self>, mut flight: Flight) {
        flight.queued = Instant::now();
        let router = &self.core.router;
        let Group::Named(group) = router.limits().group(flight.request.target.host()) else {
            return self.place(flight);
        };
        let shard = router.next_to(self.at, group);
        if shard == self.at {
            (flight.origin, flight.host) = self.locate_by_name(&flight.request.target);
            self.enqueue_again(flight);
        } else {
            self.core.tell(shard, Message::Transfer(Box::new(flight.into_transfer())));
        }
    }

    /// When a request must have ended, including all attempts.
    fn deadline(&self, flight: &Flight) -> Option<Instant> {
        self.core.options.deadline.map(|deadline| flight.arrived + deadline)
    }

    /// Whether an attempt that this machine lacked a descriptor or port for may wait for one.
    fn has_time(&self, flight: &Flight) -> bool {
        let patience = self.core.options.timeout.total.unwrap_or(std::time::Duration::from_secs(30));
        let by_deadline = self.deadline(flight).is_none_or(|deadline| Instant::now() < deadline);
        by_deadline && flight.queued.elapsed() < patience
    }

    /// Whether a request may go on waiting for a descriptor or a port.
    fn may_wait(&self, flight: &Flight) -> bool {
        !flight.job.state.is_cancelled() && self.has_time(flight)
    }

    fn resume(self: &Rc<Self>, job: u64) {
        let Some(job) = self.jobs.borrow().get(&job).map(Rc::clone) else { return };
        job.gate.open();
        let may_start = |flight: &Flight| !flight.must_wait();
        // Mostly all of them, or the one that the consumer needs first.
        let (due, parked) = std::mem::take(&mut *job.parked.borrow_mut()).into_iter().partition(may_start);
        *job.parked.borrow_mut() = parked;
        let due: VecDeque<Flight> = due;
        for flight in due {
            self.enqueue(flight);
        }
        self.pump();
    }

    /// Queued requests of the job are dropped when their turn comes, requests in flight now.
    fn cancel(self: &Rc<Self>, job: u64) {
        let Some(local) = self.jobs.borrow_mut().remove(&job) else { return };
        local.parked.borrow_mut().clear();
        self.workers.abort(job);
        self.robots_abandoned(job);
        self.pump();
    }
}

/// The window of an HTTP/2 stream.
pub(crate) fn h2_window(options: &Options) -> u32 {
    let streams = match options.concurrency {
        Concurrency::Fixed(limit) => limit,
        Concurrency::Auto => capacity::FIRST,
    };
    let each = (options.max_buffer / u64::from(streams.max(1))).clamp(H2_WINDOW.0, H2_WINDOW.1);
    u32::try_from(each).unwrap_or(u32::MAX)
}

fn most_in_flight(options: &Options) -> usize {
    match options.concurrency {
        Concurrency::Fixed(limit) => limit as usize,
        Concurrency::Auto => capacity::MOST as usize,
    }
}
