"""User-mode instructions per request, by part of hurtle: repeatable, unlike times.

callgrind counts two runs of different length; their difference is the cost of a request without start-up. The
kernel's part is not counted. Usage: python -m benchmarks.instructions [--requests N] [--functions N]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from benchmarks.contestants.harness import WARM_UP_SHARE, Job
from benchmarks.report import table
from benchmarks.servers import SMALL_BYTES, nginx

CONCURRENCY = 64
SECONDS_AT_MOST = 600

PARTS: tuple[tuple[str, str], ...] = (
    ("Response objects, boundary", r"crates/python/|/pyo3|\b_engine::|\bpyo3(_ffi)?::"),
    ("HTTP codec", r"engine/src/(exchange|pool|headers|request/url)|/(httparse|http|h2|bytes|memchr)-\d"),
    ("HTTP codec", r"\bhurtle_engine::(exchange|pool|headers|request::url)|\b(httparse|http|h2|bytes)::"),
    ("batch", r"engine/src/(job|outcome)|\bhurtle_engine::(job|outcome)"),
    ("clocks", r"engine/src/(clock|timings|alarm)|_engine::(clock|timings|alarm)::|Timespec|vdso"),
    ("scheduling", r"engine/src/|\bhurtle_engine::"),
    ("runtime (tokio, mio)", r"/(tokio|mio|parking_lot|futures)[\w-]*-\d|\b(tokio|mio|parking_lot)(_\w+)?::"),
    ("memory (malloc, memcpy)", r"alloc|free|_chunk|memcpy|memmove|memset"),
    ("Rust's library", r"library/(core|alloc|std)|\b(core|alloc|std)::|/hashbrown|\bhashbrown::"),
    ("Python", r"libpython|python|Py|Objects/|gcmodule|method_vectorcall"),
    ("libc", r"libc|libpthread|ld-linux|sysdeps|nptl|__tls_get_addr"),
)
"""Which part a line belongs to: the first pattern that its file, function or object fits. Inlined code counts
where it was written; what the standard library does inline counts for the function it was inlined into."""

Line = tuple[str, str]
"""Part, function."""

Key = TypeVar("Key")


def main() -> None:
    """Count, and print two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="length of the longer run (%(default)s)")
    parser.add_argument("--functions", type=int, default=40, help="costliest functions to list (%(default)s)")
    given = parser.parse_args()
    each = per_request(given.requests // 5, given.requests)
    total = sum(each.values())
    parts: dict[str, float] = {}
    for (part, _), instructions in each.items():
        parts[part] = parts.get(part, 0.0) + instructions
    rows = [[part, f"{one:,.0f}", f"{one / total:.0%}"] for part, one in _dearest(parts)]
    print(table(["part", "instructions/request", "share"], [*rows, ["all", f"{total:,.0f}", "100%"]]))
    rows = [[function, part, f"{one:,.0f}"] for (part, function), one in _dearest(each)[: given.functions]]
    print(f"\n{table(['function', 'part', 'instructions/request'], rows)}")


def _dearest(costs: Mapping[Key, float]) -> list[tuple[Key, float]]:
    return sorted(costs.items(), key=lambda item: -item[1])


def per_request(shorter: int, longer: int) -> dict[Line, float]:
    """Return the instructions of each function for one request: the difference of two runs."""
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder)) as served:
        url = served.origins["http"] + "/small"
        few, many = (_count(url, requests, Path(folder)) for requests in (shorter, longer))
    between = (longer - shorter) * (1 + 1 / WARM_UP_SHARE)  # the warm-ups differ too
    return {line: (many[line] - few[line]) / between for line in many.keys() | few.keys()}


def _count(url: str, requests: int, folder: Path) -> Counter[Line]:
    """Run hurtle under callgrind and return the instructions of each function, by the part that wrote it."""
    out = folder / f"callgrind.{requests}"
    job = Job(url=url, requests=requests, concurrency=CONCURRENCY, body_bytes=SMALL_BYTES)
    command = [
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
        "--compress-strings=no", "--compress-pos=no",
        "--fair-sched=yes", sys.executable, "-m", "benchmarks.contestants.hurtle_stream",
        job.to_json(),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS_AT_MOST, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"callgrind failed: {done.stderr[-500:]}")
    return read(out.read_text(encoding="utf-8", errors="replace"))


def read(text: str) -> Counter[Line]:
    """Sum up a callgrind profile by part and function: exclusive costs, without those of called functions.

    Source: valgrind's manual, "Callgrind Format Specification".
    """
    lines: Counter[Line] = Counter()
    where = {"ob": "", "fl": "", "fn": ""}
    of_a_call = False
    for line in text.splitlines():
        if found := re.match(r"(ob|fl|fi|fe|fn)=(.*)", line):
            where["fl" if found[1] in {"fi", "fe"} else found[1]] = found[2]
        elif line.startswith("calls="):
            of_a_call = True
        elif line[:1].isdigit() or line[:1] in {"+", "-", "*"}:
            if not of_a_call:
                lines[_part(**where), where["fn"]] += int(line.split()[1])
            of_a_call = False
    return lines


def _part(ob: str, fl: str, fn: str) -> str:
    in_library = re.search(r"library/(core|alloc|std)|/rustc/", fl) is not None
    for place in (fn, ob) if in_library else (fl, fn, ob):
        for part, pattern in PARTS:
            if re.search(pattern, place):
                return part
    return "other"


if __name__ == "__main__":
    main()
