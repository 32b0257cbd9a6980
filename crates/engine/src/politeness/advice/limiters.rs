//! A table of what real limiters send, and of what is read of it.

use std::time::{Duration, UNIX_EPOCH};

use super::{block as block_of, quotas, retry_after, unreadable};

/// Header lines, with `|` or a new line between them.
type Lines = &'static str;

/// Remaining and reset, seconds, of the tightest window.
type Left = Option<(f64, f64)>;

/// What a limiter sends with a 200 and with the refusal, and what is read of it: what is left, the wait of the
/// refusal in seconds, and its policies, as requests and seconds. The clock stands at Mon, 30 Nov 2026 22:21:27
/// GMT; the quota is 5 requests in 10 seconds, which end at 22:21:37.
type Limiter = (&'static str, (Lines, Left), (Lines, Left), Option<f64>, &'static [(f64, f64)]);

const LIMITERS: [Limiter; 29] = [
    (
        "express-rate-limit 8.7.5, legacy",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | Date: Mon, 30 Nov 2026 22:21:27 GMT
             X-RateLimit-Reset: 1796077297",
            Some((4.0, 10.0)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | Date: Mon, 30 Nov 2026 22:21:29 GMT
             X-RateLimit-Reset: 1796077297 | Retry-After: 8",
            Some((0.0, 8.0)),
        ),
        Some(8.0),
        &[],
    ),
    (
        "express-rate-limit 8.7.5, draft-6; hono-rate-limiter 0.5.4",
        (
            "RateLimit-Policy: 5;w=10 | RateLimit-Limit: 5 | RateLimit-Remaining: 4
             RateLimit-Reset: 10",
            Some((4.0, 10.0)),
        ),
        (
            "RateLimit-Policy: 5;w=10 | RateLimit-Limit: 5 | RateLimit-Remaining: 0
             RateLimit-Reset: 8 | Retry-After: 10",
            Some((0.0, 8.0)),
        ),
        Some(10.0),
        &[(5.0, 10.0)],
    ),
    (
        "express-rate-limit 8.7.5, draft-7; hono-rate-limiter 0.5.4",
        ("RateLimit-Policy: 5;w=10 | RateLimit: limit=5, remaining=4, reset=10", Some((4.0, 10.0))),
        (
            "RateLimit-Policy: 5;w=10 | RateLimit: limit=5, remaining=0, reset=8 | Retry-After: 10",
            Some((0.0, 8.0)),
        ),
        Some(10.0),
        &[(5.0, 10.0)],
    ),
    (
        "express-rate-limit 8.7.5, draft-8",
        (
            r#"RateLimit-Policy: "5-in-10sec"; q=5; w=10; pk=:MTI3LjAuMC4x:
             RateLimit: "5-in-10sec"; r=4; t=10"#,
            Some((4.0, 10.0)),
        ),
        (
            r#"RateLimit-Policy: "5-in-10sec"; q=5; w=10; pk=:MTI3LjAuMC4x:
             RateLimit: "5-in-10sec"; r=0; t=8 | Retry-After: 10"#,
            Some((0.0, 8.0)),
        ),
        Some(10.0),
        &[(5.0, 10.0)],
    ),
    (
        "express-rate-limit 8.7.5, draft-8, two limiters",
        (
            r#"RateLimit-Policy: "5-in-10sec"; q=5; w=10 | RateLimit: "5-in-10sec"; r=4; t=10
             RateLimit-Policy: "6-in-1min"; q=6; w=60 | RateLimit: "6-in-1min"; r=5; t=60"#,
            Some((5.0, 60.0)),
        ),
        (
            r#"RateLimit-Policy: "5-in-10sec"; q=5; w=10 | RateLimit: "5-in-10sec"; r=3; t=8
             RateLimit-Policy: "6-in-1min"; q=6; w=60 | RateLimit: "6-in-1min"; r=0; t=45
             Retry-After: 45"#,
            Some((0.0, 45.0)),
        ),
        Some(45.0),
        &[(5.0, 10.0), (6.0, 60.0)],
    ),
    (
        "@fastify/rate-limit 11.2.0",
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 10", Some((4.0, 10.0))),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 10
             Retry-After: 10",
            Some((0.0, 10.0)),
        ),
        Some(10.0),
        &[],
    ),
    (
        "koa-ratelimit 6.0.0",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 1796077296.75",
            Some((4.0, 9.75)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1796077287.75
             Retry-After: 0",
            Some((0.0, 0.75)),
        ),
        Some(0.0),
        &[],
    ),
    (
        "rate-limiter-flexible 11.4.0, as its README has it",
        ("Retry-After: 9.978", None),
        ("Retry-After: 7.5", None),
        Some(7.5),
        &[],
    ),
    (
        "@nestjs/throttler 6.7.1",
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 10", Some((4.0, 10.0))),
        ("Retry-After: 10", None),
        Some(10.0),
        &[],
    ),
    (
        "@nestjs/throttler 6.7.1, named",
        (
            "X-RateLimit-Limit-Short: 5 | X-RateLimit-Remaining-Short: 4
             X-RateLimit-Reset-Short: 10",
            Some((4.0, 10.0)),
        ),
        ("Retry-After-Short: 10", None),
        Some(10.0),
        &[],
    ),
    (
        "Flask-Limiter 4.1.1",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 1796077298
             Retry-After: 11",
            Some((4.0, 11.0)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1796077298
             Retry-After: Mon, 30 Nov 2026 22:21:38 GMT",
            Some((0.0, 11.0)),
        ),
        Some(11.0),
        &[],
    ),
    (
        "slowapi 0.1.10, http-date",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 1796077297.25
             Retry-After: Mon, 30 Nov 2026 22:21:37 -0000",
            Some((4.0, 10.25)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1796077297.25
             Retry-After: Mon, 30 Nov 2026 22:21:37 -0000",
            Some((0.0, 10.25)),
        ),
        Some(10.0),
        &[],
    ),
    ("Django REST framework 3.18.3", ("", None), ("Retry-After: 10", None), Some(10.0), &[]),
    (
        "django-ratelimit 4.1.0; fastapi-limiter 0.2.0; nginx 1.22.1; HAProxy 2.6.12; mod_qos 11.63",
        ("", None),
        ("", None),
        None,
        &[],
    ),
    (
        "litestar 2.25.0",
        (
            "RateLimit-Policy: 5; w=60 | RateLimit-Limit: 5 | RateLimit-Remaining: 4
             RateLimit-Reset: 60",
            Some((4.0, 60.0)),
        ),
        (
            "RateLimit-Policy: 5; w=60 | RateLimit-Limit: 5 | RateLimit-Remaining: 0
             RateLimit-Reset: 58",
            Some((0.0, 58.0)),
        ),
        None,
        &[(5.0, 60.0)],
    ),
    (
        "quart-rate-limiter 0.12.1",
        ("RateLimit-Limit: 5 | RateLimit-Remaining: 4 | RateLimit-Reset: 2", Some((4.0, 2.0))),
        (
            "RateLimit-Limit: 5 | RateLimit-Remaining: 0 | RateLimit-Reset: 10 | Retry-After: 2
             Retry-After: 2",
            Some((0.0, 10.0)),
        ),
        Some(2.0),
        &[],
    ),
    (
        "ulule/limiter v3.11.2",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 1796077297",
            Some((4.0, 10.0)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1796077297",
            Some((0.0, 10.0)),
        ),
        None,
        &[],
    ),
    (
        "sethvargo/go-limiter v0.7.1",
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4
             X-RateLimit-Reset: Mon, 30 Nov 2026 22:21:37 UTC",
            Some((4.0, 10.0)),
        ),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0
             X-RateLimit-Reset: Mon, 30 Nov 2026 22:21:37 UTC
             Retry-After: Mon, 30 Nov 2026 22:21:37 UTC",
            Some((0.0, 10.0)),
        ),
        Some(10.0),
        &[],
    ),
    (
        "didip/tollbooth v8.0.1 and v7.0.2, 0.5/s",
        (
            "RateLimit-Limit: 1 | RateLimit-Remaining: 4 | RateLimit-Reset: 1
             X-Rate-Limit-Limit: 0.50 | X-Rate-Limit-Duration: 1",
            Some((4.0, 2.0)),
        ),
        (
            "RateLimit-Limit: 1 | RateLimit-Remaining: 0 | RateLimit-Reset: 1
             X-Rate-Limit-Limit: 0.50 | X-Rate-Limit-Duration: 1",
            Some((0.0, 2.0)),
        ),
        None,
        &[(0.5, 1.0)],
    ),
    (
        "go-chi/httprate v0.16.1",
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 1796077290", Some((4.0, 3.0))),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1796077290
             Retry-After: 10",
            Some((0.0, 3.0)),
        ),
        Some(10.0),
        &[],
    ),
    (
        "throttled v2.15.0",
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 2", Some((4.0, 2.0))),
        (
            "X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 10 | Retry-After: 2",
            Some((0.0, 10.0)),
        ),
        Some(2.0),
        &[],
    ),
    ("Traefik 3.7.15", ("", None), ("Retry-After: 2 | X-Retry-In: 1.821422875s", None), Some(2.0), &[]),
    (
        "Envoy 1.40.0, local_ratelimit",
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 4 | X-RateLimit-Reset: 0", Some((4.0, 0.0))),
        ("X-RateLimit-Limit: 5 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 1", Some((0.0, 1.0))),
        None,
        &[],
    ),
    (
        "bucket4j-spring-boot-starter 0.12.10",
        ("X-Rate-Limit-Remaining: 4", None),
        ("X-Rate-Limit-Retry-After-Seconds: 1", None),
        Some(1.0),
        &[],
    ),
    (
        "bucket4j-spring-boot-starter 0.12.10, rounded down",
        ("X-Rate-Limit-Remaining: 0", None),
        ("X-Rate-Limit-Retry-After-Seconds: 0", None),
        Some(0.0),
        &[],
    ),
    (
        "Spring Cloud Gateway 2025.0.0",
        (
            "X-RateLimit-Remaining: 4 | X-RateLimit-Requested-Tokens: 1
             X-RateLimit-Burst-Capacity: 5 | X-RateLimit-Replenish-Rate: 1",
            Some((4.0, 1.0)),
        ),
        (
            "X-RateLimit-Remaining: 0 | X-RateLimit-Requested-Tokens: 1
             X-RateLimit-Burst-Capacity: 5 | X-RateLimit-Replenish-Rate: 1",
            Some((0.0, 1.0)),
        ),
        None,
        &[(1.0, 1.0)],
    ),
    (
        "draft-ietf-httpapi-ratelimit-headers-12",
        (r#"RateLimit-Policy: "a";q=5;w=10 | RateLimit: "a";a=4;w=10;pk=:YQ==:;c=1"#, Some((4.0, 10.0))),
        (r#"RateLimit-Policy: "a";q=5;w=10 | RateLimit: "a";a=0;w=8;pk=:YQ==:;c=1"#, Some((0.0, 8.0))),
        None,
        &[(5.0, 10.0)],
    ),
    (
        "OpenAI",
        (
            "X-RateLimit-Limit-Requests: 60 | X-RateLimit-Remaining-Requests: 59
             X-RateLimit-Reset-Requests: 1s | X-RateLimit-Remaining-Tokens: 0
             X-RateLimit-Reset-Tokens: 6m0s",
            Some((59.0, 1.0)),
        ),
        ("Retry-After: 1 | Retry-After-ms: 850", None),
        Some(1.0),
        &[],
    ),
    (
        "Azure OpenAI",
        ("X-RateLimit-Remaining-Requests: 9", None),
        ("Retry-After-ms: 850", None),
        Some(0.85),
        &[],
    ),
];

#[test]
fn test_what_a_limiter_sends_is_read() {
    let now = UNIX_EPOCH + Duration::from_secs(1_796_077_287);
    let block = |lines: Lines| {
        let lines = lines.split(['|', '\n']).filter_map(|line| line.trim().split_once(": "));
        block_of(&lines.collect::<Vec<_>>())
    };
    let left = |lines| {
        let told = quotas(&block(lines), now).tightest()?;
        Some((told.remaining, told.reset.as_secs_f64()))
    };
    // A point in time with decimals is as exact as an `f64` is in 2026.
    let is_same = |read: Option<(f64, f64)>, wanted: Option<(f64, f64)>| match (read, wanted) {
        (Some(read), Some(wanted)) => (read.0 - wanted.0).abs().max((read.1 - wanted.1).abs()) < 1e-6,
        (read, wanted) => read == wanted,
    };
    for (name, answer, refusal, wait_s, policies) in LIMITERS {
        assert!(is_same(left(answer.0), answer.1), "{name}, answer: {:?}", left(answer.0));
        assert!(is_same(left(refusal.0), refusal.1), "{name}, refusal: {:?}", left(refusal.0));
        let headers = block(refusal.0);
        let asked_s = retry_after(&headers, now).map(|asked| asked.wait.as_secs_f64());
        assert_eq!(asked_s, wait_s, "{name}");
        let told = quotas(&headers, now).policies;
        let told: Vec<_> = told.iter().map(|told| (told.limit, told.window.as_secs_f64())).collect();
        assert_eq!(told, policies, "{name}");
        assert_eq!(unreadable(&headers), None, "{name}");
        assert_eq!(unreadable(&block(answer.0)), None, "{name}");
    }
}
