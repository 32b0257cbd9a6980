"""The ways to break a run. Each runs trials to their end and returns their results."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from time import monotonic, sleep

from hurtle.testing import Server
from tests.torture.outputs import Output, journal_faults
from tests.torture.syscalls import Point, listing, points_in, was_hit
from tests.torture.trial import Rack, Tally, was_killed

REFUSED, BROKEN = 2, 3
"""Exit statuses of the victim."""

LARGE_ENOUGH = 32 << 20
"""Bytes of a disk on which every run completes."""


def points_of(output: Output, server: Server, place: Path) -> list[Point]:
    """Run once, undisturbed, and return every system call that touches the output."""
    with _folder(place) as folder, _folder(place) as aside:
        status, said = Rack(output, folder, server).run(listing(aside / "strace.log"))
        if status:
            raise RuntimeError(f"{output.name}: the undisturbed run ended with {status}: {said}")
        return points_in(aside / "strace.log", folder)


def kill_at(output: Output, points: Sequence[Point], server: Server, place: Path) -> Tally:
    """SIGKILL at each point, one run each, and resume the run."""
    tally = Tally(output.name, "SIGKILL at a system call")
    past_the_end = 0
    for point in points:
        with _folder(place) as folder:
            rack = Rack(output, folder, server)
            status, said = rack.run(point.kill())
            if not was_killed(status):
                past_the_end += 1  # batches differ from run to run: this one made fewer calls
            if status > 0:
                tally.faults.append(f"{point}: ended with {status}: {said.strip()[-300:]}")
            rack.complete(tally, f"killed at {point}", breaks=int(was_killed(status)))
    tally.remark = f"{past_the_end} runs were over before the call" if past_the_end else ""
    return tally


def kill_at_random(output: Output, kills: int, server: Server, place: Path, seed: int = 1) -> Tally:
    """SIGKILL at random moments, again and again until a run is complete, up to a total number of kills."""
    tally = Tally(output.name, "SIGKILL at random", remark=f"seed {seed}")
    random = Random(seed)
    while tally.breaks < kills:
        with _folder(place) as folder:
            rack = Rack(output, folder, server)
            made = _killed_until_complete(rack, random, kills - tally.breaks)
            rack.complete(tally, f"after {made} kills at random", breaks=made)
    return tally


def _killed_until_complete(rack: Rack, random: Random, most: int) -> int:
    """Kill a run up to this many times, and return how often it was hit before it was complete."""
    for made in range(most):
        with rack.start() as victim:
            before, start = rack.asked, monotonic()
            # From the first request on: before it, nothing can be lost.
            while rack.asked == before and victim.poll() is None and monotonic() < start + 10:
                sleep(0.001)
            try:
                victim.wait(random.uniform(0, 0.3))
            except subprocess.TimeoutExpired:
                victim.kill()
            victim.communicate()
        if not was_killed(victim.returncode):
            return made
        if rack.was_finished:
            return made + 1
    return most


def fail_at(output: Output, points: Sequence[Point], error: str, server: Server, place: Path) -> Tally:
    """Let the call at each point fail, one run each: it must end with an error, and the next must resume."""
    tally = Tally(output.name, f"{error} from {points[0].call}")
    missed = 0
    for point in points:
        with _folder(place) as folder, _folder(place) as aside:
            rack, log = Rack(output, folder, server), aside / "strace.log"
            status, said = rack.run(point.fail(error, log))
            if not was_hit(log, folder):
                missed += 1
                continue
            tally.faults += _not_an_honest_end(rack, status, said, f"{error} at {point}")
            rack.complete(tally, f"{error} at {point}", breaks=1)
    tally.remark = f"{missed} calls were others" if missed else ""
    return tally


def fill_disk(output: Output, server: Server, place: Path) -> Tally | str:
    """Run on a disk that is too small, make it larger and resume; return why, if nothing can be mounted."""
    tally = Tally(output.name, "a disk that is full")
    with _folder(place) as folder:
        Rack(output, folder, server).run()
        too_small = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) * 6 // 10
    tally.remark = f"tmpfs of {too_small >> 10} KiB"
    with _folder(place) as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={too_small}", "tmpfs", str(folder)]
        tried = subprocess.run(mount, capture_output=True, text=True, check=False)
        if tried.returncode:
            return f"tmpfs cannot be mounted: {tried.stderr.strip()[-100:]}"
        try:
            rack = Rack(output, folder, server)
            status, said = rack.run()
            if status != BROKEN:
                tally.faults.append(f"the disk was not full: {status}: {said}")
            tally.faults += _not_an_honest_end(rack, status, said, "a full disk")
            grow = ["mount", "-o", f"remount,size={LARGE_ENOUGH}", str(folder)]
            subprocess.run(grow, check=True, capture_output=True)
            rack.complete(tally, "after a full disk")
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    return tally


def _not_an_honest_end(rack: Rack, status: int, said: str, what: str) -> Iterator[str]:
    """Yield what is wrong with how a run on a broken disk ended."""
    said = said.strip()
    if status not in (REFUSED, BROKEN) and (status or not rack.is_whole):
        yield f"{what}: ended with {status}: {said[-300:]}"
    elif status == REFUSED and rack.asked:
        yield f"{what}: refused after {rack.asked} requests: {said[-300:]}"
    elif status == BROKEN and not said.startswith(("SinkError: ", "JournalError: ")):
        yield f"{what}: ended with other words: {said[-300:]}"
    for fault in journal_faults(rack.output, rack.folder):
        yield f"{what}: {fault}"


@contextmanager
def _folder(place: Path) -> Iterator[Path]:
    folder = Path(mkdtemp(dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
