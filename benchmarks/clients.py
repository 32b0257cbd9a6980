"""How to start each contestant, and how to read its figures when it has ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.contestants.harness import Job
from benchmarks.machine import package_version
from benchmarks.measure import ContestantError, Sample

RUN_SECONDS_AT_MOST = 60.0
"""A contestant that takes longer for one run is considered hung and killed."""

WRK_SECONDS = 2.0
LAST_WORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One contestant."""

    name: str
    run: Callable[[Job], Sample]
    missing: str | None
    """Why it cannot run here."""
    cost: float
    """About its processor time per request, in multiples of hurtle's; its runs are shorter by this factor."""
    delivers: bool = True
    """Whether it hands each body to a program; a load generator only counts."""


def client(name: str) -> Client:
    """Return one of the contestants.

    Raises:
        KeyError: No contestant has this name.
    """
    if name in NATIVE:
        package, run, cost = NATIVE[name]
        missing = None if shutil.which(name) else f"{name} not found (install {package})"
        return Client(name=name, run=run, missing=missing, cost=cost, delivers=False)
    module, package, cost = PYTHON[name]
    missing = None if package_version(package) else f"{package} is not installed (no wheel for this machine?)"
    return Client(name=name, run=lambda job: _python(module, job), missing=missing, cost=cost)


def _python(module: str, job: Job) -> Sample:
    """Run one of benchmarks/contestants in a separate process."""
    command = [sys.executable, "-m", f"benchmarks.contestants.{module}", job.to_json()]
    ended = _run(command)
    return Sample(**json.loads(ended.words))


def _wrk(job: Job) -> Sample:
    """Run wrk with one thread; its start-up is too short to subtract."""
    seconds = max(1, round(WRK_SECONDS * min(1.0, job.requests / FULL_RUN)))
    ended = _run(["wrk", "-t", "1", "-c", str(job.concurrency), "-d", f"{seconds}s", job.url])
    if "Non-2xx" in ended.words or "Socket errors" in ended.words:
        raise ContestantError(ended.words.strip()[-LAST_WORDS:])
    return ended.sample(r"(\d+) requests in")


def _h2load(job: Job) -> Sample:
    """Run h2load with one thread; over HTTP/2, all streams on one connection."""
    flags = ["-c", "1", "-m", str(job.concurrency)] if job.http2 else ["--h1", "-c", str(job.concurrency)]
    ended = _run(["h2load", "-t", "1", "-n", str(job.requests), *flags, job.url])
    if f" {job.requests} succeeded" not in ended.words or f" {job.requests} 2xx" not in ended.words:
        raise ContestantError(ended.words.strip()[-LAST_WORDS:])
    return ended.sample(r"(\d+) succeeded")


FULL_RUN = 50_000
"""From this many requests on, a run of wrk takes its full time."""

PYTHON: dict[str, tuple[str, str, float]] = {
    "hurtle": ("hurtle_stream", "hurtle", 1),
    "hurtle, from a list": ("hurtle_list", "hurtle", 1),
    "hurtle, two threads": ("hurtle_threads", "hurtle", 1),
    "hurtle, views": ("hurtle_views", "hurtle", 1),
    "hurtle, some hosts hang": ("hurtle_slow", "hurtle", 1),
    "hurtle, to an output": ("hurtle_output", "hurtle", 1),
    "pycurl multi": ("pycurl_multi", "pycurl", 3),
    "pyreqwest": ("pyreqwest_async", "pyreqwest", 5),
    "floodr": ("floodr_batch", "floodr", 5),
    "aiohttp+uvloop": ("aiohttp_uvloop", "aiohttp", 15),
    "reqstorm+uvloop": ("reqstorm_stream", "reqstorm", 18),
    "reqstorm": ("reqstorm_sync", "reqstorm", 25),
}
"""Module in benchmarks/contestants, package, cost."""

NATIVE: dict[str, tuple[str, Callable[[Job], Sample], float]] = {
    "wrk": ("wrk", _wrk, 1),
    "h2load": ("nghttp2-client", _h2load, 1.5),
}
"""Debian's package, how it is run, cost."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended successfully."""

    words: str
    wall_s: float
    cpu_s: float

    def sample(self, pattern: str) -> Sample:
        """Return a sample of its whole life; the pattern finds the number of requests in its output."""
        found = re.search(pattern, self.words)
        if found is None or int(found[1]) == 0:
            raise ContestantError(self.words.strip()[-LAST_WORDS:])
        return Sample(requests=int(found[1]), wall_s=self.wall_s, client_cpu_s=self.cpu_s)


def _run(command: Sequence[str]) -> Ended:
    """Run a command to its end.

    Raises:
        ContestantError: It failed, or did not end in time.
    """
    clock = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
        killer = threading.Timer(RUN_SECONDS_AT_MOST, process.kill)
        killer.start()
        assert process.stdout is not None
        words = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - clock
        killer.cancel()
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            raise ContestantError(f"did not end within {RUN_SECONDS_AT_MOST:.0f} seconds and was killed")
        if process.returncode != 0:
            said.seek(0)
            last = said.read().strip().rpartition("\n")[2]
            raise ContestantError(f"ended with {process.returncode}: {last[-LAST_WORDS:]}")
    return Ended(words, wall_s, usage.ru_utime + usage.ru_stime)
