"""A million rows requested again: the memory and the time of a retry and of a refresh."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import duckdb

from benchmarks.measure import Terms
from benchmarks.memory import CONCURRENCY, Run, launch, middle
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, test_server

URLS = 1_000_000
FIRST, RETRY, REFRESH = "the first run", "retry of all rows", "refresh, nothing has changed"
RUNS = 3


def measure(terms: Terms) -> Result:
    """Fetch a list to Parquet, then retry all of it, then fetch it since that run."""
    urls = max(20_000, round(URLS * terms.share))
    taken: dict[str, list[Run]] = {FIRST: [], RETRY: [], REFRESH: []}
    with tempfile.TemporaryDirectory() as name, test_server() as served:
        folder = Path(name)
        listed, out, refreshed = folder / "urls.txt", folder / "out.parquet", folder / "refreshed.parquet"
        with listed.open("w", encoding="ascii") as lines:
            origin = served.origins["http"]
            lines.writelines(f"{origin}/bytes/{SMALL_BYTES}?n={number}\n" for number in range(urls))
        commands = {
            FIRST: ["fetch", str(listed), "-o", str(out)],
            RETRY: ["retry", str(out), "--where", "ok"],
            REFRESH: ["fetch", str(listed), "-o", str(refreshed), "--since", str(out)],
        }
        for _ in range(min(terms.runs, RUNS)):
            for step, command in commands.items():
                options = ["--concurrency-per-host", str(CONCURRENCY), "-q"]
                run, _ = launch(["-m", "hurtle", *command, *options])
                taken[step].append(run)
            _check(out, refreshed, urls)
            out.unlink()
            refreshed.unlink()
    medians = {step: middle(runs) for step, runs in taken.items()}
    first, *again = medians.values()
    return Result(
        case="again_memory",
        title="A million rows requested again",
        command=terms.command("again_memory"),
        method=(
            f"`hurtle fetch urls.txt -o out.parquet`, {urls:,} URLs, bodies of {SMALL_BYTES} B from `hurtle"
            " serve`; then `hurtle retry out.parquet --where ok`; then the same list to another file with"
            f" `--since out.parquet`. Medians of {len(taken[FIRST])} runs; ru_maxrss of the process, in"
            " decimal MB. duckdb checks the rows."
        ),
        header=[f"{urls:,} URLs", "peak RSS MB", "seconds", "CPU seconds", "CPU of the first run"],
        rows=[
            [
                step,
                f"{run.peak_rss_bytes / 1e6:.1f}",
                f"{run.wall_s:.1f}",
                f"{run.cpu_s:.1f}",
                f"{run.cpu_s / first.cpu_s:.2f} ×",
            ]
            for step, run in medians.items()
        ],
        figures={
            "urls": urls,
            "peak_rss_bytes": max(run.peak_rss_bytes for run in again),
            "times_the_first_run": max(run.wall_s for run in again) / first.wall_s,
            "runs": {step: [asdict(run) for run in runs] for step, runs in taken.items()},
        },
    )


def _check(out: Path, refreshed: Path, urls: int) -> None:
    """Check with another reader that every row is there, and that nothing has changed.

    Raises:
        RuntimeError: Rows are missing, or were not recognized.
    """
    with duckdb.connect() as database:
        counted = database.execute(
            f"SELECT (SELECT count(DISTINCT index) FROM '{out}'"
            f" WHERE ok AND octet_length(body) = {SMALL_BYTES}),"
            f" (SELECT count(DISTINCT body_index) FROM '{refreshed}' WHERE ok AND change = 'unchanged')"
        ).fetchone()
    if counted != (urls, urls):
        raise RuntimeError(f"{counted} of {urls} rows are right")
