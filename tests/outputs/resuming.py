"""Runs that are interrupted, and what is in their outputs then."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import hurtle
from hurtle.testing import Server

ROWS = 300
IN_FLIGHT = 8
AHEAD = 64
"""The most rows that are answered and not yet written."""
OUTPUTS = ["out.jsonl", "out.parquet", "jsonl/", "parquet/"]


class Broken(Exception):
    """Interrupts a run in these tests."""


def urls_of(server: Server) -> list[str]:
    return [server.url(f"/bytes/{number}") for number in range(ROWS)]


def run(urls: Iterable[str], out: Path | str, *, until: int | None = None, **options: Any) -> hurtle.Summary:
    """Run, and interrupt the run after this many rows."""

    def watch(counters: object) -> None:
        if until is not None and getattr(counters, "done") >= until:  # noqa: B009
            raise Broken

    name = str(out)
    given = {"format": "jsonl"} if name.endswith("jsonl/") else {}
    limits = {"concurrency": IN_FLIGHT, "concurrency_per_host": IN_FLIGHT}
    return hurtle.run(urls, name, **(given | limits | {"progress": watch} | options))


def broken_off(urls: Iterable[str], out: Path | str, until: int = 100, **options: Any) -> None:
    with pytest.raises(Broken):
        run(urls, out, until=until, **options)


def indexes_in(out: str) -> list[int]:
    """Return the positions of the rows that a reader finds, sorted."""
    path = Path(out)
    files = sorted(path.glob("part-??????.*")) if path.is_dir() else [path]
    found: list[int] = []
    for file in files:
        if file.suffix == ".jsonl":
            found += [json.loads(line)["index"] for line in file.read_bytes().splitlines()]
        else:
            found += pyarrow.parquet.read_table(file)["index"].to_pylist()
    return sorted(found)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
