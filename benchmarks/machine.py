"""What the machine is and how quiet it was. Without these figures a measurement says nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.corpus.nginx import find_nginx

SERVER_CORE = 0
CLIENT_CORE = 1
"""The core of the measured process; on a machine with more cores, everything else stays off it."""

PACKAGES = ("hurtle", "aiohttp", "uvloop", "pycurl", "pyreqwest", "floodr", "reqstorm", "pyarrow")

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """The time counters of the server's and the client's core at one moment, in seconds since the boot."""

    total_s: float
    busy_s: float
    """Time in processes, in user and system mode; interrupts belong to no process."""
    stolen_s: float
    """Given to other guests by the hypervisor."""

    @classmethod
    def now(cls) -> Cores:
        """Read the counters."""
        total = busy = stolen = 0
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name in {f"cpu{SERVER_CORE}", f"cpu{CLIENT_CORE}"}:
                user, nice, system, idle, wait, interrupt, softirq, steal = map(int, fields[:8])
                busy += user + nice + system
                stolen += steal
                total += user + nice + system + idle + wait + interrupt + softirq + steal
        return cls(total_s=total / TICKS_PER_S, busy_s=busy / TICKS_PER_S, stolen_s=stolen / TICKS_PER_S)

    def share_stolen_since(self, earlier: Cores) -> float:
        """Return the share of the time since then that the hypervisor took, from 0 to 1."""
        return (self.stolen_s - earlier.stolen_s) / max(1 / TICKS_PER_S, self.total_s - earlier.total_s)

    def share_of_others_since(self, earlier: Cores, ours_s: float) -> float:
        """Return the share of the time since then that processes other than ours used, from 0 to 1.

        Args:
            earlier: The counters at the start.
            ours_s: The processor time that the measured processes used in this span, in seconds.
        """
        others_s = self.busy_s - earlier.busy_s - ours_s
        return max(0.0, others_s / max(1 / TICKS_PER_S, self.total_s - earlier.total_s))


def pin_to(core: int) -> None:
    """Keep this process, and the processes it will start, on one core."""
    os.sched_setaffinity(0, {core})


def cpu_seconds_of(pid: int) -> float:
    """Return the user and system time that a running process has used."""
    # The name of the program may hold spaces: the fields are counted after its closing parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine() -> dict[str, str]:
    """Return the facts about this machine."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_bytes() / 1e9:.1f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that is measured, by name."""
    return {
        "python": platform.python_version(),
        **{name: package_version(name) or "not installed" for name in PACKAGES},
        "libcurl": _said_by([sys.executable, "-c", "import pycurl; print(pycurl.version)"], "libcurl/"),
        "nginx": _said_by([find_nginx() or "nginx", "-v"], "nginx/"),
        "wrk": _said_by(["wrk", "--version"], "wrk "),
        "h2load": _said_by(["h2load", "--version"], "nghttp2/"),
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed Python package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _said_by(command: list[str], before: str) -> str:
    """Return the word after `before` in what the command prints about itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "not installed"
    words = (done.stdout + done.stderr).partition(before)[2].split()
    return words[0] if words else "not installed"
