"""One run of one contestant: start it, watch it, kill it after a limit, check its bodies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from hurtle.race.method import Method
from hurtle.race.target import Target
from hurtle.race.tools import Found

Arrived = Callable[[str, int], None]
"""Called with a URL and the number of bytes read from it, as each arrives."""

MOST_ERROR_TEXT = 300

STRIPPED = {"http_proxy", "https_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle"}
"""Variables, in lower case, that only some libraries obey; requests even prefers a bundle from here over the
one of its Session. Every contestant must contact the server directly, and trust what its job says.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The result of one run. Figures are None if it failed before it had them."""

    seconds: float | None = None
    """Of the fetching alone: interpreter and imports were ready."""
    cpu_seconds: float | None = None
    """User and system time of the fetching."""
    peak_rss_bytes: int | None = None
    """The most memory of the whole process, interpreter included."""
    body_bytes: int | None = None
    """Of all bodies together; None for a tool that discards them."""
    error: str | None = None


def attempt(
    method: Method,
    found: Found,
    target: Target,
    *,
    limit: float,
    arrived: Arrived | None = None,
) -> Attempt:
    """Let a contestant fetch the target's URLs once.

    Args:
        method: The contestant.
        found: How to start it.
        target: What it fetches.
        limit: Seconds after which it is killed, with every process that it started.
        arrived: Called for every body as it arrives, which costs the contestant time.

    Returns:
        The figures, or the reason why there are none. A contestant's failure never raises an exception.
    """
    job = {
        "urls": list(target.urls),
        "connections": target.connections,
        "ca_path": target.ca_path,
        "tool": found.tool,
        "verbose": arrived is not None,
    }
    if method.runtime == "node":
        del job["tool"]
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+", errors="replace") as complaint:
        json.dump(job, given)
        given.seek(0)
        try:
            process = _start(found, given, complaint)
        except OSError as error:
            return Attempt(error=f"did not start: {error.strerror or error}")
        closing, killed = _watch(process, limit, target, arrived)
        complaint.seek(0)
        said = _last_line(complaint.read())
    if killed:
        return Attempt(error=f"killed after {limit:g} seconds")
    if process.returncode:
        return Attempt(error=said or _ended(process.returncode))
    if closing is None:
        return Attempt(error=said or "ended without an answer")
    if "unfit" in closing:
        return Attempt(error=f"skipped: {closing['unfit']}")
    return _judged(closing, target, said)


def _start(found: Found, given: IO[str], complaint: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        found.command,
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=complaint,
        text=True,
        env=_environment() | dict(found.environment),
        # Its own process group: its child processes end with it, and Ctrl-C reaches only the race.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Return this process's environment without the variables that only some contestants obey."""
    return {name: value for name, value in os.environ.items() if name.lower() not in STRIPPED}


def _watch(
    process: subprocess.Popen[str], limit: float, target: Target, arrived: Arrived | None
) -> tuple[dict[str, Any] | None, bool]:
    """Read what a contestant prints until it ends.

    Returns:
        Its closing object, and whether it had to be killed.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(limit, end)
    timer.start()
    closing: dict[str, Any] | None = None
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                said = _object(line)
                if said is None:
                    continue  # a library's own output
                if "index" not in said:
                    closing = said
                elif arrived is not None:
                    arrived(target.urls[said["index"]], said["bytes"])
        process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
        process.wait()
    return closing, late.is_set()


def _object(line: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict) and (
            said.keys() & {"seconds", "unfit"} or {"index", "bytes"} <= said.keys()
        ):
            return said
    return None


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a contestant and all processes that it started."""
    if sys.platform == "win32":
        process.kill()
        return
    # The group leader was not waited for yet, so no other process can have its id.
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def _judged(closing: dict[str, Any], target: Target, said: str) -> Attempt:
    sizes: Sequence[int | None] | None = closing["sizes"]
    if sizes is None:
        error = None
        if closing["counted"] < len(target.urls):
            error = f"{closing['counted']:,} answers to {len(target.urls):,} requests"
    else:
        error = _wrong(sizes, target, said)
    if error is not None:
        return Attempt(error=error)
    return Attempt(
        seconds=closing["seconds"],
        cpu_seconds=closing["cpu_seconds"],
        peak_rss_bytes=closing["peak_rss_bytes"],
        body_bytes=None if sizes is None else sum(size or 0 for size in sizes),
    )


def _wrong(sizes: Sequence[int | None], target: Target, said: str) -> str | None:
    """Return what is wrong with the bodies; None if every body has its size."""
    absent = sum(size is None for size in sizes)
    if absent:
        because = f": {said}" if said else ""
        return f"{absent:,} of {len(sizes):,} URLs returned nothing{because}"
    differing = [
        (index, size, expected)
        for index, (size, expected) in enumerate(zip(sizes, target.expected, strict=True))
        if expected not in (None, size)
    ]
    if not differing:
        return None
    index, size, expected = differing[0]
    return (
        f"{len(differing):,} of {len(sizes):,} bodies have a wrong size: "
        f"{target.urls[index]} returned {size:,} bytes instead of {expected:,}"
    )


def _last_line(text: str) -> str:
    """Return the last line that is not empty, usually that of an exception, printable and not too long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    line = "".join(c if c.isprintable() else "?" for c in lines[-1])
    return line if len(line) <= MOST_ERROR_TEXT else line[: MOST_ERROR_TEXT - 1] + "…"


def _ended(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
