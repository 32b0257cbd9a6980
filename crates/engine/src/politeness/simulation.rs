//! The scheduler as a whole against limiters of every kind, on a clock that is only counted: with a rate that is to be
//! found, and with none.

#![allow(clippy::indexing_slicing, clippy::panic)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use super::advice::Quota;
use super::limiters::{Case, Limiter, Names, aligned, bucket, counters, fixed, sliding};
use super::{Note, Pace, ProbeWaits, Scheduler, Signal};
use crate::options::RateLimit;

const NEAR: Duration = Duration::from_millis(2);
const FAR: Duration = Duration::from_millis(100);

/// When a request comes back, when it went, which it is, and what its host says.
type OnTheWay = (Duration, Duration, usize, Result<(), Option<Duration>>);

struct Run {
    took_s: f64,
    refused: usize,
}

/// Sends `requests` to one host, ten at a time. A refused one is the next to go again.
fn run(host: Limiter, requests: usize, round_trip: Duration, rate: RateLimit, bare_status: Signal) -> Run {
    run_told(host, requests, round_trip, rate, bare_status, |_| None)
}

/// The same, where each answer tells a quota: of the second at which it is written.
fn run_told(
    mut host: Limiter,
    requests: usize,
    round_trip: Duration,
    rate: RateLimit,
    bare_status: Signal,
    mut tells: impl FnMut(f64) -> Option<Quota>,
) -> Run {
    let start = Instant::now();
    let waits = ProbeWaits { first: Duration::from_millis(500), longest: Duration::from_secs(60) };
    let mut scheduler = Scheduler::new(waits);
    let id = scheduler.add_host(10);
    if let Some(pace) = Pace::new(rate, start) {
        scheduler.set_pace(id, pace);
    }
    (0..requests).for_each(|item| scheduler.push(id, item, 0));
    let mut refusals = vec![0_u32; requests];
    let mut on_the_way: BinaryHeap<Reverse<OnTheWay>> = BinaryHeap::new();
    let (mut now, mut served) = (Duration::ZERO, 0);
    let mut told: HashMap<usize, Option<Quota>> = HashMap::new();
    // Retries that wait for their backoff: a bare 503 is not known to be a refusal at once.
    let mut later: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    while served < requests {
        while later.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            later.pop().into_iter().for_each(|Reverse((_, item))| scheduler.push_front(id, item));
        }
        scheduler.wake_due(start + now);
        while let Some((_, item)) = scheduler.start(start + now) {
            let at = (now + round_trip / 2).as_secs_f64();
            let answer = host(at).map_err(|wait| wait.map(Duration::from_secs_f64));
            on_the_way.push(Reverse((now + round_trip, now, item, answer)));
            told.insert(item, tells(at));
        }
        let wake = scheduler.next_wake().map(|wake| {
            // A timer goes off at the end of its millisecond.
            Duration::from_millis((wake - start).as_nanos().div_ceil(1_000_000) as u64).max(now)
        });
        let wake = wake.into_iter().chain(later.peek().map(|Reverse((due, _))| *due)).min();
        let next = on_the_way.peek().map(|Reverse((at, ..))| *at);
        if let Some(wake) = wake.filter(|wake| next.is_none_or(|next| *wake < next)) {
            now = wake;
            continue;
        }
        let Some(Reverse((at, went, item, answer))) = on_the_way.pop() else {
            panic!("nothing goes any more, {served} of {requests} were served")
        };
        now = at;
        let named = answer.err().flatten();
        let signal = match answer {
            Ok(()) => Signal::Served,
            Err(Some(_)) => Signal::Throttled,
            Err(None) => bare_status,
        };
        let quota = told.remove(&item).flatten();
        let note = Note {
            signal,
            has_served: served > 0,
            is_retry: refusals[item] > 0,
            started: start + went,
            ended: start + now,
            retry_after: named.filter(|wait| !wait.is_zero()),
            backoff: Duration::from_millis(500),
            quota: quota.as_ref(),
            concurrent: None,
        };
        let noted = scheduler.note(id, 0, &note);
        served += usize::from(answer.is_ok());
        if answer.is_err() {
            refusals[item] += 1;
            if noted.refused.is_some() {
                scheduler.push_front(id, item);
            } else {
                later.push(Reverse((now + Duration::from_millis(500), item)));
            }
        }
        assert!(scheduler.finish(id).is_empty());
    }
    let refused = refusals.iter().sum::<u32>() as usize;
    Run { took_s: now.as_secs_f64(), refused }
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

#[test]
fn test_twenty_requests_are_soon_through_a_limiter_of_five() {
    for (name, limiter, ideal_s) in five_seconds(5, 20.0) {
        for (round_trip, bare) in
            [(NEAR, Signal::Throttled), (FAR, Signal::Throttled), (NEAR, Signal::Unavailable)]
        {
            let run = run(limiter(), 20, round_trip, RateLimit::Unlimited, bare);
            let what =
                format!("{name}, {round_trip:?}, {bare:?}: {:.1} s, {} refused", run.took_s, run.refused);
            assert!(run.took_s <= 1.3 * ideal_s, "{what}");
            // Far away, one more is on its way when the first is known.
            let most = if round_trip == FAR { 10 } else { 8 };
            assert!(run.refused <= most, "{what}: more than two for each of four windows");
        }
    }
}

#[test]
fn test_sixty_requests_are_soon_through_a_limiter_of_ten_when_the_rate_is_to_be_found() {
    for (name, limiter, ideal_s) in five_seconds(10, 60.0) {
        for (round_trip, bare) in
            [(NEAR, Signal::Throttled), (FAR, Signal::Throttled), (NEAR, Signal::Unavailable)]
        {
            let run = run(limiter(), 60, round_trip, RateLimit::Auto, bare);
            let what =
                format!("{name}, {round_trip:?}, {bare:?}: {:.1} s, {} refused", run.took_s, run.refused);
            assert!(run.took_s <= 1.35 * ideal_s, "{what}");
            assert!(run.refused <= 6, "{what}: more than a tenth");
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
        let run = run(bucket(5.0, per_s, Names::Nothing), 25, NEAR, RateLimit::Auto, Signal::Throttled);
        let ideal_s = 20.0 / per_s;
        assert!(run.took_s <= 1.35 * ideal_s, "{what}: {:.0} s, at best {ideal_s:.0}", run.took_s);
    }
}

#[test]
fn test_sixty_requests_are_soon_through_a_limiter_that_tells_what_is_left_in_whole_seconds() {
    for (rounds, name) in [(f64::ceil as fn(f64) -> f64, "up"), (f64::floor, "down")] {
        for round_trip in [NEAR, FAR] {
            let (mut end, mut count) = (f64::MIN, 0.0);
            let tells = move |at: f64| {
                if at >= end {
                    (end, count) = (at + 5.0, 0.0);
                }
                count += 1.0;
                let remaining = f64::max(10.0 - count, 0.0);
                let reset = Duration::from_secs_f64(rounds(end - at));
                Some(Quota { limit: Some(10.0), remaining, reset, window: None })
            };
            let host = fixed(10, 5.0, Names::Wait);
            let run = run_told(host, 60, round_trip, RateLimit::Auto, Signal::Throttled, tells);
            let what =
                format!("rounded {name}, {round_trip:?}: {:.1} s, {} refused", run.took_s, run.refused);
            assert!(run.took_s <= 1.35 * 25.0 && run.refused <= 6, "{what}");
        }
    }
}

#[test]
fn test_requests_are_spread_where_a_window_is_an_average() {
    for offset_s in [0.1, 1.3, 2.6, 3.9] {
        for names in [Names::Nothing, Names::Window] {
            let host = counters(5, 5.0, offset_s, names);
            let run = run(host, 20, NEAR, RateLimit::Unlimited, Signal::Throttled);
            let what = format!("at {offset_s} s, {names:?}: {:.1} s, {} refused", run.took_s, run.refused);
            assert!(run.took_s <= 1.3 * 19.5 && run.refused <= 9, "{what}");
        }
    }
}
