//! The scheduler against limiters as they are installed. The marks are those of docs/limiters.md: twenty requests at
//! default options where five go in five seconds, sixty with a rate that is to be found where ten do.

use super::*;
use crate::politeness::real_limiters::{
    Tells, bucket4j, envoy, gateway, haproxy, httprate, litestar, moving_window, nest, nginx, rest_framework,
    throttled, tollbooth, traefik, two_limiters, windowed,
};

/// Parts of a second, or of a window, that have passed on the clock when a test begins.
const PHASES: [f64; 8] = [0.05, 0.17, 0.3, 0.45, 0.6, 0.7, 0.85, 0.97];
const ROUND_TRIPS: [Duration; 2] = [NEAR, Duration::from_millis(15)];

/// A limiter for a limit and a phase, and the least seconds of both tests.
pub(super) struct Real {
    pub(super) name: String,
    pub(super) host: Box<dyn Fn(u32, f64) -> Host>,
    pub(super) least_s: [f64; 2],
}

pub(super) fn real() -> Vec<Real> {
    let mut all: Vec<Real> = Vec::new();
    let mut add = |name: &str, least_s, host: Box<dyn Fn(u32, f64) -> Host>| {
        all.push(Real { name: name.into(), host, least_s });
    };
    let plain = [15.0, 25.0];
    for tells in Tells::ALL {
        let host = move |limit, phase| windowed(limit, 5.0, phase, tells);
        add(&format!("a window that is told as {tells:?}"), plain, Box::new(host));
    }
    add("two limiters", [20.0, 30.0], Box::new(|limit, _| two_limiters(limit, 5.0, false)));
    add("two limiters, both told", [20.0, 30.0], Box::new(|limit, _| two_limiters(limit, 5.0, true)));
    add("moving window", plain, Box::new(|limit, phase| moving_window(limit as usize, 5.0, phase)));
    add("REST framework", plain, Box::new(|limit, _| rest_framework(limit as usize, 5.0, 0.0)));
    add("REST framework, racy", plain, Box::new(|limit, _| rest_framework(limit as usize, 5.0, 0.002)));
    add("nest", plain, Box::new(|limit, _| nest(limit as usize, 5.0)));
    add("litestar", [59.0, 119.0], Box::new(|limit, phase| litestar(2 * limit, 60.0, phase)));
    add("httprate", [19.5, 29.8], Box::new(|limit, phase| httprate(limit, 5.0, 5.0 * phase)));
    add("HAProxy", [19.0, 29.5], Box::new(|limit, _| haproxy(limit, 5.0)));
    add("nginx, 429", plain, Box::new(|limit, _| nginx(limit.into(), 5.0, 429)));
    add("nginx, 503", plain, Box::new(|limit, _| nginx(limit.into(), 5.0, 503)));
    add("nginx, 30r/m", [30.0, 110.0], Box::new(|_, _| nginx(5.0, 10.0, 429)));
    add("bucket4j", plain, Box::new(|limit, _| bucket4j(limit.into(), 5.0)));
    add("Traefik", plain, Box::new(|limit, _| traefik(limit.into(), 5.0)));
    add("Spring Cloud Gateway", plain, Box::new(|limit, phase| gateway(limit.into(), 5.0, phase)));
    add("throttled", plain, Box::new(|limit, _| throttled(limit.into(), 5.0)));
    add("tollbooth", plain, Box::new(|limit, _| tollbooth(limit.into(), 5.0)));
    add("Envoy", plain, Box::new(|limit, _| envoy(limit.into(), 5.0)));
    all
}

/// Runs all of them in each phase, and hands each run to `judge` with its time against the least.
fn try_all(requests: usize, limit: u32, rate: RateLimit, judge: impl Fn(&Run, f64, &str)) {
    for Real { name, host, least_s } in real() {
        for (phase, round_trip) in PHASES.iter().flat_map(|phase| ROUND_TRIPS.map(|trip| (*phase, trip))) {
            let run = run(host(limit, phase), requests, round_trip, rate, phase);
            let ratio = run.took_s / least_s[usize::from(rate == RateLimit::Auto)];
            judge(
                &run,
                ratio,
                &format!("{name}, at {phase}, {round_trip:?}: {ratio:.2} times the least: {run}"),
            );
        }
    }
}

/// The most refusals of one window after the first.
fn most_in_a_window(run: &Run) -> usize {
    let windows = run.refused.iter().map(|at_s| (at_s / 5.0) as usize).filter(|window| *window > 0);
    let mut counts = HashMap::new();
    windows.for_each(|window| *counts.entry(window).or_default() += 1);
    counts.into_values().max().unwrap_or_default()
}

#[test]
fn test_twenty_requests_are_soon_through_limiters_as_they_are_installed() {
    try_all(20, 5, RateLimit::Unlimited, |run, ratio, what| {
        // An unlucky phase of httprate needs a little more.
        assert!(ratio <= if what.starts_with("httprate") { 1.32 } else { 1.3 }, "{what}");
        assert!(run.refused.len() <= 8 && most_in_a_window(run) <= 2, "{what}");
    });
}

#[test]
fn test_sixty_requests_are_soon_through_limiters_as_they_are_installed_when_the_rate_is_to_be_found() {
    try_all(60, 10, RateLimit::Auto, |run, ratio, what| {
        assert!(ratio <= 1.35 && run.refused.len() <= 6, "{what}");
    });
}

#[test]
fn test_a_host_that_tells_what_is_left_is_not_asked_for_more_from_the_beginning() {
    let run = run(litestar(10, 60.0, 0.3), 20, NEAR, RateLimit::Unlimited, 0.3);
    assert!(run.refused.is_empty(), "{run}");
}

#[test]
fn test_a_server_that_was_just_started_is_not_taken_for_a_slow_limiter() {
    for Real { name, host, least_s } in real() {
        for (phase, cold_ms) in [(0.05, 700), (0.45, 2_200), (0.7, 350)] {
            let cold = Duration::from_millis(cold_ms);
            let network = Network { cold, ..Network::calm(NEAR) };
            let run = run_over(&network, host(5, phase), 20, RateLimit::Unlimited, phase);
            let ratio = (run.took_s - cold.as_secs_f64()) / least_s[0];
            let what = format!("{name}, at {phase}, {cold_ms} ms: {ratio:.2} times the least: {run}");
            assert!(ratio <= 1.3, "{what}");
            assert!(run.refused.len() <= 8 && most_in_a_window(&run) <= 2, "{what}");
        }
    }
}

#[test]
fn test_windows_are_not_asked_too_early_when_requests_are_not_equally_long_on_their_way() {
    let network = Network { jitter: Duration::from_millis(60), ..Network::calm(NEAR) };
    for (requests, limit, rate) in [(20, 5, RateLimit::Unlimited), (60, 10, RateLimit::Auto)] {
        for Real { name, host, least_s } in real() {
            for phase in PHASES {
                let run = run_over(&network, host(limit, phase), requests, rate, phase);
                let ratio = run.took_s / least_s[usize::from(rate == RateLimit::Auto)];
                let what = format!("{name}, {rate:?}, at {phase}: {ratio:.2} times the least: {run}");
                // These two refuse what comes a little early for longer than others.
                let most = if matches!(name.as_str(), "httprate" | "moving window") { 1.6 } else { 1.3 };
                assert!(ratio <= most && most_in_a_window(&run) <= 4, "{what}");
            }
        }
    }
}

#[test]
fn test_what_a_host_says_is_left_goes_at_once_when_its_window_is_new() {
    for (phase, round_trip) in PHASES.iter().flat_map(|phase| ROUND_TRIPS.map(|trip| (*phase, trip))) {
        let host = windowed(5, 5.0, phase, Tells::Seconds);
        let run = run(host, 20, round_trip, RateLimit::Unlimited, phase);
        assert!(run.took_s <= 1.02 * 15.0, "at {phase}, {round_trip:?}: {run}");
    }
}
