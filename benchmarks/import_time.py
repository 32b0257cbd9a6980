"""What `import hurtle` costs over bare Python, in a fresh process each time.

Usage: python -m benchmarks.import_time [--help]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks.measure import Spread
from benchmarks.report import publish, table

PROGRAMS = {"python": "pass", "python + import hurtle": "import hurtle"}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_time", description=__doc__)
    parser.add_argument("--runs", type=int, default=31, help="processes of each kind (%(default)s)")
    runs: int = parser.parse_args().runs
    for program in PROGRAMS.values():
        _milliseconds(program)  # fills the file cache and writes the bytecode
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(runs):
        for name, program in PROGRAMS.items():
            taken[name].append(_milliseconds(program))
    spreads = {name: Spread.of(figures) for name, figures in taken.items()}
    bare, full = (spread.median for spread in spreads.values())
    rows = [[name, spread.show(1)] for name, spread in spreads.items()]
    publish(
        "import_time",
        command=f"python -m benchmarks.import_time --runs {runs}",
        method=f"Whole life of the process, medians (lowest-highest) of {runs} interleaved processes.",
        body=table(["process", "ms"], [*rows, ["difference", f"{full - bare:.1f}"]]),
        figures={"milliseconds": taken, "difference_ms": full - bare},
    )


def _milliseconds(program: str) -> float:
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - clock) * 1000


if __name__ == "__main__":
    main()
