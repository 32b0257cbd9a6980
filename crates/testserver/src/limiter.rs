//! Decides which requests a limit accepts: pure, exact, in whole nanoseconds.

use std::collections::VecDeque;
use std::time::Duration;

/// How requests are counted against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// At most `rate` in any span of `per`.
    Sliding,
    /// At most `rate` in each span of `per` since the server's start.
    Fixed,
    /// A bucket of `burst` tokens, of which each request takes one; `rate` are added in every `per`. It starts full.
    ///
    /// With a bucket of one token requests are spaced: the second of two is refused when it comes less than
    /// `per / rate` after the first.
    Bucket {
        /// Tokens the bucket holds, at least 1.
        burst: u32,
    },
}

/// A limit: `rate` requests per `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) window: Window,
    /// At least 1.
    pub(crate) rate: u32,
    /// Above zero.
    pub(crate) per: Duration,
}

/// A limit's decision about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) accepted: bool,
    /// How many more would be accepted at once.
    pub(crate) remaining: u64,
    /// The time until the limit counts less than now: the oldest request leaves a sliding window, a fixed window
    /// ends, a bucket is full.
    pub(crate) reset: Duration,
    /// The time until the next request would be accepted; zero when that is now.
    pub(crate) wait: Duration,
}

/// A rule and its state.
#[derive(Debug)]
pub(crate) struct Limiter {
    rule: Rule,
    state: State,
}

#[derive(Debug)]
enum State {
    /// When the accepted requests of the last `per` arrived, oldest first: at most `rate` of them.
    Sliding(VecDeque<Duration>),
    Fixed {
        window: u128,
        accepted: u32,
    },
    /// When the bucket is full again, in ticks: a nanosecond has `rate` ticks, so that a token is exactly as many
    /// ticks as `per` has nanoseconds, whatever the rate.
    ///
    /// Source: the generic cell rate algorithm, ITU-T I.371, as virtual scheduling.
    Bucket {
        full: u128,
    },
}

impl Limiter {
    pub(crate) fn new(rule: Rule) -> Self {
        let state = match rule.window {
            Window::Sliding => State::Sliding(VecDeque::new()),
            Window::Fixed => State::Fixed { window: 0, accepted: 0 },
            Window::Bucket { .. } => State::Bucket { full: 0 },
        };
        Self { rule, state }
    }

    pub(crate) fn rule(&self) -> Rule {
        self.rule
    }

    /// Decides about a request that arrives at `now`, a time since the server's start that never goes back. Amortised
    /// O(1).
    pub(crate) fn ask(&mut self, now: Duration) -> Ruling {
        let Rule { window, rate, per } = self.rule;
        match &mut self.state {
            State::Sliding(accepted) => slide(accepted, rate, per, now),
            State::Fixed { window, accepted } => {
                let current = now.as_nanos() / per.as_nanos();
                if *window != current {
                    (*window, *accepted) = (current, 0);
                }
                let fits = *accepted < rate;
                *accepted += u32::from(fits);
                let reset = nanoseconds((current + 1) * per.as_nanos() - now.as_nanos());
                ruling(fits, rate - *accepted, reset, reset)
            }
            State::Bucket { full } => {
                let burst = if let Window::Bucket { burst } = window { burst } else { 1 };
                draw(full, burst, rate, per, now)
            }
        }
    }
}

fn slide(accepted: &mut VecDeque<Duration>, rate: u32, per: Duration, now: Duration) -> Ruling {
    while accepted.front().is_some_and(|&oldest| oldest + per <= now) {
        accepted.pop_front();
    }
    let fits = accepted.len() < rate as usize;
    if fits {
        accepted.push_back(now);
    }
    let reset = accepted.front().map_or(Duration::ZERO, |&oldest| (oldest + per).saturating_sub(now));
    ruling(fits, rate - accepted.len() as u32, reset, reset)
}

fn draw(full: &mut u128, burst: u32, rate: u32, per: Duration, now: Duration) -> Ruling {
    let (token, rate) = (per.as_nanos(), u128::from(rate));
    let now = now.as_nanos() * rate;
    let spare = token * u128::from(burst - 1);
    let fits = full.saturating_sub(now) <= spare;
    if fits {
        *full = now.max(*full) + token;
    }
    let missing = full.saturating_sub(now);
    let remaining = (spare + token).saturating_sub(missing) / token;
    let until = |ticks: u128| nanoseconds(ticks.div_ceil(rate));
    ruling(fits, remaining as u32, until(missing), until(missing.saturating_sub(spare)))
}

/// `wait` is what a request has to wait for when nothing remains.
fn ruling(accepted: bool, remaining: u32, reset: Duration, wait: Duration) -> Ruling {
    let wait = if remaining > 0 { Duration::ZERO } else { wait };
    Ruling { accepted, remaining: remaining.into(), reset, wait }
}

fn nanoseconds(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WINDOWS: [Window; 4] =
        [Window::Sliding, Window::Fixed, Window::Bucket { burst: 50 }, Window::Bucket { burst: 1 }];

    fn limiter(window: Window, rate: u32, per: Duration) -> Limiter {
        Limiter::new(Rule { window, rate, per })
    }

    /// The times of the requests accepted when one comes every `step` until `end`.
    fn accepted(limiter: &mut Limiter, step: Duration, end: Duration) -> Vec<Duration> {
        let times = std::iter::successors(Some(Duration::ZERO), |&time| Some(time + step));
        times.take_while(|&time| time < end).filter(|&time| limiter.ask(time).accepted).collect()
    }

    fn spanned(times: &[Duration]) -> Duration {
        let first = times.first().copied().unwrap_or_default();
        times.last().copied().unwrap_or_default().saturating_sub(first)
    }

    #[test]
    fn test_long_run_is_exact_when_more_is_asked() {
        for (window, first) in WINDOWS.into_iter().zip([50, 50, 99, 50]) {
            let times = accepted(&mut limiter(window, 50, SECOND), Duration::from_millis(1), 10 * SECOND);
            let of_second = |n| times.iter().filter(|time| time.as_secs() == n).count();
            assert_eq!(of_second(0), first, "{window:?}");
            assert!((1..10).all(|n| of_second(n) == 50), "{window:?}");
        }
    }

    #[test]
    fn test_nothing_drifts_when_the_interval_is_no_whole_number() {
        let mut limiter = limiter(Window::Bucket { burst: 2 }, 7, SECOND);
        let times = accepted(&mut limiter, Duration::from_micros(1), 10 * SECOND);
        assert_eq!(times.len(), 71);
        // After the burst each comes in the first whole microsecond after a multiple of a seventh of a second.
        let exact = |n: u128| (n * 1_000_000).div_ceil(7);
        assert!(times.iter().skip(2).zip(1..).all(|(time, n)| time.as_micros() == exact(n)));
    }

    #[test]
    fn test_sliding_window_holds_in_every_span_when_requests_come_in_bursts() {
        let mut limiter = limiter(Window::Sliding, 5, SECOND);
        let bursts = (0..200).flat_map(|n| [Duration::from_millis(n * 37); 4]);
        let times: Vec<Duration> = bursts.filter(|&time| limiter.ask(time).accepted).collect();
        assert!(times.windows(6).all(|six| spanned(six) >= SECOND));
        assert!(times.windows(5).any(|five| spanned(five) < SECOND / 2));
    }

    #[test]
    fn test_fixed_window_lets_twice_the_rate_through_when_asked_around_its_edge() {
        let mut limiter = limiter(Window::Fixed, 5, SECOND);
        let around = |ms| [Duration::from_millis(ms); 10];
        let count = around(990).into_iter().chain(around(1000)).filter(|&time| limiter.ask(time).accepted);
        assert_eq!(count.count(), 10);
    }

    #[test]
    fn test_ruling_says_what_is_left_when_asked() {
        let ms = Duration::from_millis;
        for (window, expected) in [
            (Window::Sliding, [(1, ms(1000), ms(0)), (0, ms(900), ms(900)), (0, ms(800), ms(800))]),
            (Window::Fixed, [(1, ms(1000), ms(0)), (0, ms(900), ms(900)), (0, ms(800), ms(800))]),
            (
                Window::Bucket { burst: 2 },
                [(1, ms(500), ms(0)), (0, ms(900), ms(400)), (0, ms(800), ms(300))],
            ),
            (
                Window::Bucket { burst: 1 },
                [(0, ms(500), ms(500)), (0, ms(400), ms(400)), (0, ms(300), ms(300))],
            ),
        ] {
            let mut limiter = limiter(window, 2, SECOND);
            for (n, (remaining, reset, wait)) in (0..).zip(expected) {
                let ruling = limiter.ask(ms(n * 100));
                assert_eq!(
                    (ruling.remaining, ruling.reset, ruling.wait),
                    (remaining, reset, wait),
                    "{window:?}"
                );
            }
        }
    }

    #[test]
    fn test_waiting_as_told_is_enough_and_no_more_than_needed() {
        for window in WINDOWS {
            let mut limiter = limiter(window, 3, SECOND);
            let mut now = Duration::ZERO;
            for _ in 0..200 {
                let ruling = limiter.ask(now);
                assert!(ruling.accepted, "{window:?} at {now:?}");
                let next = now + ruling.wait;
                if !ruling.wait.is_zero() {
                    assert!(
                        !limiter.ask(next.saturating_sub(Duration::from_nanos(1))).accepted,
                        "{window:?} at {next:?}"
                    );
                }
                now = next;
            }
        }
    }
}
