"""Runs to read back: some rows fail the first time they are asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import hurtle
from hurtle.testing import Server

ROWS = 40
OUTPUTS = ("out.jsonl", "out.parquet", "parts/")
FAILING = (3, 4, 17, 39)
"""The positions whose first answer is 503."""

MakeRun = Callable[[str], Path]


def url_of(server: Server, index: int) -> str:
    if index in FAILING:
        return server.url(f"/flaky?times=1&status=503&key={index}")
    return server.url(f"/bytes/{index + 1000}")


@pytest.fixture
def make_run(tmp_path: Path, hurtle_server: Server) -> MakeRun:
    """Make a run of a list in a file; FAILING have failed."""

    def make(name: str) -> Path:
        lines = [json.dumps({"url": url_of(hurtle_server, n), "meta": {"n": n}}) for n in range(ROWS)]
        (tmp_path / "urls.jsonl").write_text("\n".join(lines) + "\n")
        out = tmp_path / name
        summary = hurtle.run(tmp_path / "urls.jsonl", f"{tmp_path}/{name}", retries=0)
        assert (summary.requests, summary.failed) == (ROWS, len(FAILING))
        return out

    return make
