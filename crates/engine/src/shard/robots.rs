//! robots.txt: fetched once per origin, by an ordinary request, before the first request of that origin.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::flight::{Errand, Flight};
use super::{Message, Shard};
use crate::error::{Code, Failure};
use crate::exchange::HopRules;
use crate::outcome::Outcome;
use crate::politeness::{Rules, Verdict, product};
use crate::pool::OriginId;

/// What is known about an origin's robots.txt.
pub(super) enum Robots {
    /// It is being fetched on behalf of a job; these wait for it.
    Fetching { job: u64, waiting: Vec<Flight> },
    /// Known, and valid until then.
    Known(Rules, Instant),
}

/// How long a response is valid, and how long it is remembered that there was none. Source: RFC 9309, sections 2.4
/// and 2.3.1.4.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const KEPT_UNKNOWN: Duration = Duration::from_secs(60);

/// How many redirects are followed for a robots.txt, whatever the options say. After more there is no file.
///
/// Source: RFC 9309, section 2.3.1.2.
const MAX_HOPS: u32 = 5;

impl Shard {
    /// What redirects may do with a request.
    pub(super) fn hop_rules(&self, flight: &Flight) -> HopRules {
        let options = &self.core.options;
        let max = match flight.errand() {
            Some(_) => Some(MAX_HOPS),
            None => options.follow_redirects.then_some(options.max_redirects),
        };
        HopRules { max, https_only: options.https_only, keeps_body: options.keep_on_redirect.body }
    }

    /// Checks a request against robots.txt, if that is obeyed. None: it is disallowed, or waits for the file.
    pub(super) fn ask_robots(&self, flight: Flight) -> Option<Flight> {
        if !self.core.options.robots || flight.errand().is_some() {
            return Some(flight);
        }
        let mut robots = self.robots.borrow_mut();
        if matches!(robots.get(&flight.origin), Some(Robots::Known(_, until)) if *until <= Instant::now()) {
            robots.remove(&flight.origin);
        }
        let why = match robots.get_mut(&flight.origin) {
            Some(Robots::Known(rules, _)) => match self.judge(rules, &flight) {
                Verdict::Allowed(crawl_delay) => {
                    if let Some(delay) = crawl_delay {
                        self.scheduler.borrow_mut().set_crawl_delay(flight.host, delay, Instant::now());
                    }
                    return Some(flight);
                }
                Verdict::Disallowed(why) => why,
            },
            Some(Robots::Fetching { waiting, .. }) => {
                waiting.push(flight);
                return None;
            }
            None => {
                self.fetch_robots(&flight);
                let (origin, job) = (flight.origin, flight.job.state.id);
                robots.insert(origin, Robots::Fetching { job, waiting: vec![flight] });
                return None;
            }
        };
        drop(robots);
        self.disallow(flight, why);
        None
    }

    /// Judges a request by the user agent that is sent with it.
    fn judge(&self, rules: &Rules, flight: &Flight) -> Verdict {
        let agent = self.core.heads.user_agent(&flight.request, flight.audience());
        let agent = agent.map_or(&[][..], |agent| product(agent.as_bytes()));
        rules.judge(agent, flight.request.target.path_and_query())
    }

    fn disallow(&self, flight: Flight, why: &'static str) {
        self.land(flight, Outcome::unsent(Failure::new(Code::HostRobots, why)));
    }

    /// Queues the request for the robots.txt of an origin, before all others of its host.
    fn fetch_robots(&self, flight: &Flight) {
        let request = flight.request.sibling("/robots.txt");
        // Where a redirect led to, it gets no more from the caller than the request that it led there.
        let errand = Errand { shard: self.at, origin: flight.origin, audience: flight.audience() };
        let scout = Flight::on_errand(flight, request, errand);
        self.scheduler.borrow_mut().push_front(scout.host, scout);
    }

    /// Tells the shard that waits for an errand how it ended. None: its job ended before.
    pub(super) fn report(&self, flight: &Flight, errand: Errand, rules: Option<Rules>) {
        let (origin, job) = (errand.origin, flight.job.state.id);
        self.core.tell(errand.shard, Message::Robots { origin, job, rules });
    }

    /// Continues with the requests that waited for the robots.txt of an origin, fetched on behalf of `job`.
    pub(super) fn robots_known(self: &Rc<Self>, origin: OriginId, job: u64, rules: Option<Rules>) {
        let Some(rules) = rules else {
            self.abandon(|&of, by| of == origin && by == job);
            return self.pump();
        };
        let before = self.robots.borrow_mut().remove(&origin);
        let waiting = match before {
            Some(Robots::Fetching { waiting, .. }) => waiting,
            _ => Vec::new(),
        };
        let mut allowed = Vec::new();
        for flight in waiting {
            match self.judge(&rules, &flight) {
                // It need not wait until its host may be asked again.
                Verdict::Disallowed(why) if !flight.job.state.starts_nothing() => {
                    self.disallow(flight, why);
                }
                _ => allowed.push(flight),
            }
        }
        let kept = if rules.is_known() { KEPT } else { KEPT_UNKNOWN };
        self.robots.borrow_mut().insert(origin, Robots::Known(rules, Instant::now() + kept));
        self.let_go(allowed);
        self.pump();
    }

    /// A job has ended that may have been fetching a robots.txt: waiting requests of other jobs fetch it again.
    pub(super) fn robots_abandoned(&self, job: u64) {
        self.abandon(|_, by| by == job);
    }

    /// Continues with requests whose errand ended without a result: the first of them sends another.
    fn abandon(&self, which: impl Fn(&OriginId, u64) -> bool) {
        let is_picked = |origin: &OriginId, robots: &mut Robots| match robots {
            Robots::Fetching { job, .. } => which(origin, *job),
            Robots::Known(..) => false,
        };
        let abandoned: Vec<_> = self.robots.borrow_mut().extract_if(is_picked).collect();
        for (_, robots) in abandoned {
            if let Robots::Fetching { waiting, .. } = robots {
                self.let_go(waiting);
            }
        }
    }

    /// Removes the requests that wait for the robots.txt of an origin, which will not be fetched.
    pub(super) fn robots_left(&self, origin: OriginId) -> Vec<Flight> {
        let mut robots = self.robots.borrow_mut();
        if !matches!(robots.get(&origin), Some(Robots::Fetching { .. })) {
            return Vec::new();
        }
        match robots.remove(&origin) {
            Some(Robots::Fetching { waiting, .. }) => waiting,
            _ => Vec::new(),
        }
    }

    /// Takes out the requests that `which` picks of those that wait for a robots.txt.
    pub(super) fn robots_waiting(&self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let mut taken = Vec::new();
        for robots in self.robots.borrow_mut().values_mut() {
            if let Robots::Fetching { waiting, .. } = robots {
                let (picked, rest): (Vec<_>, Vec<_>) = waiting.drain(..).partition(&which);
                *waiting = rest;
                taken.extend(picked);
            }
        }
        taken
    }

    fn let_go(&self, waiting: Vec<Flight>) {
        for flight in waiting.into_iter().rev() {
            self.enqueue_again(flight);
        }
    }
}

/// The rules that follow from the response to the request for robots.txt. None: the job ended before the request did,
/// which says nothing.
pub(super) fn rules_of(outcome: &Outcome) -> Option<Rules> {
    match outcome.failure.as_ref().map(|failure| failure.code) {
        Some(Code::TimeoutJob | Code::TimeoutDeadline) => return None,
        // The origin answered, and its redirects do not lead to a file that may be fetched. If its own address is blocked,
        // so are its requests, which say so themselves.
        Some(
            Code::RedirectTooMany
            | Code::RedirectScheme
            | Code::RedirectDowngrade
            | Code::RedirectAmbiguous
            | Code::RedirectInvalid
            | Code::BlockedAddress,
        ) => return Some(Rules::absent()),
        _ => {}
    }
    let whole = outcome.received.as_ref().filter(|_| outcome.failure.is_none());
    Some(whole.map_or(Rules::unreachable(), |received| Rules::of_answer(received.status, &received.body)))
}
