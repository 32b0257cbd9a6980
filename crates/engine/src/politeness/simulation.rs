//! The scheduler as a whole against limiters of every kind, on a clock that is only counted: with a rate that is to be
//! found, and with none.

#![allow(clippy::indexing_slicing, clippy::panic)]

mod real;
mod rough;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use super::advice::{self, Quotas};
use super::limiters::{Case, Limiter, Names, aligned, bucket, counters, fixed, sliding};
use super::real_limiters::{Answer, Host, wall};
use super::{Note, Pace, ProbeWaits, Scheduler, Signal};
use crate::options::RateLimit;

const NEAR: Duration = Duration::from_millis(2);
const FAR: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(20);

struct Run {
    took_s: f64,
    /// When requests were refused, seconds.
    refused: Vec<f64>,
    /// When all went.
    sent: Vec<f64>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s, refused at {:.1?}; sent at {:.1?}", self.took_s, self.refused, self.sent)
    }
}

/// A limiter that sends nothing but the wait, if it names one.
fn plain(mut limiter: Limiter, bare_status: u16) -> Host {
    Box::new(move |at| match limiter(at) {
        Ok(()) => Answer { status: 200, lines: Vec::new() },
        Err(None) => Answer { status: bare_status, lines: Vec::new() },
        Err(Some(wait)) => Answer { status: 429, lines: vec![("retry-after", wait.to_string())] },
    })
}

/// What is on its way: when it comes back, when it went, which it is, and the place of its answer.
type OnTheWay = (Duration, Duration, usize, usize);

/// The way to a host.
struct Network {
    round_trip: Duration,
    /// The server was just started: the first ten requests need so much longer to reach its limiter.
    cold: Duration,
    /// By so much at most other requests need longer.
    jitter: Duration,
    /// When the machines at its ends do nothing.
    client: Stalls,
    server: Stalls,
}

/// Spans of time, in order, in which a machine is busy with something else.
#[derive(Default)]
struct Stalls(Vec<(Duration, Duration)>);

impl Stalls {
    /// When what comes at this instant is noticed.
    fn over(&self, at: Duration) -> Duration {
        self.0.iter().find(|(from, to)| (*from..*to).contains(&at)).map_or(at, |(_, to)| *to)
    }
}

impl Network {
    fn calm(round_trip: Duration) -> Self {
        let (client, server) = (Stalls::default(), Stalls::default());
        Self { round_trip, cold: Duration::ZERO, jitter: Duration::ZERO, client, server }
    }

    /// How much longer the request of this number needs to arrive.
    fn delay(&self, number: usize) -> Duration {
        // Any numbers that look like none in particular. Source: Knuth, "The Art of Computer Programming", 6.4.
        let share = (number as f64 * 0.618_033_988_749).fract();
        let cold = if number < 10 { self.cold } else { Duration::ZERO };
        cold + self.jitter.mul_f64(share)
    }
}

/// Sends `requests` to one host, ten at a time. A refused one is the next to go again. `phase`: by so much of a second
/// all clocks are ahead.
fn run(host: Host, requests: usize, round_trip: Duration, rate: RateLimit, phase: f64) -> Run {
    run_over(&Network::calm(round_trip), host, requests, rate, phase)
}

fn run_over(network: &Network, mut host: Host, requests: usize, rate: RateLimit, phase: f64) -> Run {
    let round_trip = network.round_trip;
    let start = Instant::now();
    let waits = ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };
    let mut scheduler = Scheduler::new(waits);
    let id = scheduler.add_host(10);
    if let Some(pace) = Pace::new(rate, start) {
        scheduler.set_pace(id, pace);
    }
    (0..requests).for_each(|item| scheduler.push(id, item, 0));
    let mut refused = vec![0; requests];
    let mut ended = Run { took_s: 0.0, refused: Vec::new(), sent: Vec::new() };
    let mut answers: Vec<Answer> = Vec::new();
    let mut on_the_way: BinaryHeap<Reverse<OnTheWay>> = BinaryHeap::new();
    let (mut now, mut arrival, mut served) = (Duration::ZERO, Duration::ZERO, 0);
    // Retries that wait for their backoff: a bare 503 is not known to be a refusal at once.
    let mut later: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    while served < requests {
        while later.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            later.pop().into_iter().for_each(|Reverse((_, item))| scheduler.push_front(id, item));
        }
        scheduler.wake_due(start + now);
        while let Some((_, item)) = scheduler.start(start + now) {
            arrival = network.server.over(arrival.max(now + round_trip / 2 + network.delay(answers.len())));
            let answer = host(arrival.as_secs_f64());
            ended.sent.push(now.as_secs_f64());
            // Near by, every fifth is late.
            let is_late = answers.len() % 5 == 3 && round_trip < FAR;
            let late = if is_late { LATE } else { Duration::ZERO };
            on_the_way.push(Reverse((arrival + round_trip / 2 + late, now, item, answers.len())));
            answers.push(answer);
        }
        let wake = scheduler.next_wake().map(|wake| {
            // A timer goes off at the end of its millisecond.
            Duration::from_millis((wake - start).as_nanos().div_ceil(1_000_000) as u64).max(now)
        });
        let wake = wake.into_iter().chain(later.peek().map(|Reverse((due, _))| *due)).min();
        let next = on_the_way.peek().map(|Reverse((at, ..))| *at);
        if let Some(wake) = wake.filter(|wake| next.is_none_or(|next| *wake < next)) {
            now = network.client.over(wake);
            continue;
        }
        let Some(Reverse((at, went, item, place))) = on_the_way.pop() else {
            panic!("nothing goes any more, {served} of {requests} were served")
        };
        now = network.client.over(at.max(now));
        let answer = &answers[place];
        let is_refusal = answer.status != 200;
        let lines: Vec<(&str, &str)> =
            answer.lines.iter().map(|(field, value)| (*field, value.as_str())).collect();
        let headers = advice::block(&lines);
        let heeds = is_refusal || scheduler.learns(id);
        let quotas = heeds.then(|| advice::quotas(&headers, wall(now.as_secs_f64(), phase)));
        let told = advice::retry_after(&headers, wall(now.as_secs_f64(), phase)).map(|told| told.wait);
        let retry_after = told.filter(|wait| !wait.is_zero()).or(quotas.as_ref().and_then(Quotas::used_up));
        let retry_after = retry_after.filter(|_| is_refusal);
        let note = Note {
            signal: Signal::of(Some(answer.status), None, retry_after.is_some()),
            has_served: served > 0,
            is_retry: refused[item] > 0,
            started: start + went,
            ended: start + now,
            retry_after,
            backoff: Duration::from_millis(500),
            quotas: quotas.as_ref(),
        };
        let noted = scheduler.note(id, 0, &note);
        if is_refusal {
            refused[item] += 1;
            ended.refused.push(went.as_secs_f64());
            if noted.refused.is_some() {
                scheduler.push_refused(id, item, refused[item]);
            } else {
                later.push(Reverse((now + Duration::from_millis(500), item)));
            }
        } else {
            served += 1;
        }
        assert!(scheduler.finish(id).is_empty());
    }
    ended.took_s = now.as_secs_f64();
    ended
}

/// Limiters of `limit` requests in five seconds, and how long `requests` take at best.
fn five_seconds(limit: u32, requests: f64) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let ideal_s = 5.0 * (requests / f64::from(limit) - 1.0).ceil();
    let burst = f64::from(limit);
    for names in [Names::Nothing, Names::Wait, Names::Window] {
        all.push((format!("fixed, {names:?}"), Box::new(move || fixed(limit, 5.0, names)), ideal_s));
        all.push((
            format!("sliding, {names:?}"),
            Box::new(move || sliding(limit as usize, 5.0, names)),
            ideal_s,
        ));
        if names != Names::Window {
            let name = format!("aligned, {names:?}");
            all.push((name, Box::new(move || aligned(limit, 5.0, 1.3, names)), ideal_s - 1.3));
            let refill_s = (requests - burst) * 5.0 / burst;
            let name = format!("bucket, {names:?}");
            all.push((name, Box::new(move || bucket(burst, burst / 5.0, names)), refill_s));
        }
    }
    all
}

const ROUND_TRIPS_AND_BARE: [(Duration, u16); 3] = [(NEAR, 429), (FAR, 429), (NEAR, 503)];

#[test]
fn test_twenty_requests_are_soon_through_a_limiter_of_five() {
    for (name, limiter, ideal_s) in five_seconds(5, 20.0) {
        for (round_trip, bare) in ROUND_TRIPS_AND_BARE {
            let run = run(plain(limiter(), bare), 20, round_trip, RateLimit::Unlimited, 0.0);
            let what = format!("{name}, {round_trip:?}, {bare}: {run}");
            assert!(run.took_s <= 1.3 * ideal_s, "{what}");
            // Far away, one more is on its way when the first is known.
            let most = if round_trip == FAR { 10 } else { 8 };
            assert!(run.refused.len() <= most, "{what}: more than two for each of four windows");
        }
    }
}

#[test]
fn test_sixty_requests_are_soon_through_a_limiter_of_ten_when_the_rate_is_to_be_found() {
    for (name, limiter, ideal_s) in five_seconds(10, 60.0) {
        for (round_trip, bare) in ROUND_TRIPS_AND_BARE {
            let run = run(plain(limiter(), bare), 60, round_trip, RateLimit::Auto, 0.0);
            let what = format!("{name}, {round_trip:?}, {bare}: {run}");
            assert!(run.took_s <= 1.35 * ideal_s, "{what}");
            assert!(run.refused.len() <= 6, "{what}: more than a tenth");
        }
    }
}

#[test]
fn test_slow_buckets_are_found_when_the_rate_is_to_be_found() {
    for (per_s, what) in [
        (0.5, "one in two seconds"),
        (1.0 / 60.0, "one a minute"),
        (6.0 / 3600.0, "six an hour"),
        (1.0 / 3600.0, "one an hour"),
    ] {
        let host = plain(bucket(5.0, per_s, Names::Nothing), 429);
        let run = run(host, 25, NEAR, RateLimit::Auto, 0.0);
        let ideal_s = 20.0 / per_s;
        assert!(run.took_s <= 1.35 * ideal_s, "{what}: {run}, at best {ideal_s:.0}");
    }
}

#[test]
fn test_requests_are_spread_where_a_window_is_an_average() {
    for offset_s in [0.1, 1.3, 2.6, 3.9] {
        for names in [Names::Nothing, Names::Window] {
            let host = plain(counters(5, 5.0, offset_s, names), 429);
            let run = run(host, 20, NEAR, RateLimit::Unlimited, 0.0);
            let what = format!("at {offset_s} s, {names:?}: {run}");
            assert!(run.took_s <= 1.3 * 19.5 && run.refused.len() <= 9, "{what}");
        }
    }
}
