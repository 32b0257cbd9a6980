//! One thread of the engine: its hosts, its origins, its jobs. All state belongs to this thread; other threads
//! reach it through its mailbox only.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use http::Method;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;

use crate::batch::Row;
use crate::connect::{DnsConfig, Resolver, TlsContext};
use crate::error::{Code, Failure};
use crate::exchange::{Decoder, Heads};
use crate::flight::{Flight, LocalJob, Transfer};
use crate::job::JobState;
use crate::later::Later;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::permits::Permits;
use crate::politeness::{HostId, Scheduler};
use crate::pool::{OriginId, Origins, Scratch};
use crate::request::{Request, Submission};
use crate::router::Router;
use crate::seat::Seat;
use crate::timings::WallClock;
use crate::worker;

/// How long rows wait for company: for a consumer that waits, and for one that is busy.
const FLUSH_STARVED: Duration = Duration::from_millis(1);
const FLUSH_BUSY: Duration = Duration::from_millis(4);
/// Connections that may wait for work, per shard, where `concurrency` asks for no more.
const MIN_IDLE: usize = 512;

/// What other threads tell a shard.
pub(crate) enum Message {
    /// New requests of a job.
    Submit(Arc<JobState>, Vec<Submission>),
    /// A request that a redirect led here.
    Transfer(Box<Transfer>),
    /// The consumer of a job has caught up.
    Resume(u64),
    /// A job has come beside others: those that have stopped reading may hold what it needs.
    OpenGates,
    /// A job is over: what is left of it is dropped.
    Cancel(u64),
    /// A permit, from a shard that needs it no more.
    Permit,
    /// The engine ends.
    Close,
}

/// What all shards of an engine share.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) heads: Heads,
    pub(crate) tls: TlsContext,
    pub(crate) permits: Permits,
    pub(crate) router: Router,
    pub(crate) wall: WallClock,
    /// Jobs that have not been dropped.
    pub(crate) open_jobs: Arc<AtomicUsize>,
    pub(crate) mailboxes: Vec<UnboundedSender<Message>>,
}

impl Core {
    /// A shard that is gone needs no messages.
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

/// A running worker, as the shard sees it.
struct Worker {
    /// The job it works for just now.
    job: Rc<Cell<Option<u64>>>,
    abort: AbortHandle,
}

pub(crate) struct Shard {
    at: usize,
    pub(crate) core: Arc<Core>,
    pub(crate) resolver: Resolver,
    pub(crate) decoder: RefCell<Decoder>,
    pub(crate) scratch: Scratch,
    pub(crate) origins: RefCell<Origins<Seat>>,
    scheduler: RefCell<Scheduler<Flight>>,
    hosts: RefCell<HashMap<Box<str>, HostId>>,
    jobs: RefCell<HashMap<u64, Rc<LocalJob>>>,
    later: RefCell<Later<Flight>>,
    later_changed: Notify,
    rows_wait: Notify,
    workers: RefCell<HashMap<u64, Worker>>,
    next_worker: Cell<u64>,
    closing: Cell<bool>,
}

impl Shard {
    pub(crate) fn new(at: usize, core: Arc<Core>) -> Rc<Self> {
        let max_idle = (core.options.concurrency as usize).max(MIN_IDLE);
        Rc::new(Self {
            at,
            core,
            resolver: Resolver::new(DnsConfig::default()),
            decoder: RefCell::default(),
            scratch: Scratch::default(),
            origins: RefCell::new(Origins::new(max_idle)),
            scheduler: RefCell::new(Scheduler::new()),
            hosts: RefCell::default(),
            jobs: RefCell::default(),
            later: RefCell::new(Later::new()),
            later_changed: Notify::new(),
            rows_wait: Notify::new(),
            workers: RefCell::default(),
            next_worker: Cell::new(0),
            closing: Cell::new(false),
        })
    }

    /// Serves the mailbox until it says to close.
    pub(crate) async fn serve(self: Rc<Self>, mut mailbox: UnboundedReceiver<Message>) {
        tokio::task::spawn_local(Rc::clone(&self).keep_time());
        tokio::task::spawn_local(Rc::clone(&self).keep_flushing());
        while let Some(message) = mailbox.recv().await {
            match message {
                Message::Submit(job, submissions) => self.submit(&job, submissions),
                Message::Transfer(transfer) => self.receive(*transfer),
                Message::Resume(job) => self.resume(job),
                Message::OpenGates => self.jobs.borrow().values().for_each(|job| job.gate.open()),
                Message::Cancel(job) => self.cancel(job),
                Message::Permit => self.use_permit(),
                Message::Close => break,
            }
        }
        self.closing.set(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn submit(self: &Rc<Self>, job: &Arc<JobState>, submissions: Vec<Submission>) {
        if job.is_cancelled() {
            return;
        }
        let local = self.local_job(job);
        let now = Instant::now();
        for submission in submissions {
            match submission {
                Submission::Send(request) => self.queue(&local, request, now),
                Submission::Refuse { index, method, url, failure } => {
                    job.left_queue();
                    self.refuse(&local, index, method, &url, &failure);
                }
            }
        }
        self.pump();
    }

    fn receive(self: &Rc<Self>, transfer: Transfer) {
        let Transfer { job, request, arrived, course } = transfer;
        if !job.is_cancelled() {
            let (origin, host) = self.locate(&request);
            let (job, queued) = (self.local_job(&job), Instant::now());
            let flight = Flight { job, request, host, origin, arrived, queued, course, counted: false };
            self.scheduler.borrow_mut().push_front(host, flight);
            self.pump();
        }
    }

    fn local_job(&self, job: &Arc<JobState>) -> Rc<LocalJob> {
        let mut jobs = self.jobs.borrow_mut();
        Rc::clone(jobs.entry(job.id).or_insert_with(|| Rc::new(LocalJob::new(Arc::clone(job)))))
    }

    fn queue(&self, job: &Rc<LocalJob>, request: Request, now: Instant) {
        let (origin, host) = self.locate(&request);
        let (arrived, queued) = (now, now);
        let job = Rc::clone(job);
        let flight = Flight { job, request, host, origin, arrived, queued, course: None, counted: true };
        self.enqueue(flight);
    }

    /// Puts a request in the queue of its host.
    fn enqueue(&self, flight: Flight) {
        let (host, priority) = (flight.host, flight.request.priority());
        self.scheduler.borrow_mut().push(host, flight, priority);
    }

    /// The origin and the host of a request, made known if they are new.
    fn locate(&self, request: &Request) -> (OriginId, HostId) {
        let mut origins = self.origins.borrow_mut();
        let http2 = self.core.options.http2;
        let origin = origins.find_or_add(&request.target, http2, || self.host(request.target.host()));
        let host = origins.get_mut(origin).map(|origin| origin.host);
        (origin, host.unwrap_or_else(|| self.host(request.target.host())))
    }

    fn host(&self, name: &str) -> HostId {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(&host) = hosts.get(name) {
            return host;
        }
        let limit = self.core.router.limit_at(name, self.at);
        let host = self.scheduler.borrow_mut().add_host(limit);
        hosts.insert(name.into(), host);
        host
    }

    /// Sends a request on that is on its way already: to this shard's own queue, or to the shard of its host.
    /// Whoever calls this calls `pump` after it.
    pub(crate) fn forward(&self, mut flight: Flight) {
        let shard = self.core.router.next_to(self.at, flight.request.target.host());
        if shard == self.at {
            (flight.origin, flight.host) = self.locate(&flight.request);
            flight.queued = Instant::now();
            let host = flight.host;
            self.scheduler.borrow_mut().push_front(host, flight);
        } else {
            self.core.tell(shard, Message::Transfer(Box::new(flight.into_transfer())));
        }
    }

    /// Queues a request again after `wait`.
    pub(crate) fn queue_later(&self, flight: Flight, wait: Duration) {
        self.later.borrow_mut().add(Instant::now() + wait, flight);
        self.later_changed.notify_one();
    }

    /// Starts what may start.
    pub(crate) fn pump(self: &Rc<Self>) {
        while self.scheduler.borrow().has_ready() && self.core.permits.take(self.at) {
            if !self.start_one() {
                self.give_permit_back();
            }
        }
        self.flush_if_at_rest();
    }

    fn use_permit(self: &Rc<Self>) {
        if !self.start_one() {
            self.give_permit_back();
        }
        self.pump();
    }

    /// With a permit in hand: starts the next request. False: the permit is still in hand.
    fn start_one(self: &Rc<Self>) -> bool {
        let started = self.scheduler.borrow_mut().start();
        let Some((host, flight)) = started else { return false };
        let Some(flight) = self.admit(flight) else {
            self.scheduler.borrow_mut().finish(host);
            return false;
        };
        self.dispatch(Seat::new(self, flight));
        true
    }

    /// Whether a request that has its turn may go. None: it is taken care of.
    fn admit(&self, mut flight: Flight) -> Option<Flight> {
        let job = &flight.job.state;
        if job.is_cancelled() {
            return None;
        }
        if job.must_wait() {
            let local = Rc::clone(&flight.job);
            local.parked.borrow_mut().push_back(flight);
            return None;
        }
        if std::mem::take(&mut flight.counted) {
            job.left_queue();
        }
        let late = if job.expires.is_some_and(|expires| Instant::now() >= expires) {
            Failure::new(Code::TimeoutJob, "max_duration ended before the request was sent")
        } else if self.deadline(&flight).is_some_and(|deadline| Instant::now() >= deadline) {
            Failure::new(Code::TimeoutDeadline, "the deadline passed before the request was sent")
        } else {
            return Some(flight);
        };
        self.land(flight, Outcome::unsent(late));
        None
    }

    /// When a request has to be over, all attempts included.
    pub(crate) fn deadline(&self, flight: &Flight) -> Option<Instant> {
        self.core.options.deadline.map(|deadline| flight.arrived + deadline)
    }

    /// Whether an attempt that this machine lacked a descriptor or port for may wait for one.
    pub(crate) fn has_time(&self, flight: &Flight) -> bool {
        let patience = self.core.options.timeout.total.unwrap_or(Duration::from_secs(30));
        let by_deadline = self.deadline(flight).is_none_or(|deadline| Instant::now() < deadline);
        by_deadline && flight.queued.elapsed() < patience
    }

    /// Gives a request that holds its permits to a connection that waits, or to a new worker.
    pub(crate) fn dispatch(self: &Rc<Self>, seat: Seat) {
        let Some(flight) = seat.flight() else { return };
        let (origin, job) = (flight.origin, flight.job.state.id);
        let Some(seat) = self.origins.borrow_mut().assign(origin, seat) else { return };
        let id = self.next_worker.get();
        self.next_worker.set(id + 1);
        let job = Rc::new(Cell::new(Some(job)));
        let task = worker::run(Rc::clone(self), id, Rc::clone(&job), seat);
        let abort = tokio::task::spawn_local(task).abort_handle();
        self.workers.borrow_mut().insert(id, Worker { job, abort });
    }

    /// The holder of a permit of `host` asks for its next request. None: the permit has to be given back.
    pub(crate) fn next_of(&self, host: HostId, streak: u32) -> Option<Flight> {
        loop {
            let others_wait = self.core.permits.others_wait(self.at);
            let flight = self.scheduler.borrow_mut().next_of(host, streak, others_wait)?;
            if let Some(flight) = self.admit(flight) {
                return Some(flight);
            }
        }
    }

    /// Gives back a permit of `host` and the engine's permit.
    pub(crate) fn release(self: &Rc<Self>, host: HostId) {
        self.scheduler.borrow_mut().finish(host);
        self.give_permit_back();
        if !self.is_closing() {
            self.pump();
        }
    }

    fn give_permit_back(&self) {
        if let Some(other) = self.core.permits.give_back(self.at) {
            self.core.tell(other, Message::Permit);
        }
    }

    /// Forgets a worker that ended.
    pub(crate) fn worker_ended(&self, id: u64) {
        self.workers.borrow_mut().remove(&id);
    }

    /// A request has ended: its row.
    pub(crate) fn land(&self, flight: Flight, outcome: Outcome) {
        let job = Rc::clone(&flight.job);
        let first = !job.has_rows();
        job.land(flight, outcome, &self.core.wall);
        self.landed(&job, first);
    }

    fn refuse(&self, job: &LocalJob, index: u64, method: Method, url: &str, failure: &Failure) {
        let first = !job.has_rows();
        let mut row = Row::new(index, method);
        row.fetched_at_us = self.core.wall.micros_at(Instant::now());
        job.refuse(row, url, failure);
        self.landed(job, first);
    }

    fn landed(&self, job: &LocalJob, first: bool) {
        if first && job.has_rows() {
            self.rows_wait.notify_one();
        }
    }

    /// With nothing in flight no company will come for the rows that wait.
    fn flush_if_at_rest(&self) {
        if self.scheduler.borrow().in_flight() == 0 {
            for job in self.jobs.borrow().values() {
                job.flush();
            }
        }
    }

    async fn keep_flushing(self: Rc<Self>) {
        loop {
            self.rows_wait.notified().await;
            tokio::time::sleep(FLUSH_STARVED).await;
            if self.jobs.borrow().values().any(|job| job.has_rows() && !job.state.is_starved()) {
                tokio::time::sleep(FLUSH_BUSY).await;
            }
            for job in self.jobs.borrow().values() {
                job.flush();
            }
        }
    }

    async fn keep_time(self: Rc<Self>) {
        loop {
            let due = self.later.borrow().next_due();
            let changed = self.later_changed.notified();
            match due {
                None => changed.await,
                Some(due) => tokio::time::timeout_at(due.into(), changed).await.unwrap_or_default(),
            }
            let now = Instant::now();
            loop {
                let Some(flight) = self.later.borrow_mut().pop_due(now) else { break };
                self.forward(flight);
            }
            self.pump();
        }
    }

    fn resume(self: &Rc<Self>, job: u64) {
        let Some(job) = self.jobs.borrow().get(&job).map(Rc::clone) else { return };
        job.gate.open();
        let parked = std::mem::take(&mut *job.parked.borrow_mut());
        for flight in parked {
            self.enqueue(flight);
        }
        self.pump();
    }

    /// What is queued of the job is dropped when its turn comes; what is in flight is dropped now.
    fn cancel(self: &Rc<Self>, job: u64) {
        let Some(local) = self.jobs.borrow_mut().remove(&job) else { return };
        local.parked.borrow_mut().clear();
        for worker in self.workers.borrow().values().filter(|worker| worker.job.get() == Some(job)) {
            worker.abort.abort();
        }
        self.pump();
    }
}
