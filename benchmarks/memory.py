"""Peak memory: a million URLs to Parquet, ten million responses, a million hosts, 256 large bodies."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from benchmarks.contestants.harness import Job, address
from benchmarks.machine import CLIENT_CORE, pin_to
from benchmarks.measure import Terms
from benchmarks.report import Result
from benchmarks.servers import SMALL_BYTES, nginx, test_server
from tests.corpus.nginx import free_port

URLS = (100_000, 1_000_000)
HOSTS = 1_000_000
BODIES, LARGE_BYTES = 256, 60_000_000
RESPONSES = 10_000_000
CONCURRENCY = 64
PARQUET_RUNS = 3
COMMAND_SECONDS_AT_MOST = 240.0
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a command."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    """The largest resident set that the kernel saw, of the whole process."""


def parquet(terms: Terms) -> Result:
    """Fetch lists of URLs with the command and check every row."""
    many = tuple(max(1_000, round(urls * terms.share)) for urls in URLS)
    runs: dict[int, list[Run]] = {urls: [] for urls in many}
    with tempfile.TemporaryDirectory() as folder, test_server() as served:
        for _ in range(min(terms.runs, PARQUET_RUNS)):
            for urls in many:
                runs[urls].append(_fetch(served.origins["http"], urls, Path(folder)))
    medians = {urls: middle(taken) for urls, taken in runs.items()}
    rows = [
        [
            f"{urls:,}",
            f"{run.peak_rss_bytes / 1e6:.1f}",
            f"{run.wall_s:.1f}",
            f"{urls / run.wall_s:,.0f}",
            f"{run.cpu_s / urls * 1e6:.1f}",
        ]
        for urls, run in medians.items()
    ]
    return Result(
        case="parquet",
        title="URLs from a file to Parquet",
        command=terms.command("parquet"),
        method=(
            f"`hurtle fetch urls.txt -o out.parquet --concurrency-per-host {CONCURRENCY}` against"
            f" `hurtle serve`, bodies of {SMALL_BYTES} B; medians of {len(runs[many[0]])} runs; ru_maxrss"
            " of the process, in decimal MB. duckdb counts the rows that are ok and whole. Runs on a busy"
            " machine count: only their seconds are wrong, not their memory."
        ),
        header=["URLs", "peak RSS MB", "seconds", "URLs/s", "CPU µs/URL"],
        rows=rows,
        figures={
            "peak_rss_bytes": {str(urls): run.peak_rss_bytes for urls, run in medians.items()},
            "runs": {str(urls): [asdict(run) for run in taken] for urls, taken in runs.items()},
        },
    )


def _fetch(origin: str, urls: int, folder: Path) -> Run:
    """Fetch a list of that many URLs and check that every row is there and ok."""
    listed, out = folder / "urls.txt", folder / "out.parquet"
    with listed.open("w", encoding="ascii") as lines:
        lines.writelines(f"{origin}/bytes/{SMALL_BYTES}?n={number}\n" for number in range(urls))
    run, _ = launch(
        [
            "-m",
            "hurtle",
            "fetch",
            str(listed),
            "-o",
            str(out),
            "--concurrency-per-host",
            str(CONCURRENCY),
            "-q",
        ]
    )
    with duckdb.connect() as database:
        counted = database.execute(
            f"SELECT count(DISTINCT index) FROM '{out}' WHERE ok AND octet_length(body) = {SMALL_BYTES}"
        ).fetchone()
    if counted != (urls,):
        raise RuntimeError(f"{counted} of {urls} rows are ok")
    return run


def flat(terms: Terms) -> Result:
    """Stream ten million responses, and sample the memory after every million."""
    requests = max(10_000, round(RESPONSES * terms.share))
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        job = Job(
            url=served.origins["http"] + "/small",
            requests=requests,
            concurrency=CONCURRENCY,
            body_bytes=SMALL_BYTES,
        )
        run, words = launch(["-m", "benchmarks.contestants.hurtle_flat", job.to_json()])
    seen: list[int] = json.loads(words)
    step = requests // len(seen)
    rows = [[f"{(place + 1) * step:,}", f"{rss / 1e6:.1f}"] for place, rss in enumerate(seen)]
    return Result(
        case="flat",
        title="Memory over ten million responses",
        command=terms.command("flat"),
        method=(
            f"One `hurtle.stream` over {requests:,} URLs, with every body checked; RSS of the process after"
            f" each {step:,}. It took {run.wall_s:.0f} s."
        ),
        header=["responses", "RSS MB"],
        rows=rows,
        figures={"rss_bytes": seen, "run": asdict(run)},
    )


def hosts(terms: Terms) -> Result:
    """Send one request to each of a million hosts that refuse connections, to measure what a host costs."""
    many = max(1_000, round(HOSTS * terms.share))
    pin_to(CLIENT_CORE)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "urls.txt")
        with listed.open("w", encoding="ascii") as lines:
            lines.writelines(f"http://{address(number)}:{port}/\n" for number in range(many))
        run, words = launch(["-m", "benchmarks.contestants.hurtle_hosts", str(listed)])
    refused = json.loads(words)["refused"]
    if refused != many:
        raise RuntimeError(f"{refused} of {many} hosts refused the connection")
    return Result(
        case="hosts_memory",
        title="Memory of a million hosts",
        command=terms.command("hosts_memory"),
        method=(
            "One URL on each of that many addresses of 127.0.0.0/8, where every connection is refused,"
            " without retries; peak RSS of the process, in decimal MB."
        ),
        header=["hosts", "peak RSS MB", "seconds"],
        rows=[[f"{many:,}", f"{run.peak_rss_bytes / 1e6:.1f}", f"{run.wall_s:.1f}"]],
        figures={"peak_rss_bytes": run.peak_rss_bytes, "hosts": many, "run": asdict(run)},
    )


def bodies(terms: Terms) -> Result:
    """Fetch large bodies, all in flight at once, with the default `max_buffer`."""
    many = max(16, round(BODIES * terms.share))
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        Path(folder, "large").write_bytes(bytes(LARGE_BYTES))
        script = "benchmarks.contestants.hurtle_bodies"
        run, words = launch(["-m", script, served.origins["http"] + "/large", str(many), str(LARGE_BYTES)])
    if (good := json.loads(words)["good"]) != many:
        raise RuntimeError(f"{good} of {many} bodies are whole")
    return Result(
        case="bodies_memory",
        title="Memory of large bodies in flight",
        command=terms.command("bodies_memory"),
        method=(
            f"That many bodies of {LARGE_BYTES / 1e6:.0f} MB at once from nginx, read by a loop that looks at"
            " every `content`; `max_buffer` as it is by default, 67 MB; peak RSS of the process, in decimal"
            " MB."
        ),
        header=["in flight", "peak RSS MB", "seconds"],
        rows=[[f"{many}", f"{run.peak_rss_bytes / 1e6:.1f}", f"{run.wall_s:.1f}"]],
        figures={"peak_rss_bytes": run.peak_rss_bytes, "bodies": many},
    )


def launch(arguments: Sequence[str]) -> tuple[Run, str]:
    """Run Python with these arguments from a small parent; return the figures and its stderr.

    Raises:
        RuntimeError: It failed or hung.
    """
    command = [sys.executable, "-S", str(LAUNCHER), sys.executable, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS_AT_MOST, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"did not end within {COMMAND_SECONDS_AT_MOST:.0f} seconds") from error
    if done.returncode != 0:
        raise RuntimeError(f"ended with {done.returncode}: {done.stderr[-300:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1])), done.stderr


def middle(runs: list[Run]) -> Run:
    """Return the medians."""
    return Run(
        wall_s=statistics.median(run.wall_s for run in runs),
        cpu_s=statistics.median(run.cpu_s for run in runs),
        peak_rss_bytes=round(statistics.median(run.peak_rss_bytes for run in runs)),
    )
