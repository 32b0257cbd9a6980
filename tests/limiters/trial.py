"""One limiter on trial: what it sends to a plain client, and what hurtle makes of it."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from tests.limiters.ideal import Quota, Rule, ideal_s
from tests.limiters.installs import PLACE, ROOT, Start
from tests.limiters.limiters import Limiter
from tests.limiters.modes import MODES, Mode
from tests.limiters.tap import Answer, Tap

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0
RUNNING: "set[subprocess.Popen[Any]]" = set()
"""Servers and clients of trials under way; each is put in and taken out by the thread of its trial."""

STOPPED = Event()
"""Set once no trial may start a server any more."""

OF_LIMITS = re.compile(r"rate-?limit|retry", re.IGNORECASE)
"""Names of header lines that speak of limits."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a limiter sends to a client that asks too often.

    Attributes:
        granted: Header lines of the first 200 that speak of limits.
        status: The refusal's status.
        refused: The refusal's header lines.
    """

    granted: tuple[str, ...]
    status: int
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run of hurtle.

    Attributes:
        rows: Requests that were to be sent.
        ok: Rows that ended well.
        refused: Answers on the wire that were no 200.
        most_in_a_window: The most of these in one window of the limiter after the first one, in which all
            that may be in flight go before anything is known.
        seconds: How long it took; where it was stopped: so far.
        ideal_seconds: What a client needs which knows the limiter from inside.
        stopped: Whether it took so long that it was stopped.
        ended: How the rows ended that did not end well: a status or an error code, and how many.
    """

    rows: int
    ok: int
    refused: int
    most_in_a_window: int
    seconds: float
    ideal_seconds: float
    stopped: bool
    ended: dict[str, int]

    @property
    def times_ideal(self) -> float:
        """The time against the ideal."""
        return self.seconds / self.ideal_seconds

    def misses(self, mode: Mode) -> list[str]:
        """Return what the run did not reach."""
        most = mode.most_in_a_window
        share = mode.most_refused
        found = {
            "rows": self.ok < self.rows,
            "refusals": (most is not None and self.most_in_a_window > most)
            or (share is not None and self.refused > share * self.rows),
            "time": self.times_ideal > mode.most_times_ideal,
        }
        return [name for name, missed in found.items() if missed]


def stop_all() -> None:
    """End the processes of all trials under way, which then fail at their next step."""
    STOPPED.set()
    for process in RUNNING.copy():
        process.terminate()


@contextmanager
def served(limiter: Limiter, quota: Quota) -> Iterator[int]:
    """Run a limiter's server, and yield its port.

    Raises:
        RuntimeError: It does not listen in time; with its own words. Or all trials are stopped.
    """
    if STOPPED.is_set():
        raise RuntimeError("stopped")
    log = PLACE / "logs" / f"{limiter.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="limiter-") as folder, log.open("wb") as output:
        start = Start(free_port(), quota, limiter.variant, Path(folder))
        process = subprocess.Popen(
            limiter.kit.command(limiter.server, start), cwd=folder,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        RUNNING.add(process)
        try:
            if not is_ready(process, start.port, limiter.ready):
                raise RuntimeError(
                    f"{limiter.name} does not listen: {log.read_text(errors='replace')[-600:]}"
                )
            yield start.port
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            RUNNING.discard(process)


def is_ready(process: "subprocess.Popen[bytes]", port: int, path: str | None) -> bool:
    """Wait until a server listens and, where a path is given, answers it with 200; tell whether it does."""
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            if path is None or status_of(port, path) == 200:
                return True
        time.sleep(0.02)
    return False


def status_of(port: int, path: str) -> int:
    """Ask for a path on a connection of its own, and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask_too_often(tap: Tap, quota: Quota) -> Sent:
    """Send requests, one after the other, until one is refused.

    Raises:
        RuntimeError: None was, or the first was.
    """
    connection = http.client.HTTPConnection(tap.url.removeprefix("http://"), timeout=ANSWER_TIMEOUT_S)
    try:
        for index in range(2 * quota.limit + 2):  # the burst may meet the end of a window
            connection.request("GET", f"/?n={index}")
            connection.getresponse().read()
            first, last = tap.answers[0], tap.answers[-1]
            if first.status != 200:
                raise RuntimeError(f"the first request of all was answered with {first.status}")
            if last.status != 200:
                return Sent(of_limits(first), last.status, of_limits(last))
    finally:
        connection.close()
    raise RuntimeError(f"{len(tap.answers)} requests at once, and none was refused")


def of_limits(answer: Answer) -> tuple[str, ...]:
    """Return the header lines that speak of limits."""
    return tuple(line for line in answer.lines if OF_LIMITS.search(line.partition(":")[0]))


def run_hurtle(port: int, name: str, rule: Rule, quota: Quota) -> Run:
    """Run hurtle against a limiter, and count on the wire.

    Args:
        port: Where the limiter listens.
        name: The mode.
        rule: What the limiter admits.
        quota: What it grants.
    """
    mode = MODES[name]
    with Tap(port) as tap:
        bound_s = 3 * ideal_s(rule(quota), mode.requests, time.time()) + 30
        seconds, rows = rows_of(tap.url, name, bound_s)
        answers = list(tap.answers)
    ended = Counter(str(row["error"] or row["status"]) for row in rows if not row["ok"])
    ok = sum(row["ok"] for row in rows)
    if len(rows) < mode.requests:
        ended["none"] = mode.requests - len(rows)
    first_s = tap.first_request_s or time.time()
    refusals = [answer.at_s for answer in answers if answer.status != 200]
    windows = Counter(floor((at_s - first_s) / quota.window_s) for at_s in refusals)
    return Run(
        rows=mode.requests,
        ok=ok,
        refused=len(refusals),
        most_in_a_window=max((count for number, count in windows.items() if number > 0), default=0),
        seconds=round(bound_s if seconds is None else seconds, 2),
        ideal_seconds=round(ideal_s(rule(quota), mode.requests, first_s), 2),
        stopped=seconds is None,
        ended=dict(ended),
    )


def rows_of(url: str, name: str, bound_s: float) -> tuple[float | None, list[dict[str, Any]]]:
    """Run hurtle in a separate process; return its seconds, None if it was stopped, and its rows.

    Raises:
        RuntimeError: It broke off with an error of its own.
    """
    words = [sys.executable, "-m", "tests.limiters.client", url, name]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        RUNNING.add(client)
        try:
            printed, said = client.communicate(timeout=bound_s)
        except subprocess.TimeoutExpired:
            client.kill()
            printed, said = client.communicate()
        finally:
            RUNNING.discard(client)
    lines = [json.loads(line) for line in printed.splitlines(keepends=True) if line.endswith("\n")]
    rows = [line for line in lines if "seconds" not in line]
    if client.returncode > 0:
        raise RuntimeError(f"hurtle ended with {client.returncode}: {said.strip()[-600:]}")
    return (None if client.returncode else lines[-1]["seconds"]), rows
