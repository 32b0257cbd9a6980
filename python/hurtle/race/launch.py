"""Run one contestant in this process: its job as JSON on stdin, its figures as JSON lines on stdout.

Usage: `python -P launch.py methods/NAME.py <job.json`. The interpreter is the contestant's own and need not
have hurtle, so this file imports only the standard library. The contestant's file defines

    def fetch(job: Job, got: Got) -> int | None: ...

which fetches every URL, calls `got(index, size)` for every body, and returns None. A tool that keeps no
bodies returns how many answers it counted instead. The clock starts after the start of the interpreter and
the imports.
"""

import importlib.util
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NoReturn, TypeAlias

Got: TypeAlias = Callable[[int, int], None]
"""Called with the index of a URL and the number of bytes of its body."""

SAMPLE_SECONDS = 0.005
"""How often to sample the memory of a tool: Linux forgets it when the tool ends."""


class Unfit(Exception):
    """A contestant does not support this job."""


@dataclass(frozen=True, slots=True)
class Job:
    """The job of a contestant."""

    urls: list[str]
    connections: int
    """The most requests in flight, and the most connections."""
    ca_path: str | None
    """A PEM file with the only certificate authority to trust; None: those of the system."""
    tool: str | None
    """The executable, for a contestant that is not in Python."""
    verbose: bool

    def refuse(self, why: str) -> NoReturn:
        """End the run: this contestant does not support the job, which is not a failure.

        Args:
            why: A sentence for the table.

        Raises:
            Unfit: Always.
        """
        raise Unfit(why)

    def run_tool(self, *arguments: str, stdin: str = "") -> str:
        """Run the tool to its end and return what it printed.

        Raises:
            RuntimeError: The tool failed; the message is its error output.
        """
        assert self.tool is not None
        command = [self.tool, *arguments]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            said, complaint, waiting = "", "", stdin
            while True:
                try:
                    said, complaint = process.communicate(waiting, timeout=SAMPLE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _tool_peaks.append(_peak_rss_bytes(str(process.pid)) or 0)
                    waiting = ""
        if process.returncode:
            raise RuntimeError(complaint.strip() or said.strip() or f"exit status {process.returncode}")
        return said


_tool_peaks: list[int] = []


def main(path: str) -> None:
    """Run the job on stdin with the contestant in a file, and print the figures."""
    job = Job(**json.load(sys.stdin))
    contestant = _load(path)
    sizes: list[int | None] = [None] * len(job.urls)

    def got(index: int, size: int) -> None:
        sizes[index] = size

    def got_aloud(index: int, size: int) -> None:
        sizes[index] = size
        print(json.dumps({"index": index, "bytes": size}), flush=True)

    cpu_s, clock = _cpu_seconds(job), time.perf_counter()
    try:
        counted = contestant.fetch(job, got_aloud if job.verbose else got)
    except Unfit as reason:
        print(json.dumps({"unfit": str(reason)}), flush=True)
        return
    seconds, cpu_s = time.perf_counter() - clock, _cpu_seconds(job) - cpu_s
    print(json.dumps(_figures(seconds, cpu_s, sizes, counted)), flush=True)


def _load(path: str) -> ModuleType:
    # Under a different name: the file of the contestant `requests` must not shadow the package.
    spec = importlib.util.spec_from_file_location("contestant", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _figures(
    seconds: float, cpu_s: float, sizes: Sequence[int | None], counted: int | None
) -> dict[str, object]:
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_s,
        "peak_rss_bytes": max(_tool_peaks) if _tool_peaks else _peak_rss_bytes("self"),
        "sizes": list(sizes) if counted is None else None,
        "counted": counted,
    }


def _cpu_seconds(job: Job) -> float:
    """Return the user and system time of this process, or of the tool if one does the work."""
    if job.tool is None:
        return time.process_time()
    import resource  # missing on Windows, where none of the tools runs

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _peak_rss_bytes(pid: str) -> int | None:
    """Return the peak memory of a process in bytes; None if the system does not report it.

    Not `ru_maxrss`: Linux starts it at the memory of the parent, such as a large notebook.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123 - early
            return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    except OSError:
        return None


def _innermost(error: BaseException) -> BaseException:
    """Return the first error: a group of tasks wraps it, and would print a box around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as failure:  # noqa: BLE001 - the last line of its error output goes into the table
        reason = _innermost(failure)
        traceback.print_exception(reason)
        sys.exit(f"{type(reason).__name__}: {reason}")
