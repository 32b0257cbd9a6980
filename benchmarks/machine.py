"""What the machine is and how quiet it was: the figures without which a measurement says nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE = 0
CLIENT_CORE = 1
"""The core of the measured process; on a machine with more cores, everything else keeps off it."""

STEAL_FIELD = 8
"""The column of a cpu line of /proc/stat that counts ticks the hypervisor gave to others."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """The two cores' time counters at one moment, in clock ticks."""

    total: int
    stolen: int

    @classmethod
    def now(cls) -> Ticks:
        """Read the counters of the server's and the client's core."""
        total = stolen = 0
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[0] in {f"cpu{SERVER_CORE}", f"cpu{CLIENT_CORE}"}:
                total += sum(int(field) for field in fields[1 : STEAL_FIELD + 1])
                stolen += int(fields[STEAL_FIELD])
        return cls(total, stolen)

    def steal_since(self, earlier: Ticks) -> float:
        """Return the stolen share of the time since then, from 0 to 1."""
        return (self.stolen - earlier.stolen) / max(1, self.total - earlier.total)


def pin_to(core: int) -> None:
    """Keep this process, and the processes it will start, on one core."""
    os.sched_setaffinity(0, {core})


def cpu_seconds_of(pid: int) -> float:
    """Return the user and system time that a running process has used."""
    # The name of the program may hold spaces: the fields are counted after its closing parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str]:
    """Return the machine and the versions of everything that is measured, by name."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "hurtle": _package("hurtle"),
        "aiohttp": _package("aiohttp"),
        "uvloop": _package("uvloop"),
        "nginx": _said_by(["nginx", "-v"], "nginx/"),
        "wrk": _said_by(["wrk", "--version"], "wrk "),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _said_by(command: list[str], before: str) -> str:
    """Return the word after `before` in what the command prints about itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "not installed"
    return (done.stdout + done.stderr).partition(before)[2].split()[0]
