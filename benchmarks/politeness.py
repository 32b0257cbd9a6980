"""What politeness costs: limits on and off, hosts that hang, a hundred thousand hosts."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clients import client
from benchmarks.contestants.harness import Job
from benchmarks.measure import Sample, Spread, Taken, Terms, interleave
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, nginx, test_server

CONCURRENCY = 64
REQUESTS = 300_000

UNREACHED = "1000000000/s"
"""A rate that is enforced, counted and never reached, so that only its cost remains."""

LIMITS: dict[str, Mapping[str, Any]] = {
    "no rate": {},
    "rate_limit_per_host": {"rate_limit_per_host": UNREACHED},
    "rate_limit_per_host and rate_limit": {"rate_limit_per_host": UNREACHED, "rate_limit": UNREACHED},
    'concurrency_per_host="auto"': {"concurrency_per_host": "auto"},
}

HOSTS, HANGING, URLS_EACH = 1_000, 10, 100
MANY_HOSTS, MANY_EACH = 100_000, 10


def limits(terms: Terms) -> Result:
    """Send the same requests to the same server with and without limits that are never reached.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    requests = max(10_000, round(REQUESTS * terms.share))
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        job = _job(served.origins["http"] + "/small", requests)
        # One thread each: a host with a rate is served by one thread, so the case without one must be too.
        runs = _runs(
            {
                name: dataclasses.replace(job, options={"threads": 1, **options})
                for name, options in LIMITS.items()
            }
        )
        taken = _interleaved(runs, terms, served.cpu_s)
    cpu = _cpu(taken)
    base = cpu["no rate"].median
    return Result(
        case="limits",
        title="What limits cost",
        command=terms.command("limits"),
        method=(
            f"GET of {SMALL_BYTES} bytes from nginx, {CONCURRENCY} at a time, one thread. The rates are set"
            f" far above what is reached. {_rounds(taken)}"
        ),
        header=["options", "client µs/request", "more than without"],
        rows=[[name, spread.show(2), f"{spread.median - base:+.2f} µs"] for name, spread in cpu.items()],
        figures=_figures(taken, cpu) | {"most_us": max(one.median for one in cpu.values()) - base},
        quiet=not taken.noisy,
    )


def slow_hosts(terms: Terms) -> Result:
    """Fetch from a thousand hosts, with and without ten that take 30 seconds, and time the others.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    with test_server("--all-loopback", "--latency", "0.005") as served:
        url = f"{served.origins['http']}/bytes/{SMALL_BYTES}"
        job = dataclasses.replace(_job(url, HOSTS * URLS_EACH), hosts=HOSTS, concurrency=512)
        names = {f"{HANGING} hosts hang": HANGING, "none hangs": 0}
        runs: dict[str, Callable[[], Sample]] = {
            name: partial(
                client("hurtle, some hosts hang").run, dataclasses.replace(job, options={"hanging": hanging})
            )
            for name, hanging in names.items()
        }
        taken = _interleaved(runs, terms, served.cpu_s)
    wall = {name: Spread.of([one.wall_s for one in samples]) for name, samples in taken.samples.items()}
    with_slow, without = (wall[name] for name in names)
    # If none hangs, the list has more URLs to answer: compare only the time of those that answer.
    fair = without.median * (HOSTS - HANGING) / HOSTS
    return Result(
        case="slow_hosts",
        title="A thousand hosts, ten of which take 30 seconds",
        command=terms.command("slow_hosts"),
        method=(
            f"{HOSTS * URLS_EACH:,} URLs, {URLS_EACH} to each host, 512 at a time, at most 10 to one host,"
            f" against `hurtle serve --all-loopback --latency 0.005`; seconds until every host that answers"
            f" has answered. {_rounds(taken)}"
        ),
        header=["", "seconds"],
        rows=[*([name, spread.show(3)] for name, spread in wall.items())],
        figures={
            "seconds": {name: dataclasses.asdict(spread) for name, spread in wall.items()},
            "slower": with_slow.median / fair - 1,
        },
        quiet=not taken.noisy,
    )


def many_hosts(terms: Terms) -> Result:
    """Send ten requests to each of a hundred thousand hosts, and as many to one host, connections counted.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    hosts = max(1_000, round(MANY_HOSTS * terms.share))
    requests = hosts * MANY_EACH
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx(Path(folder)) as one_host,
        test_server("--all-loopback") as all_hosts,
    ):
        many = _job(f"{all_hosts.origins['http']}/bytes/{SMALL_BYTES}", requests)
        runs = _runs(
            {
                "one host": _job(one_host.origins["http"] + "/small", requests),
                "one host, a connection for each": _job(one_host.origins["http"] + "/fresh", requests // 10),
                f"{hosts:,} hosts": dataclasses.replace(many, hosts=hosts, concurrency=256),
            }
        )
        taken = _interleaved(runs, terms, lambda: one_host.cpu_s() + all_hosts.cpu_s())
    cpu = _cpu(taken)
    _, fresh, of_many = (spread.median for spread in cpu.values())
    return Result(
        case="many_hosts",
        title="A hundred thousand hosts",
        command=terms.command("many_hosts"),
        method=(
            f"{requests:,} GETs of {SMALL_BYTES} bytes: to one host (nginx); a tenth as many to one host that"
            f" closes after each answer (nginx); {MANY_EACH} to each of {hosts:,} hosts in turn, which also"
            f" needs a connection for each (`hurtle serve --all-loopback`). {_rounds(taken)}"
        ),
        header=["", "client µs/request"],
        rows=[[name, spread.show(2)] for name, spread in cpu.items()],
        figures=_figures(taken, cpu) | {"hosts": hosts, "over_fresh": of_many / fresh - 1},
        quiet=not taken.noisy,
    )


def _job(url: str, requests: int) -> Job:
    return Job(url=url, requests=requests, concurrency=CONCURRENCY, body_bytes=SMALL_BYTES)


def _runs(jobs: Mapping[str, Job]) -> dict[str, Callable[[], Sample]]:
    return {name: partial(client("hurtle").run, job) for name, job in jobs.items()}


def _interleaved(
    runs: Mapping[str, Callable[[], Sample]], terms: Terms, server_cpu: Callable[[], float]
) -> Taken:
    taken = interleave(runs, terms, server_cpu, print)
    if taken.failed:
        raise RuntimeError(str(taken.failed))
    return taken


def _cpu(taken: Taken) -> dict[str, Spread]:
    return {
        name: Spread.of([one.client_cpu_us for one in samples]) for name, samples in taken.samples.items()
    }


def _figures(taken: Taken, cpu: Mapping[str, Spread]) -> dict[str, object]:
    return {
        "client_cpu_us": {name: dataclasses.asdict(spread) for name, spread in cpu.items()},
        "samples": {
            name: [dataclasses.asdict(one) for one in samples] for name, samples in taken.samples.items()
        },
    }


def _rounds(taken: Taken) -> str:
    return f"{taken.counted} rounds, {taken.thrown_away} disturbed runs repeated."
