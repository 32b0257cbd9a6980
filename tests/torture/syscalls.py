"""Break the victim at one exact system call: strace kills it there, or lets the call fail."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "write", "writev", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "link", "linkat", "ftruncate", "mkdir", "mkdirat", "rmdir",
)  # fmt: skip
"""Calls that change what is on the disk. Opening a file is not one of them: each is written to afterwards."""

LINE = re.compile(r"(?P<thread>\d+)\s+(?P<call>\w+)\((?P<rest>.*)")
QUIET = ("strace", "-qq", "-e", "signal=none")


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` call of a kind by the victim's main thread, from 1, which touches the output."""

    call: str
    nth: int

    def __str__(self) -> str:
        return f"{self.call} #{self.nth}"

    def kill(self) -> list[str]:
        """Return what to put in front of a command so that it dies when it is about to make the call."""
        return self._inject("signal=KILL", Path("/dev/null"))

    def fail(self, error: str, log: Path) -> list[str]:
        """Return what to put in front of a command so that the call, which is not made, fails."""
        return self._inject(f"error={error}", log)

    def _inject(self, what: str, log: Path) -> list[str]:
        # Not -f: the sink runs on the main thread, and each thread would have a count of its own.
        injected = f"inject={self.call}:{what}:when={self.nth}"
        return [*QUIET, "-y", "-o", str(log), "-e", f"trace={self.call}", "-e", injected]


def was_hit(log: Path, folder: Path) -> bool:
    """Tell whether the call that failed touched a folder.

    The order of calls differs a little from run to run: it may have been one that woke a thread instead.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.endswith("(INJECTED)") and str(folder) in line for line in lines)


def why_not() -> str | None:
    """Return why no process can be traced here; None: it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run([*QUIET, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace cannot trace: {tried.stderr.strip()[-100:]}"


def listing(log: Path) -> list[str]:
    """Return what to put in front of a command so that `points_in` finds its calls in the log."""
    return [*QUIET, "-f", "-y", "--seccomp-bpf", "-o", str(log), "-e", "trace=" + ",".join(CALLS)]


def points_in(log: Path, folder: Path) -> list[Point]:
    """Return every call of the log that touches a folder.

    Raises:
        ValueError: Another thread than the first made such a call, where `Point` could not break it.
    """
    counts: Counter[str] = Counter()
    points: list[Point] = []
    main = ""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = LINE.match(line)
        if match is None:  # the end of a call that another thread's line interrupted
            continue
        main = main or match["thread"]
        touches = str(folder) in match["rest"]
        if match["thread"] == main:
            counts[match["call"]] += 1
            if touches:
                points.append(Point(match["call"], counts[match["call"]]))
        elif touches:
            raise ValueError(f"not on the main thread: {line}")
    return points


def spread(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most this many of the points, evenly spaced from the first to the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]


def of_call(points: Iterable[Point], call: str) -> list[Point]:
    """Return the points of one call."""
    return [point for point in points if point.call == call]
