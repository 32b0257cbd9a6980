//! Limiters of every kind, on a clock that is only counted: what hosts are in the tests of those who ask them.

use std::collections::VecDeque;

/// Whether a limiter accepts a request at so many seconds; refused, it may name a wait in seconds.
pub(super) type Limiter = Box<dyn FnMut(f64) -> Result<(), Option<f64>>>;

/// A limiter by name, and how many seconds the requests of a test take at best.
pub(super) type Case = (String, Box<dyn Fn() -> Limiter>, f64);

/// How a limiter names the wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    Nothing,
    /// In whole seconds, rounded up.
    Wait,
    /// The whole window, however much of it is left (go-chi/httprate 0.16.1).
    Window,
}

impl Names {
    fn wait(self, left_s: f64, window_s: f64) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Wait => Some(left_s.ceil()),
            Self::Window => Some(window_s),
        }
    }
}

/// A window that begins with the first request in it.
pub(super) fn fixed(limit: u32, window_s: f64, names: Names) -> Limiter {
    let (mut end, mut count) = (f64::MIN, 0);
    Box::new(move |at| {
        if at >= end {
            (end, count) = (at + window_s, 0);
        }
        count += 1;
        if count <= limit { Ok(()) } else { Err(names.wait(end - at, window_s)) }
    })
}

/// A window that begins on the clock, which showed `offset_s` at the start.
pub(super) fn aligned(limit: u32, window_s: f64, offset_s: f64, names: Names) -> Limiter {
    let (mut window, mut count) = (-1.0, 0);
    Box::new(move |at| {
        let number = ((at + offset_s) / window_s).floor();
        if number > window {
            (window, count) = (number, 0);
        }
        count += 1;
        let left = (number + 1.0) * window_s - at - offset_s;
        if count <= limit { Ok(()) } else { Err(names.wait(left, window_s)) }
    })
}

pub(super) fn sliding(limit: usize, window_s: f64, names: Names) -> Limiter {
    let mut accepted = VecDeque::new();
    Box::new(move |at| {
        while accepted.front().is_some_and(|first| *first <= at - window_s) {
            accepted.pop_front();
        }
        if accepted.len() < limit {
            accepted.push_back(at);
            return Ok(());
        }
        Err(names.wait(accepted.front().map_or(0.0, |first| first + window_s - at), window_s))
    })
}

/// The requests of the window that the clock shows, and of the one before in the part that is left of it: the window
/// counters of go-chi/httprate.
pub(super) fn counters(limit: u32, window_s: f64, offset_s: f64, names: Names) -> Limiter {
    let (mut window, mut count, mut before) = (0.0, 0.0, 0.0);
    Box::new(move |at| {
        let number = ((at + offset_s) / window_s).floor();
        if number > window {
            before = if number - window > 1.0 { 0.0 } else { count };
            (window, count) = (number, 0.0);
        }
        let gone = (at + offset_s) / window_s - number;
        if before * (1.0 - gone) + count < f64::from(limit) {
            count += 1.0;
            return Ok(());
        }
        Err(names.wait((1.0 - gone) * window_s, window_s))
    })
}

pub(super) fn bucket(burst: f64, per_s: f64, names: Names) -> Limiter {
    let (mut tokens, mut last) = (burst, 0.0);
    Box::new(move |at| {
        tokens = f64::min(burst, tokens + (at - last) * per_s);
        last = at;
        if tokens >= 1.0 {
            tokens -= 1.0;
            return Ok(());
        }
        Err(names.wait((1.0 - tokens) / per_s, burst / per_s))
    })
}
