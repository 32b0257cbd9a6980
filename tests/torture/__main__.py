"""The full form: `make torture`. Prints a Markdown table; ends with 1 when anything was lost.

Usage: python -m tests.torture [OUTPUT ...]: only outputs whose name holds one of these words.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.torture import methods
from tests.torture.outputs import OUTPUTS, Output
from tests.torture.syscalls import of_call, spread, why_not
from tests.torture.trial import MOST_REPEATED, Tally, server_under_load
from tests.torture.workload import IN_FLIGHT, PART_ROWS, ROWS

MOST_POINTS = 400
"""Kills at system calls for one output, at most; the table says how many are left out."""

MOST_ERRORS = 30
FAILURES = (
    ("ENOSPC", "write"), ("ENOSPC", "pwrite64"), ("EIO", "write"), ("EIO", "pwrite64"),
    ("EIO", "fsync"), ("EIO", "fdatasync"),
)  # fmt: skip
"""Errors of a disk, and the calls that they come from."""

RANDOM_KILLS = 200


def main(words: Sequence[str]) -> int:
    chosen = [one for one in OUTPUTS if not words or any(word in one.name for word in words)]
    start = monotonic()
    faults = 0
    print(f"{ROWS:,} URLs, {IN_FLIGHT} in flight, parts of {PART_ROWS} rows.")
    print(
        f"A break may repeat {MOST_REPEATED} requests: in flight, waiting for the sink, and one open part.\n"
    )
    print("| output | what was done | breaks | runs | faults | most repeated by a break | remark |")
    print("|---|---|--:|--:|--:|--:|---|")
    with TemporaryDirectory(prefix="torture-") as place:
        for output in chosen:
            for tally in tallies_of(output, Path(place)):
                print(row_of(tally), flush=True)
                faults += len(tally.faults)
                for fault in tally.faults:
                    print(f"{tally.output}: {tally.method}: {fault}", file=sys.stderr, flush=True)
    print(f"\n{monotonic() - start:.0f} s")
    return 1 if faults else 0


def tallies_of(output: Output, place: Path) -> Iterator[Tally]:
    """Break an output in every way, and yield the results of each."""
    with server_under_load() as server:
        yield methods.kill_at_random(output, RANDOM_KILLS, server, place)
        full = methods.fill_disk(output, server, place)
        yield full if isinstance(full, Tally) else Tally(output.name, "a disk that is full", remark=full)
        if (reason := why_not()) is not None:
            yield Tally(output.name, "a system call that kills or fails", remark=reason)
            return
        points = methods.points_of(output, server, place)
        tally = methods.kill_at(output, spread(points, MOST_POINTS), server, place)
        if len(points) > MOST_POINTS:
            tally.remark = f"{len(points) - MOST_POINTS} points left out; {tally.remark}"
        yield tally
        for error, call in FAILURES:
            failing = spread(of_call(points, call), MOST_ERRORS)
            if failing:
                yield methods.fail_at(output, failing, error, server, place)


def row_of(tally: Tally) -> str:
    numbers = (tally.breaks, tally.trials, len(tally.faults), tally.repeated)
    return "| " + " | ".join([tally.output, tally.method, *map(str, numbers), tally.remark]) + " |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
