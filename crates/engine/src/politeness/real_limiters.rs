//! Limiters as they are installed, on a clock that is only counted: what they accept, and the header lines that they
//! send. docs/limiters.md has their versions, and the lines as they crossed the wire.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The second since 1970 at which a test begins.
const BEGIN_S: u64 = 1_796_077_287;

/// By so much a server's `Date`, which it writes now and then, may be late.
const STALE_S: f64 = 0.5;

/// Whether a request is accepted, and the header lines with the answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) lines: Vec<(&'static str, String)>,
}

/// Answers a request at so many seconds.
pub(super) type Host = Box<dyn FnMut(f64) -> Answer>;

/// The time on all clocks at so many seconds, which began in the middle of a second.
pub(super) fn wall(at: f64, phase: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(BEGIN_S) + Duration::from_secs_f64(at + phase)
}

fn epoch(at: f64, phase: f64) -> f64 {
    BEGIN_S as f64 + at + phase
}

fn date(since_1970: f64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since_1970 as u64))
}

fn answer(accepts: bool, refusal: u16, lines: Vec<(&'static str, String)>) -> Answer {
    Answer { status: if accepts { 200 } else { refusal }, lines }
}

/// A window that the first request in it opens.
struct Window {
    limit: u32,
    length_s: f64,
    end: f64,
    count: u32,
}

impl Window {
    fn new(limit: u32, window_s: f64) -> Self {
        Self { limit, length_s: window_s, end: f64::MIN, count: 0 }
    }

    /// Counts a request: what is left, if it is accepted.
    fn count(&mut self, at: f64) -> Option<u32> {
        if at >= self.end {
            (self.end, self.count) = (at + self.length_s, 0);
        }
        self.count += 1;
        self.limit.checked_sub(self.count)
    }
}

/// How a fixed window is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    /// express-rate-limit, legacy.
    EpochUp,
    /// express-rate-limit, draft-6.
    Seconds,
    /// rate-limiter-flexible, as its README has it.
    Decimals,
    /// koa-ratelimit.
    DecimalsThenDown,
    /// Flask-Limiter.
    OneMore,
    /// Flask-Limiter, http-date.
    OneMoreAsDate,
    /// slowapi.
    DecimalsAndOneMore,
    /// slowapi, http-date.
    DecimalsAndOneMoreAsDate,
    /// sethvargo/go-limiter.
    DateDown,
    /// ulule/limiter.
    EpochDown,
}

impl Tells {
    pub(super) const ALL: [Self; 10] = [
        Self::EpochUp,
        Self::Seconds,
        Self::Decimals,
        Self::DecimalsThenDown,
        Self::OneMore,
        Self::OneMoreAsDate,
        Self::DecimalsAndOneMore,
        Self::DecimalsAndOneMoreAsDate,
        Self::DateDown,
        Self::EpochDown,
    ];

    fn lines(
        self,
        limit: u32,
        left: Option<u32>,
        at: f64,
        end: f64,
        phase: f64,
    ) -> Vec<(&'static str, String)> {
        let (now, end) = (epoch(at, phase), epoch(end, phase));
        let left_s = end - now;
        let x = |reset: String| {
            vec![
                ("date", date(now - STALE_S)),
                ("x-ratelimit-limit", limit.to_string()),
                ("x-ratelimit-remaining", left.unwrap_or_default().to_string()),
                ("x-ratelimit-reset", reset),
            ]
        };
        let with = |mut lines: Vec<(&'static str, String)>, retry_after: String, always: bool| {
            if always || left.is_none() {
                lines.push(("retry-after", retry_after));
            }
            lines
        };
        match self {
            Self::EpochUp => with(x(end.ceil().to_string()), left_s.ceil().to_string(), false),
            Self::Seconds => {
                let mut lines = vec![
                    ("ratelimit-limit", limit.to_string()),
                    ("ratelimit-remaining", left.unwrap_or_default().to_string()),
                    ("ratelimit-reset", left_s.ceil().to_string()),
                ];
                if left.is_none() {
                    lines.push(("retry-after", left_s.ceil().to_string()));
                }
                lines
            }
            Self::Decimals => with(x(end.ceil().to_string()), format!("{left_s:.3}"), true),
            Self::DecimalsThenDown => with(x(format!("{end:.6}")), left_s.floor().to_string(), false),
            Self::OneMore => {
                let reset = (end + 1.0).floor();
                with(x(reset.to_string()), (reset - now).floor().to_string(), true)
            }
            Self::OneMoreAsDate => {
                let reset = (end + 1.0).floor();
                with(x(reset.to_string()), date(reset), true)
            }
            Self::DecimalsAndOneMore => {
                with(x(format!("{:.6}", end + 1.0)), (left_s + 1.0).floor().to_string(), true)
            }
            Self::DecimalsAndOneMoreAsDate => {
                with(x(format!("{:.6}", end + 1.0)), date(end + 1.0).replace("GMT", "-0000"), true)
            }
            Self::DateDown => {
                with(x(date(end).replace("GMT", "UTC")), date(end).replace("GMT", "UTC"), false)
            }
            Self::EpochDown => x(end.floor().to_string()),
        }
    }
}

/// A window that the first request opens, told in one of many ways.
pub(super) fn windowed(limit: u32, window_s: f64, phase: f64, tells: Tells) -> Host {
    let mut window = Window::new(limit, window_s);
    Box::new(move |at| {
        let left = window.count(at);
        answer(left.is_some(), 429, tells.lines(limit, left, at, window.end, phase))
    })
}

/// express-rate-limit twice: three times as much in four times the time comes first. draft-6 tells only of the last that
/// was asked, draft-8 of both.
pub(super) fn two_limiters(limit: u32, window_s: f64, tells_both: bool) -> Host {
    let (mut outer, mut inner) = (Window::new(3 * limit, 4.0 * window_s), Window::new(limit, window_s));
    let item = |window: &Window, left: Option<u32>, at: f64| {
        format!("\"{}\"; r={}; t={}", window.limit, left.unwrap_or_default(), (window.end - at).ceil())
    };
    Box::new(move |at| {
        let of_outer = outer.count(at);
        let of_inner = of_outer.and_then(|_| inner.count(at));
        let refuses = of_inner.is_none();
        let last = if of_outer.is_some() { &inner } else { &outer };
        if !tells_both {
            return answer(!refuses, 429, Tells::Seconds.lines(last.limit, of_inner, at, last.end, 0.0));
        }
        let policy = |window: &Window| format!("\"{0}\"; q={0}; w={1}", window.limit, window.length_s);
        let mut lines = vec![("ratelimit", item(&outer, of_outer, at)), ("ratelimit-policy", policy(&outer))];
        if of_outer.is_some() {
            lines.push(("ratelimit", item(&inner, of_inner, at)));
            lines.push(("ratelimit-policy", policy(&inner)));
        }
        if refuses {
            lines.push(("retry-after", (last.end - at).ceil().to_string()));
        }
        answer(!refuses, 429, lines)
    })
}

/// Flask-Limiter, moving-window: the reset is when the oldest leaves, and one more.
pub(super) fn moving_window(limit: usize, window_s: f64, phase: f64) -> Host {
    let mut hits = VecDeque::new();
    Box::new(move |at| {
        while hits.front().is_some_and(|first| *first <= at - window_s) {
            hits.pop_front();
        }
        let accepts = hits.len() < limit;
        if accepts {
            hits.push_back(at);
        }
        let left = accepts.then(|| (limit - hits.len()) as u32);
        let end = hits.front().copied().unwrap_or(at) + window_s;
        answer(accepts, 429, Tells::OneMore.lines(limit as u32, left, at, end, phase))
    })
}

/// Django REST framework: a log of hits that is read and written apart. Two requests that come within `racing_s` are
/// served by different threads, and the second does not see the first.
pub(super) fn rest_framework(limit: usize, window_s: f64, racing_s: f64) -> Host {
    let (mut hits, mut before, mut last) = (VecDeque::new(), VecDeque::new(), f64::MIN);
    Box::new(move |at| {
        let mut seen: VecDeque<f64> = if at - last < racing_s { before.clone() } else { hits.clone() };
        (before, last) = (hits.clone(), at);
        while seen.front().is_some_and(|first| *first <= at - window_s) {
            seen.pop_front();
        }
        if seen.len() < limit {
            seen.push_back(at);
            hits = seen;
            return answer(true, 429, Vec::new());
        }
        let wait = seen.front().map_or(window_s, |first| first + window_s - at);
        answer(false, 429, vec![("retry-after", wait.ceil().to_string())])
    })
}

/// @nestjs/throttler: hits leave one by one, and the reset is that of a clock of its own. A refusal blocks for the whole
/// window, and then all hits are forgotten.
pub(super) fn nest(limit: usize, window_s: f64) -> Host {
    let mut hits: VecDeque<f64> = VecDeque::new();
    let (mut expires, mut blocked) = (f64::MIN, None::<f64>);
    Box::new(move |at| {
        while hits.front().is_some_and(|first| *first <= at - window_s) {
            hits.pop_front();
        }
        if at >= expires {
            expires = at + window_s;
        }
        if blocked.is_some_and(|until| at >= until) {
            blocked = None;
            hits.clear();
        }
        if blocked.is_none() {
            hits.push_back(at);
            if hits.len() > limit {
                blocked = Some(at + window_s);
            }
        }
        if let Some(until) = blocked {
            return answer(false, 429, vec![("retry-after", (until - at).ceil().to_string())]);
        }
        let lines = vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", (limit - hits.len()).to_string()),
            ("x-ratelimit-reset", (expires - at).ceil().to_string()),
        ];
        answer(true, 429, lines)
    })
}

/// litestar: its clock knows whole seconds, and there is no `Retry-After`.
pub(super) fn litestar(limit: u32, window_s: f64, phase: f64) -> Host {
    let (mut end, mut count) = (f64::MIN, 0);
    Box::new(move |at| {
        let now = (at + phase).floor();
        if now >= end {
            (end, count) = (now + window_s, 0);
        }
        let accepts = count < limit;
        count += u32::from(accepts);
        let lines = vec![
            ("ratelimit-policy", format!("{limit}; w={window_s}")),
            ("ratelimit-limit", limit.to_string()),
            ("ratelimit-remaining", (limit - count).to_string()),
            ("ratelimit-reset", (end - now).to_string()),
        ];
        answer(accepts, 429, lines)
    })
}

/// go-chi/httprate: windows of the clock, of which the one before counts with the share that still overlaps.
pub(super) fn httprate(limit: u32, window_s: f64, phase: f64) -> Host {
    let (mut window, mut count, mut before) = (0.0, 0.0, 0.0);
    Box::new(move |at| {
        let now = epoch(at, phase);
        let number = (now / window_s).floor();
        if number > window {
            before = if number - window > 1.0 { 0.0 } else { count };
            (window, count) = (number, 0.0);
        }
        let gone = now / window_s - number;
        let rate = f64::round(before * (1.0 - gone) + count);
        let accepts = rate < f64::from(limit);
        let mut left = f64::from(limit) - rate;
        let mut lines = vec![
            ("date", date(now)),
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-reset", ((number + 1.0) * window_s).to_string()),
        ];
        if accepts {
            count += 1.0;
            left -= 1.0;
        } else {
            lines.push(("retry-after", window_s.to_string()));
        }
        lines.push(("x-ratelimit-remaining", left.to_string()));
        answer(accepts, 429, lines)
    })
}

/// `HAProxy`, `http_req_rate`: two windows as above, the first of which begins with the first request. What it refuses
/// counts as well.
pub(super) fn haproxy(limit: u32, window_s: f64) -> Host {
    let (mut start, mut count, mut before) = (f64::MIN, 0.0, 0.0);
    Box::new(move |at| {
        if at - start >= 2.0 * window_s {
            (start, count, before) = (at, 0.0, 0.0);
        } else if at - start >= window_s {
            (start, before, count) = (start + window_s, count, 0.0);
        }
        count += 1.0;
        let rate = f64::floor(before * (1.0 - (at - start) / window_s) + count);
        answer(rate <= f64::from(limit), 429, Vec::new())
    })
}

/// Tokens that come back one by one.
struct Tokens {
    most: f64,
    per_s: f64,
    left: f64,
    last: f64,
}

impl Tokens {
    fn new(most: f64, per_s: f64) -> Self {
        Self { most, per_s, left: most, last: 0.0 }
    }

    fn take(&mut self, at: f64) -> bool {
        self.left = f64::min(self.most, self.left + (at - self.last) * self.per_s);
        self.last = at;
        let accepts = self.left >= 1.0;
        self.left -= f64::from(u8::from(accepts));
        accepts
    }
}

/// nginx, `limit_req`.
pub(super) fn nginx(limit: f64, window_s: f64, status: u16) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| answer(tokens.take(at), status, Vec::new()))
}

/// bucket4j-spring-boot-starter: the wait is rounded down.
pub(super) fn bucket4j(limit: f64, window_s: f64) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| {
        if tokens.take(at) {
            return answer(true, 429, vec![("x-rate-limit-remaining", tokens.left.floor().to_string())]);
        }
        let wait = ((1.0 - tokens.left) / tokens.per_s).floor();
        answer(false, 429, vec![("x-rate-limit-retry-after-seconds", wait.to_string())])
    })
}

/// Traefik: the wait is rounded up.
pub(super) fn traefik(limit: f64, window_s: f64) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| {
        if tokens.take(at) {
            return answer(true, 429, Vec::new());
        }
        let wait = (1.0 - tokens.left) / tokens.per_s;
        let lines = vec![("retry-after", wait.ceil().to_string()), ("x-retry-in", format!("{wait}s"))];
        answer(false, 429, lines)
    })
}

/// Spring Cloud Gateway: tokens come back at the turn of a second.
pub(super) fn gateway(limit: f64, window_s: f64, phase: f64) -> Host {
    let mut tokens = Tokens { last: phase.floor(), ..Tokens::new(limit, (limit / window_s).floor()) };
    Box::new(move |at| {
        let accepts = tokens.take((at + phase).floor());
        let lines = vec![
            ("x-ratelimit-remaining", tokens.left.floor().to_string()),
            ("x-ratelimit-requested-tokens", "1".into()),
            ("x-ratelimit-burst-capacity", limit.to_string()),
            ("x-ratelimit-replenish-rate", tokens.per_s.to_string()),
        ];
        answer(accepts, 429, lines)
    })
}

/// throttled and quart-rate-limiter: the reset is when all are back, the wait until one is.
pub(super) fn throttled(limit: f64, window_s: f64) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| {
        let accepts = tokens.take(at);
        let mut lines = vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", tokens.left.floor().to_string()),
            ("x-ratelimit-reset", ((limit - tokens.left) / tokens.per_s).ceil().to_string()),
        ];
        if !accepts {
            lines.push(("retry-after", ((1.0 - tokens.left) / tokens.per_s).ceil().to_string()));
        }
        answer(accepts, 429, lines)
    })
}

/// didip/tollbooth: the reset is always a second.
pub(super) fn tollbooth(limit: f64, window_s: f64) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| {
        let accepts = tokens.take(at);
        let lines = vec![
            ("ratelimit-limit", tokens.per_s.round().to_string()),
            ("ratelimit-reset", "1".into()),
            ("ratelimit-remaining", tokens.left.floor().to_string()),
            ("x-rate-limit-limit", format!("{:.2}", tokens.per_s)),
            ("x-rate-limit-duration", "1".into()),
        ];
        answer(accepts, 429, lines)
    })
}

/// Envoy, `local_ratelimit`: the reset is that of the next token.
pub(super) fn envoy(limit: f64, window_s: f64) -> Host {
    let mut tokens = Tokens::new(limit, limit / window_s);
    Box::new(move |at| {
        let accepts = tokens.take(at);
        let wait = (1.0 - tokens.left).max(0.0) / tokens.per_s;
        let lines = vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", tokens.left.floor().to_string()),
            ("x-ratelimit-reset", wait.ceil().to_string()),
        ];
        answer(accepts, 429, lines)
    })
}
