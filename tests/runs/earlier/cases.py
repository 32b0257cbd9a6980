"""Earlier runs are resumed and retried. `test_earlier.py` starts this in a network of its own."""

from pathlib import Path
from typing import Any

import pytest

import hurtle
from tests.runs.earlier.make_earlier import (
    PATHS,
    RETRIES,
    RUNS,
    LoggingServer,
    enter_network,
    output_of,
    retry,
    run,
)
from tests.runs.earlier.stored import VERSIONS, copy_of, rows_in

Rows = dict[int, dict[str, Any]]

UNKNOWN = 8
"""The POST that was on its way when the process was killed."""


@pytest.fixture(scope="session", autouse=True)
def _network() -> None:
    enter_network()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_resumed_and_retried(tmp_path: Path, version: str, name: str) -> None:
    copy_of(version, name, tmp_path)
    out = output_of(name, tmp_path)
    before = rows_in(out)
    with LoggingServer() as server:
        summary = run(name, tmp_path)
        assert sorted(server.log) == asked_for(set(range(len(PATHS))) - before.keys() - {UNKNOWN})
        assert (summary.requests, summary.resumed) == (len(PATHS) - len(before), len(before))
        rows = rows_in(out)
        assert sorted(rows) == list(range(len(PATHS)))
        assert {index: rows[index] for index in before} == before
        assert failures(rows) == {1: None, 2: None, UNKNOWN: "local.sent_unknown"}
        assert hurtle.open_run(out).complete is not False
        check_bodies(out)
        if not name.startswith(("out.parquet", "out.jsonl")):  # those ask for everything again
            server.log.clear()
            assert run(name, tmp_path).requests == 0
            assert server.log == []
        check_retries(server, name, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RETRIES)
def test_a_retry_is_resumed(tmp_path: Path, version: str, name: str) -> None:
    copy_of(version, name, tmp_path)
    out = output_of(name, tmp_path)
    with LoggingServer() as server:
        assert retry(name, tmp_path).requests == 2
        assert server.log == asked_for({10}), "rows 1, 2 and 5 were retried before, and 8 may have been"
        assert failures(rows_in(out)) == {1: None, 2: None, UNKNOWN: "local.sent_unknown"}
        assert hurtle.open_run(out).complete is not False
        check_retries(server, name, tmp_path)


def check_retries(server: LoggingServer, name: str, folder: Path) -> None:
    """Failed requests are sent again, and those that may have been sent only with consent; each once."""
    out = output_of(name, folder)
    server.log.clear()
    server.is_busy = False
    retry(name, folder, where="not ok")
    assert sorted(server.log) == asked_for({1, 2})
    assert failures(rows_in(out)) == {1: None, UNKNOWN: "local.sent_unknown"}
    server.log.clear()
    server.opened.set()
    retry(name, folder, where="error is not null", resend_unknown=True)
    assert server.log == asked_for({UNKNOWN})
    assert failures(rows_in(out)) == {1: None}
    check_bodies(out)


def asked_for(indexes: set[int]) -> list[str]:
    """Return what the server logs when some rows are asked for, sorted."""
    posts = ("/posted", "/held")
    return sorted(f"{'POST' if PATHS[n].startswith(posts) else 'GET'} {PATHS[n]}" for n in indexes)


def failures(rows: Rows) -> dict[int, str | None]:
    """Return the errors of the rows that are not ok; of a status there is none."""
    return {index: row["error"] for index, row in sorted(rows.items()) if not row["ok"]}


def check_bodies(out: str) -> None:
    """Every row that is ok has the body that the server sent, and that of a POST says what was sent."""
    stored = hurtle.open_run(out)
    for row in stored.select("ok"):
        index = row["index"]
        path = "/page/4" if PATHS[index] == "/moved" else PATHS[index]
        sent = f"sent {index}" if row["method"] == "POST" else ""
        assert stored.body(row) == f"page of {path}\n{sent}".encode()
