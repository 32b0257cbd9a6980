"""What an output costs: writing rows compared with throwing them away, and the memory of a million rows."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path
from time import thread_time

import duckdb
import pyarrow

from benchmarks.clients import client
from benchmarks.contestants.harness import Job
from benchmarks.measure import Spread, Terms, interleave
from benchmarks.memory import Run, launch
from benchmarks.report import Result
from benchmarks.servers import PAGE_BYTES, PAGES, nginx, pages

CONCURRENCY = 64
REQUESTS = 100_000
FEWEST_REQUESTS = 20_000
"""Two parts of 10,000 rows: with fewer requests there would be no whole part."""

PLAIN, PACKED = "pages", "packed"
BASE, PARQUET = "thrown away", "parquet"
BASES = {PLAIN: BASE, PACKED: "gzip, thrown away"}
OUTPUTS: dict[str, tuple[dict[str, str] | None, int, str]] = {
    BASE: (None, PAGES, PLAIN),
    PARQUET: ({"format": "parquet"}, PAGES, PLAIN),
    "parquet, lz4": ({"format": "parquet", "compression": "lz4"}, PAGES, PLAIN),
    "parquet, always the same page": ({"format": "parquet"}, 1, PLAIN),
    "jsonl": ({"format": "jsonl"}, PAGES, PLAIN),
    "sqlite": ({"format": "sqlite"}, PAGES, PLAIN),
    BASES[PACKED]: (None, PAGES, PACKED),
    "gzip, parquet": ({"format": "parquet"}, PAGES, PACKED),
    "gzip, parquet, bodies coded": ({"format": "parquet", "bodies": "coded"}, PAGES, PACKED),
}
"""The options of the run, how many different pages, and whether they come as they are or as gzip. A page that
repeats costs next to nothing to compress."""

CODEC, LEVEL = "zstd", 1
"""As in hurtle/formats/parquet.py."""

BLOCK_BYTES = 1 << 20
COMPRESSING_RUNS = 5

URLS = 1_000_000
MEMORY_RUNS = 3


def measure(terms: Terms) -> Result:
    """Fetch the same pages with and without an output.

    Raises:
        NoisyMachineError: The machine was too busy.
    """
    requests = max(FEWEST_REQUESTS, round(REQUESTS * terms.share))
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder), pages()) as served:
        job = Job(
            url=f"{served.origins['http']}/{PLAIN}",
            requests=requests,
            concurrency=CONCURRENCY,
            body_bytes=PAGE_BYTES,
        )
        runs = {
            name: partial(
                client("hurtle, to an output").run,
                dataclasses.replace(
                    job,
                    url=f"{served.origins['http']}/{path}",
                    options={"run": options, "pages": different},
                ),
            )
            for name, (options, different, path) in OUTPUTS.items()
        }
        taken = interleave(runs, terms, served.cpu_s, print)
    if taken.failed:
        raise RuntimeError(str(taken.failed))
    cpu = {name: Spread.of([one.client_cpu_us for one in samples]) for name, samples in taken.samples.items()}
    bases = {name: cpu[BASES[path]].median for name, (_, _, path) in OUTPUTS.items()}
    compressing = _compressing_us()
    rows = [
        [
            name,
            spread.show(2),
            f"{spread.median - bases[name]:+.2f} µs",
            f"{spread.median / bases[name] - 1:+.0%}",
            Spread.of([one.rate_per_s for one in taken.samples[name]]).show(0),
        ]
        for name, spread in cpu.items()
    ]
    return Result(
        case="output",
        title="What an output costs",
        command=terms.command("output"),
        method=(
            f"{requests:,} different URLs, {PAGES:,} different pages of {PAGE_BYTES:,} bytes from nginx, cut"
            f" out of the sources of Python's library, {CONCURRENCY} at a time. Thrown away: `hurtle.stream`"
            " in a for-loop that reads only `ok`; dropping the engine's batches untouched takes the same"
            " time. Written: `hurtle.run` with parts of 10,000 rows, each fsynced, read back, hashed and"
            " recorded. gzip: nginx has the same pages compressed; more is what such a row takes beyond"
            f' "{BASES[PACKED]}".'
            f" Compressing alone, with zstd at level {LEVEL} in blocks of 1 MiB as in a Parquet file, takes"
            f" {compressing:.2f} µs per page."
            f" {taken.counted} rounds, {taken.thrown_away} disturbed runs made again."
        ),
        header=["rows", "client µs/request", "more", "", "requests/s"],
        rows=rows,
        figures={
            "client_cpu_us": {name: dataclasses.asdict(spread) for name, spread in cpu.items()},
            "parquet_adds": cpu[PARQUET].median / bases[PARQUET] - 1,
            "compressing_us": compressing,
            "samples": {
                name: [dataclasses.asdict(one) for one in samples] for name, samples in taken.samples.items()
            },
        },
        quiet=not taken.noisy,
    )


def _compressing_us() -> float:
    """Return the processor time that zstd takes for a page."""
    text = b"".join(pages())
    blocks = [text[at : at + BLOCK_BYTES] for at in range(0, len(text), BLOCK_BYTES)]
    codec = pyarrow.Codec(CODEC, compression_level=LEVEL)
    taken = []
    for _ in range(COMPRESSING_RUNS):
        start = thread_time()
        for block in blocks:
            codec.compress(block)
        taken.append(thread_time() - start)
    return statistics.median(taken) / PAGES * 1e6


def memory(terms: Terms) -> Result:
    """Fetch a million URLs to a folder of Parquet parts, and resume the run when all of it is done."""
    urls = max(FEWEST_REQUESTS, round(URLS * terms.share))
    taken: dict[str, list[Run]] = {"fetched": [], "all done before": []}
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder), pages()) as served:
        listed, out = Path(folder, "urls.txt"), Path(folder, "out")
        with listed.open("w", encoding="ascii") as lines:
            origin = served.origins["http"]
            lines.writelines(f"{origin}/pages/{number % PAGES}?n={number}\n" for number in range(urls))
        for _ in range(min(terms.runs, MEMORY_RUNS)):
            for runs in taken.values():
                runs.append(_fetch(listed, out))
                _check(out, urls)
            shutil.rmtree(out)
    rows = [
        [name, f"{_peak(runs) / 1e6:.1f}", f"{statistics.median(run.wall_s for run in runs):.1f}"]
        for name, runs in taken.items()
    ]
    return Result(
        case="output_memory",
        title="Memory of a million rows in a folder of Parquet parts",
        command=terms.command("output_memory"),
        method=(
            f"`hurtle fetch urls.txt -o out/ --concurrency-per-host {CONCURRENCY}`, {urls:,} URLs, pages of"
            f" {PAGE_BYTES:,} bytes from nginx; then the same command again, which finds every row in the"
            f" journal. Medians of {len(taken['fetched'])} runs; ru_maxrss of the process, in decimal MB."
            " duckdb counts the rows. Runs on a busy machine count: only their seconds are wrong, not their"
            " memory."
        ),
        header=[f"{urls:,} URLs", "peak RSS MB", "seconds"],
        rows=rows,
        figures={
            "urls": urls,
            "peak_rss_bytes": max(_peak(runs) for runs in taken.values()),
            "runs": {name: [dataclasses.asdict(run) for run in runs] for name, runs in taken.items()},
        },
    )


def _peak(runs: list[Run]) -> int:
    return round(statistics.median(run.peak_rss_bytes for run in runs))


def _fetch(listed: Path, out: Path) -> Run:
    concurrency = ["--concurrency-per-host", str(CONCURRENCY)]
    run, _ = launch(["-m", "hurtle", "fetch", str(listed), "-o", f"{out}/", *concurrency, "-q"])
    return run


def _check(out: Path, urls: int) -> None:
    """Check with another reader that every row is there, ok and whole.

    Raises:
        RuntimeError: Rows are missing.
    """
    with duckdb.connect() as database:
        counted = database.execute(
            f"SELECT count(*), count(DISTINCT index) FROM '{out}/*.parquet'"
            f" WHERE ok AND octet_length(body) = {PAGE_BYTES}"
        ).fetchone()
    if counted != (urls, urls):
        raise RuntimeError(f"{counted} of {urls} rows are ok")
