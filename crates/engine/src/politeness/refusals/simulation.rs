//! A client with ten in flight against limiters of every kind, on a clock that is only counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::{Opening, Refusal, Refusals};
use crate::politeness::limiters::{Case, Limiter, Names, aligned, bucket, fixed, sliding};

/// When a request comes back, when it went, and what its host says.
type OnTheWay = (Duration, Duration, Result<(), Option<Duration>>);

struct Run {
    /// Seconds until the last of all requests was accepted.
    took_s: f64,
    /// When requests were refused.
    refused: Vec<f64>,
    /// The longest time in which nothing was sent.
    longest_gap_s: f64,
}

/// Sends `requests`, ten at a time, over connections with this round trip.
fn run(mut host: Limiter, requests: u32, round_trip: Duration) -> Run {
    const IN_FLIGHT: u32 = 10;
    let start = Instant::now();
    let mut refusals: Option<Refusals> = None;
    // When each comes back, when it went, and what it says.
    let mut on_the_way: BinaryHeap<Reverse<OnTheWay>> = BinaryHeap::new();
    let (mut now, mut left, mut served) = (Duration::ZERO, requests, 0);
    let mut ended = Run { took_s: 0.0, refused: Vec::new(), longest_gap_s: 0.0 };
    let mut sent_at = 0.0;
    while served < requests {
        let mut wake = Duration::MAX;
        while left > 0 && (on_the_way.len() as u32) < IN_FLIGHT {
            if let Some(refusals) = &mut refusals {
                if let Some(until) = refusals.next(start + now) {
                    // A timer goes off at the end of its millisecond.
                    wake = Duration::from_millis((until - start).as_nanos().div_ceil(1_000_000) as u64);
                    break;
                }
                if on_the_way.len() as u32 >= refusals.limit() {
                    break;
                }
                refusals.take(start + now);
            }
            left -= 1;
            let at = now.as_secs_f64();
            ended.longest_gap_s = ended.longest_gap_s.max(at - sent_at);
            sent_at = at;
            let answer =
                host((now + round_trip / 2).as_secs_f64()).map_err(|wait| wait.map(Duration::from_secs_f64));
            if answer.is_err() {
                ended.refused.push(at);
            }
            on_the_way.push(Reverse((now + round_trip, now, answer)));
        }
        let next = on_the_way.peek().map_or(Duration::MAX, |Reverse((at, ..))| *at);
        if wake < next {
            now = wake;
            continue;
        }
        let Some(Reverse((at, went, answer))) = on_the_way.pop() else { break };
        now = at;
        let started = start + went;
        match answer {
            Ok(()) => {
                served += 1;
                if let Some(refusals) = &mut refusals {
                    refusals.accepted(started, start + now);
                }
            }
            Err(wait) => {
                left += 1;
                let backoff = Duration::from_millis(500);
                let refusal = Refusal { started, ended: start + now, wait, backoff };
                refusals
                    .get_or_insert_with(|| Refusals::new(Some(served), Opening::at(start)))
                    .refused(&refusal);
            }
        }
    }
    ended.took_s = now.as_secs_f64();
    ended
}

const NEAR: Duration = Duration::from_millis(2);
const FAR: Duration = Duration::from_millis(100);

/// Limiters of five requests in five seconds, and how long they take for twenty at best.
fn fives() -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for names in [Names::Nothing, Names::Wait, Names::Window] {
        all.push((format!("fixed, {names:?}"), Box::new(move || fixed(5, 5.0, names)), 15.0));
        all.push((format!("sliding, {names:?}"), Box::new(move || sliding(5, 5.0, names)), 15.0));
        if names == Names::Window {
            // A bucket that says so is as good as a window.
            continue;
        }
        all.push((format!("bucket, {names:?}"), Box::new(move || bucket(5.0, 1.0, names)), 15.0));
        for offset in [1.3, 3.9] {
            let name = format!("aligned at {offset} s, {names:?}");
            all.push((name, Box::new(move || aligned(5, 5.0, offset, names)), 15.0 - offset));
        }
    }
    all
}

#[test]
fn test_twenty_requests_take_little_longer_than_a_limiter_of_five_allows() {
    for (name, limiter, ideal_s) in fives() {
        for round_trip in [NEAR, FAR] {
            let run = run(limiter(), 20, round_trip);
            let ratio = run.took_s / ideal_s;
            assert!(ratio <= 1.3, "{name}, {round_trip:?}: {:.1} s, {ratio:.2} times the ideal", run.took_s);
        }
    }
}

#[test]
fn test_refusals_are_few_once_the_first_crowd_is_back() {
    for (name, limiter, _) in fives() {
        for round_trip in [NEAR, FAR] {
            let run = run(limiter(), 20, round_trip);
            let late = run.refused.iter().filter(|at| **at > 0.3).count();
            assert!(
                late <= 5,
                "{name}, {round_trip:?}: {late} of {} refused after the first crowd",
                run.refused.len()
            );
        }
    }
}

#[test]
fn test_slow_buckets_are_found() {
    for (per_s, what) in
        [(0.5, "one in two seconds"), (1.0 / 60.0, "one a minute"), (6.0 / 3600.0, "six an hour")]
    {
        let run = run(bucket(1.0, per_s, Names::Nothing), 20, NEAR);
        let ideal_s = 19.0 / per_s;
        assert!(run.took_s <= 1.15 * ideal_s, "{what}: {:.0} s, at best {ideal_s:.0}", run.took_s);
        assert!(run.refused.len() <= 25, "{what}: {} refused", run.refused.len());
        assert!(run.longest_gap_s <= 2.0 / per_s, "{what}: nothing went for {:.0} s", run.longest_gap_s);
    }
}

#[test]
fn test_one_an_hour_is_borne_out() {
    let run = run(bucket(1.0, 1.0 / 3600.0, Names::Wait), 8, NEAR);
    assert!(run.took_s <= 1.05 * 7.0 * 3600.0, "{:.0} s", run.took_s);
    let run = self::run(bucket(1.0, 1.0 / 3600.0, Names::Nothing), 8, NEAR);
    assert!(run.took_s <= 1.15 * 7.0 * 3600.0, "{:.0} s", run.took_s);
}

#[test]
fn test_long_windows_are_used_up() {
    for names in [Names::Nothing, Names::Wait] {
        let run = run(fixed(100, 60.0, names), 1_000, FAR);
        assert!(run.took_s <= 1.15 * 540.0, "{names:?}: {:.0} s of 540 at best", run.took_s);
        assert!(run.refused.len() <= 30, "{names:?}: {} refused of 1,000", run.refused.len());
    }
}

#[test]
fn test_a_limit_that_is_lifted_is_noticed() {
    let mut slow = fixed(5, 5.0, Names::Wait);
    let host: Limiter = Box::new(move |at| if at < 30.0 { slow(at) } else { Ok(()) });
    let run = run(host, 2_000, NEAR);
    assert!(run.took_s <= 125.0, "{:.0} s for 2,000 requests, of which 30 s are limited", run.took_s);
}

#[test]
fn test_a_limit_that_drops_is_kept_to() {
    let (mut wide, mut narrow) = (fixed(20, 5.0, Names::Wait), fixed(5, 5.0, Names::Wait));
    let host: Limiter = Box::new(move |at| if at < 20.0 { wide(at) } else { narrow(at) });
    let run = run(host, 140, NEAR);
    assert!(run.refused.iter().filter(|at| **at > 30.0).count() <= 6, "{:?}", run.refused);
    assert!(run.took_s <= 1.3 * (20.0 + 60.0 / 1.0), "{:.0} s", run.took_s);
}
