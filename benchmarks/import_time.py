"""What `import hurtle` costs over bare Python, in a fresh process each time."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.machine import CLIENT_CORE, pin_to
from benchmarks.measure import Spread, Terms
from benchmarks.report import Result

PROGRAMS = {"python": "pass", "python + import hurtle": "import hurtle"}
PROCESSES_PER_RUN = 6


def measure(terms: Terms) -> Result:
    """Start interleaved processes and compare their medians."""
    pin_to(CLIENT_CORE)
    processes = terms.runs * PROCESSES_PER_RUN
    for program in PROGRAMS.values():
        _milliseconds(program)  # fills the file cache and writes the bytecode
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(processes):
        for name, program in PROGRAMS.items():
            taken[name].append(_milliseconds(program))
    spreads = {name: Spread.of(figures) for name, figures in taken.items()}
    bare, full = (spread.median for spread in spreads.values())
    return Result(
        case="import_time",
        title="`import hurtle`",
        command=terms.command("import_time"),
        method=f"Whole life of the process; medians of {processes} interleaved processes of each kind.",
        header=["process", "ms"],
        rows=[
            *([name, spread.show(1)] for name, spread in spreads.items()),
            ["difference", f"{full - bare:.1f}"],
        ],
        figures={"milliseconds": taken, "difference_ms": full - bare},
    )


def _milliseconds(program: str) -> float:
    clock = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - clock) * 1000
