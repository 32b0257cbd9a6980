"""From a text file of URLs to Parquet: peak memory of the command at 100,000 and at 1,000,000 URLs.

Usage: python -m benchmarks.memory [--help]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from benchmarks.report import publish, table
from benchmarks.server import ServerProcess

BODY_BYTES = 100
CONCURRENCY = 64


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command."""

    urls: int
    peak_mib: float
    """The largest resident set that the kernel saw, of the whole process."""
    wall_s: float
    cpu_s: float
    output_mib: float


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument(
        "--urls", type=int, nargs="+", default=[100_000, 1_000_000], help="lengths of the list"
    )
    sizes: list[int] = parser.parse_args().urls
    with tempfile.TemporaryDirectory() as folder, ServerProcess() as server:
        runs = [_run(server.origin, urls, Path(folder)) for urls in sizes]
    header = ["URLs", "peak RSS MiB", "URLs/s", "seconds", "CPU µs/URL", "Parquet MiB"]
    rows = [
        [
            f"{run.urls:,}",
            f"{run.peak_mib:.1f}",
            f"{run.urls / run.wall_s:,.0f}",
            f"{run.wall_s:.1f}",
            f"{run.cpu_s / run.urls * 1e6:.1f}",
            f"{run.output_mib:.1f}",
        ]
        for run in runs
    ]
    method = (
        f"`hurtle fetch urls.txt -o out.parquet --concurrency-per-host {CONCURRENCY}` against `hurtle serve`"
        f" in another process, bodies of {BODY_BYTES} B; ru_maxrss of the command; duckdb counts the rows."
    )
    publish(
        "memory",
        command=f"python -m benchmarks.memory --urls {' '.join(map(str, sizes))}",
        method=method,
        body=table(header, rows),
        figures={"runs": [asdict(run) for run in runs]},
    )


def _run(origin: str, urls: int, folder: Path) -> Run:
    """Fetch a list of so many URLs and check that every row is there and ok."""
    listed, out = folder / "urls.txt", folder / "out.parquet"
    with listed.open("w", encoding="ascii") as lines:
        lines.writelines(f"{origin}/bytes/{BODY_BYTES}?n={number}\n" for number in range(urls))
    command = [sys.executable, "-m", "hurtle", "fetch", str(listed), "-o", str(out)]
    clock = time.perf_counter()
    process = subprocess.Popen([*command, "--concurrency-per-host", str(CONCURRENCY)])
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - clock
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"hurtle fetch ended with {process.returncode}")
    with duckdb.connect() as database:
        counted = database.execute(
            f"SELECT count(DISTINCT index) FROM '{out}' WHERE ok AND octet_length(body) = {BODY_BYTES}"
        ).fetchone()
    if counted != (urls,):
        raise SystemExit(f"{counted} of {urls} rows are ok")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(urls, usage.ru_maxrss / 1024, wall_s, cpu_s, out.stat().st_size / 2**20)


if __name__ == "__main__":
    main()
