"""The race itself: every contestant in turn, round after round, on the same URLs under the same limits."""

import contextlib
import itertools
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hurtle.race.attempt import Arrived, Attempt, attempt
from hurtle.race.method import Method
from hurtle.race.result import JsonValue, RaceResult, Row
from hurtle.race.settings import TOOLS, Settings
from hurtle.race.target import Target, open_target
from hurtle.race.tools import Found, Missing, Toolbox

Ended = Callable[[Method, int, Attempt], None]
"""Called when a run has ended: the contestant, the number of requests, the result."""

MEASURED = (
    "Each contestant runs in its own process, with the interpreter that has its package, on the same list of "
    "URLs. Seconds are measured inside that process for the fetching alone: the interpreter, the imports and "
    "the list are ready, and no connection is open yet. CPU is user and system time of the same span. For "
    "native tools, the span includes their start. Peak memory covers the whole process, interpreter and "
    "imports included. The size of every body is checked, unless a tool keeps none."
)


def race(
    *,
    requests: int | None = None,
    connections: int = 10,
    latency: float = 0.05,
    body_bytes: int = 10_000,
    http: bool = False,
    url_file: str | None = None,
    server: str | None = None,
    ca_path: str | None = None,
    only: Sequence[str] = (),
    repeat: int = 1,
    limit: float = 120.0,
    tools: str | Path = TOOLS,
) -> RaceResult:
    """Let every way of sending many requests fetch the same URLs, and measure them.

    Without arguments it is the classic experiment: 100 links, 10 connections, a server on loopback with TLS
    and 50 ms of latency. Contestants whose packages are missing on this machine are skipped. Works inside a
    running event loop.

    Args:
        requests: Length of the list; None: 100, or as many as `url_file` names.
        connections: The most requests in flight of every contestant.
        latency: Seconds before every answer of the built-in server.
        body_bytes: Size of every body of the built-in server.
        http: HTTP instead of HTTPS, on the built-in server.
        url_file: A list of URLs to fetch instead.
        server: One URL to fetch instead, again and again.
        ca_path: A PEM file with the certificate authority of `url_file` and `server`.
        only: Names of the contestants; none: all.
        repeat: Rounds; the contestants take turns, and the median counts.
        limit: Seconds after which a contestant is killed.
        tools: The folder that `make race` has filled.

    Returns:
        The figures, with a chart for notebooks.

    Raises:
        ConfigError: An argument is wrong; nothing was sent.

    Example:
        >>> race(requests=4, latency=0, only=["hurtle"]).winner.name
        'hurtle'
    """
    settings = Settings(
        requests=requests, connections=connections, latency=latency, body_bytes=body_bytes, http=http,
        url_file=url_file, server=server, ca_path=ca_path,
        only=(only,) if isinstance(only, str) else tuple(only), repeat=repeat, limit=limit, tools=Path(tools),
    )  # fmt: skip
    return run_race(settings)


def run_race(
    settings: Settings,
    *,
    methods: Sequence[Method] | None = None,
    before: Callable[[Target], None] | None = None,
    ended: Ended | None = None,
    skipped: Callable[[Method, str], None] | None = None,
    arrived: Arrived | None = None,
) -> RaceResult:
    """Run a race and report its progress.

    Args:
        settings: What is fetched, by whom, and how often.
        methods: The contestants; None: those of the settings.
        before: Called once, with what will be fetched.
        ended: Called after every run.
        skipped: Called for every contestant that cannot run here, with the reason.
        arrived: Called for every body as it arrives.

    Returns:
        The figures.
    """
    toolbox = Toolbox(settings.tools)
    methods = settings.methods() if methods is None else methods
    sought = {method.name: toolbox.find(method) for method in methods}
    attempts: dict[str, list[Attempt]] = {method.name: [] for method in methods}
    with open_target(settings, before) as target:
        for number, method in itertools.product(range(settings.repeat), methods):
            found = sought[method.name]
            if isinstance(found, Missing):
                if number == 0 and skipped is not None:
                    skipped(method, str(found))
                continue
            if any(run.error is not None for run in attempts[method.name]):
                continue  # it failed before: hanging again would cost another limit
            run = attempt(method, found, target, limit=settings.limit, arrived=arrived)
            attempts[method.name].append(run)
            if ended is not None:
                ended(method, len(target.urls), run)
    return RaceResult(
        rows=tuple(_row(method, sought[method.name], attempts[method.name], target) for method in methods),
        machine=_machine(),
        versions=_versions(sought),
        method=_described(settings, target),
    )


def _row(method: Method, found: Found | Missing, attempts: Sequence[Attempt], target: Target) -> Row:
    if isinstance(found, Missing):
        return Row.without_figures(method, f"skipped: {found}")
    return Row.of(method, attempts, len(target.urls))


def _versions(sought: Mapping[str, Found | Missing]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for found in sought.values():
        if isinstance(found, Found):
            versions.update(found.versions)
    return dict(sorted(versions.items()))


def _described(settings: Settings, target: Target) -> dict[str, JsonValue]:
    own = settings.url_file is not None or settings.server is not None
    return {
        "requests": len(target.urls),
        "distinct_urls": len(set(target.urls)),
        "connections": settings.connections,
        "server": target.server,
        "latency_s": None if own else settings.latency,
        "body_bytes": None if own else settings.body_bytes,
        "repeat": settings.repeat,
        "limit_s": settings.limit,
        "measured": MEASURED,
    }


def _machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(_cores()),
        "system": f"{platform.system()} {platform.release()}",
    }


def _cores() -> int | None:
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
