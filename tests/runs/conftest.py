"""Runs to read back: some rows fail the first time they are requested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.testing import Server
from tests.outputs.postgres_server import Postgres

ROWS = 40
OUTPUTS = (
    "out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.csv", "out.parquet", "out.sqlite", "out.duckdb",
    "parts/", "files/",
)  # fmt: skip
RETRIED = ("out.jsonl", "out.parquet", "out.csv", "out.sqlite", "out.duckdb", "parts/", "files/")
"""One output for each way in which newer rows replace old ones."""
IN_PARTS = ("out.jsonl", "out.csv", "out.parquet", "parts/", "files/")
DATABASES = ("out.sqlite", "out.duckdb")
FORMATS = {
    "jsonl": "out.jsonl", "jsonl.gz": "out.jsonl.gz", "jsonl.zst": "out.jsonl.zst", "csv": "out.csv",
    "parquet": "out.parquet", "files": "files/", "sqlite": "out.sqlite", "duckdb": "out.duckdb",
    "postgres": "",
}  # fmt: skip
"""An output of each format."""
FAILING = (3, 4, 17, 39)
"""The positions whose first answer is 503."""

MakeRun = Callable[[str], Path]
MakeOut = Callable[[str], str]


def url_of(server: Server, index: int) -> str:
    if index in FAILING:
        return server.url(f"/flaky?times=1&status=503&key={index}")
    return server.url(f"/bytes/{index + 1000}")


def run_to(requests: Any, out: str | Path, **options: Any) -> Any:
    """Run to one of OUTPUTS."""
    return hurtle.run(requests, out, format="files" if f"{out}/".endswith("/files//") else None, **options)


def rows_of(out: str | Path) -> dict[int, dict[str, Any]]:
    """Return the rows of a run by their positions; each is there once."""
    rows = list(hurtle.open_run(out))
    assert len({row["index"] for row in rows}) == len(rows)
    return {row["index"]: row for row in rows}


@pytest.fixture
def make_run(tmp_path: Path, hurtle_server: Server) -> MakeRun:
    """Make a run of a list in a file; FAILING have failed."""

    def make(name: str) -> Path:
        lines = [json.dumps({"url": url_of(hurtle_server, n), "meta": {"n": n}}) for n in range(ROWS)]
        (tmp_path / "urls.jsonl").write_text("\n".join(lines) + "\n")
        out = tmp_path / name
        summary = run_to(tmp_path / "urls.jsonl", f"{tmp_path}/{name}", retries=0)
        assert (summary.requests, summary.failed) == (ROWS, len(FAILING))
        return out

    return make


@pytest.fixture
def make_out(tmp_path: Path, request: pytest.FixtureRequest) -> MakeOut:
    """Name an output of a format: a path, or the address of a new schema."""

    def make(format: str) -> str:  # noqa: A002
        if format != "postgres":
            return f"{tmp_path}/{FORMATS[format]}"
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_schema()

    return make
