"""Files larger than memory: one large file compared with `curl -o`, and many at once."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Terms
from benchmarks.memory import LAUNCHER, Run
from benchmarks.report import Result
from benchmarks.servers import nginx

LARGE_BYTES = 5_000_000_000
MANY, EACH_BYTES, IN_FLIGHT = 200, 100_000_000, 32
SECONDS_AT_MOST = 300.0

CURL, DOWNLOAD, FILES, FILES_MANY = (
    "`curl -o`, one file",
    "`hurtle download`, one file",
    "`--format files` (SHA-256), one file",
    "`hurtle download`, many files",
)


def measure(terms: Terms) -> Result:
    """Fetch one large file in three ways, in turn, and many files once."""
    large = max(50_000_000, round(LARGE_BYTES * terms.share))
    many = max(IN_FLIGHT, round(MANY * terms.share))
    runs: dict[str, list[Run]] = {name: [] for name in (CURL, DOWNLOAD, FILES, FILES_MANY)}
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        place = Path(folder)
        for name, size in (("large", large), ("each", EACH_BYTES)):
            with (place / name).open("wb") as file:
                file.truncate(size)  # without blocks: reading it costs no disk
        url, out = f"{served.origins['http']}/large", place / "out"
        curl = shutil.which("curl")
        if curl is None:
            raise RuntimeError("curl is not installed")
        size_flag = ["--max-body-size", str(large), "--timeout", "0"]
        ways = {
            CURL: [curl, "-s", "-o", f"{out}/large", url],
            DOWNLOAD: _hurtle("download", url, "-o", str(out), "--timeout", "0"),
            FILES: _hurtle("fetch", url, "-o", f"{out}/", "--format", "files", *size_flag),
        }
        for _ in range(terms.runs):
            for name, command in ways.items():
                out.mkdir()
                runs[name].append(_launched(command))
                _check(out, 1, large)
                shutil.rmtree(out)
        urls = place / "urls.txt"
        urls.write_text("".join(f"{served.origins['http']}/each?{n}\n" for n in range(many)))
        flight = ["--concurrency", str(IN_FLIGHT), "--concurrency-per-host", str(IN_FLIGHT)]
        runs[FILES_MANY].append(_launched(_hurtle("download", str(urls), "-o", str(out), *flight)))
        _check(out, many, EACH_BYTES)
        shutil.rmtree(out)
    middle = {name: _middle(taken) for name, taken in runs.items()}
    base = middle[CURL].cpu_s
    rows = [
        [
            name,
            f"{run.peak_rss_bytes / 1e6:.1f}",
            f"{run.wall_s:.2f}",
            f"{run.cpu_s:.2f}",
            "" if name == FILES_MANY else f"{run.cpu_s / base:.2f} ×",
        ]
        for name, run in middle.items()
    ]
    return Result(
        case="files",
        title="Files to disk",
        command=terms.command("files"),
        method=(
            f"One file of {large:,} bytes from nginx, medians of {terms.runs} runs in turn; and {many} files"
            f" of {EACH_BYTES:,} bytes, {IN_FLIGHT} at a time, once. ru_maxrss and processor time of the"
            " whole process, start-up included; hurtle fsyncs each file, curl does not. Runs on a busy"
            " machine count."
        ),
        header=["to disk", "peak RSS MB", "seconds", "CPU seconds", "CPU against curl"],
        rows=rows,
        figures={
            "bytes": large,
            "cpu_against_curl": middle[DOWNLOAD].cpu_s / base,
            "peak_rss_bytes": {name: run.peak_rss_bytes for name, run in middle.items()},
            "runs": {name: [asdict(run) for run in taken] for name, taken in runs.items()},
        },
    )


def _hurtle(*words: str) -> list[str]:
    return [sys.executable, "-m", "hurtle", *words, "--quiet"]


def _launched(command: list[str]) -> Run:
    done = subprocess.run(
        [sys.executable, "-S", str(LAUNCHER), *command],
        capture_output=True,
        text=True,
        timeout=SECONDS_AT_MOST,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _check(folder: Path, count: int, size: int) -> None:
    found = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == size]
    if len(found) != count:
        raise RuntimeError(f"{len(found)} of {count} files are there")


def _middle(runs: list[Run]) -> Run:
    return Run(
        wall_s=statistics.median(run.wall_s for run in runs),
        cpu_s=statistics.median(run.cpu_s for run in runs),
        peak_rss_bytes=round(statistics.median(run.peak_rss_bytes for run in runs)),
    )
