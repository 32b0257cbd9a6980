//! The scheduler against limiters of every kind where little comes on time: requests are late on their way, and the
//! machines at both ends stop for a while now and then.

use super::real::{Real, real};
use super::*;

/// Random numbers that are the same in every run. Source: Marsaglia, "Xorshift RNGs", 2003.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn stalls(&mut self, mean_gap_s: f64, longest_s: f64) -> Stalls {
        let mut at = 0.0;
        let spans = (0..200).map(|_| {
            let from = at - mean_gap_s * (1.0 - self.share()).ln();
            at = from + longest_s * self.share().powi(2);
            (Duration::from_secs_f64(from), Duration::from_secs_f64(at))
        });
        Stalls(spans.collect())
    }
}

fn weather(seed: u64) -> Network {
    let mut random = Random::new(seed);
    let round_trip = [NEAR, Duration::from_millis(15), FAR][seed as usize % 3];
    let mean_gap_s = 2.0 + 18.0 * random.share();
    let longest_s = 2.0 * random.share();
    Network {
        round_trip,
        cold: Duration::from_secs_f64(if random.share() < 0.3 { 2.0 * random.share() } else { 0.0 }),
        jitter: Duration::from_millis((100.0 * random.share().powi(2)) as u64),
        client: random.stalls(mean_gap_s, longest_s),
        server: random.stalls(mean_gap_s, longest_s),
    }
}

/// Limiters as they are installed, and those of every kind besides.
fn limiters() -> Vec<Real> {
    let mut all = real();
    let mut add =
        |name: String, least_s, host: Box<dyn Fn(u32, f64) -> Host>| all.push(Real { name, host, least_s });
    let least_s = [15.0, 25.0];
    for names in [Names::Nothing, Names::Wait, Names::Window] {
        add(
            format!("plain fixed {names:?}"),
            least_s,
            Box::new(move |limit, _| plain(fixed(limit, 5.0, names), 429)),
        );
        add(
            format!("plain sliding {names:?}"),
            least_s,
            Box::new(move |limit, _| plain(sliding(limit as usize, 5.0, names), 429)),
        );
        add(
            format!("plain bucket {names:?}"),
            least_s,
            Box::new(move |limit, _| plain(bucket(limit.into(), f64::from(limit) / 5.0, names), 429)),
        );
        add(
            format!("plain aligned {names:?}"),
            least_s,
            Box::new(move |limit, phase| plain(aligned(limit, 5.0, 5.0 * phase, names), 429)),
        );
        add(
            format!("plain counters {names:?}"),
            [19.5, 29.8],
            Box::new(move |limit, phase| plain(counters(limit, 5.0, 5.0 * phase, names), 429)),
        );
    }
    all
}

#[test]
fn test_no_limiter_makes_requests_stand_still_when_little_comes_on_time() {
    for (requests, limit, rate) in [(20, 5, RateLimit::Unlimited), (60, 10, RateLimit::Auto)] {
        for Real { name, host, least_s } in limiters() {
            for seed in 0..40 {
                let phase = Random::new(seed * 77).share();
                let run = run_over(&weather(seed), host(limit, phase), requests, rate, phase);
                let ratio = run.took_s / least_s[usize::from(rate == RateLimit::Auto)];
                // The stalls alone take up to half of the time.
                let most = if name.contains("counters") { 3.3 } else { 2.3 };
                assert!(ratio <= most, "{name}, {rate:?}, seed {seed}: {ratio:.2} times the least: {run}");
            }
        }
    }
}

/// A host by name, for a seed.
type Odd = (String, Box<dyn Fn(u64) -> Host>);

/// Hosts whose refusals follow from no quota.
fn odd() -> Vec<Odd> {
    let mut all: Vec<Odd> = Vec::new();
    for wait in [None, Some(1.0)] {
        let answer = move |ok: bool| if ok { Ok(()) } else { Err(wait) };
        all.push((
            format!("every other, {wait:?}"),
            Box::new(move |_| {
                let mut n = 0;
                plain(
                    Box::new(move |_| {
                        n += 1;
                        answer(n % 2 == 0)
                    }),
                    429,
                )
            }),
        ));
        for share in [0.02, 0.1, 0.3] {
            all.push((
                format!("at random {share}, {wait:?}"),
                Box::new(move |seed| {
                    let mut random = Random::new(seed ^ 0xabc);
                    plain(Box::new(move |_| answer(random.share() > share)), 429)
                }),
            ));
        }
        all.push((
            format!("away from 3 to 23, {wait:?}"),
            Box::new(move |_| plain(Box::new(move |at| answer(!(3.0..23.0).contains(&at))), 429)),
        ));
        all.push((
            format!("away from 0 to 20, {wait:?}"),
            Box::new(move |_| plain(Box::new(move |at| answer(!(0.0..20.0).contains(&at))), 429)),
        ));
    }
    all
}

#[test]
fn test_hosts_that_refuse_by_no_rule_are_asked_again_soon() {
    for rate in [RateLimit::Unlimited, RateLimit::Auto] {
        for (name, host) in odd() {
            for seed in 0..40 {
                let run = run_over(&weather(seed), host(seed), 100, rate, 0.0);
                assert!(run.took_s <= 1_500.0, "{name}, {rate:?}, seed {seed}: {run}");
            }
        }
    }
}
