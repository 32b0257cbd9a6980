"""POSTs to a database: what may have been sent when the process died is not sent again without consent."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
import pytest

import hurtle
from hurtle.testing import Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

WAIT_S = 30.0

VICTIM = """
import os, pathlib, signal
import hurtle
from hurtle.sinks.database import Database
from hurtle.sinks.duckdb_file import DuckdbDatabase

Database.commit_rows = DuckdbDatabase.commit_rows = 1
calls = 0

def progress(counters):
    global calls
    calls += counters.done == 1
    if calls > 1 and pathlib.Path({marker!r}).exists():  # the first row is written by the second call
        os.kill(os.getpid(), signal.SIGKILL)

hurtle.run({requests!r}, {out!r}, progress=progress, retries=0)
"""


def wait_until(holds: Callable[[], bool]) -> None:
    end, pause = monotonic() + WAIT_S, threading.Event()
    while not holds():
        assert monotonic() < end
        pause.wait(0.01)


def errors_in(out: Path) -> list[tuple[int, str | None]]:
    if out.suffix == ".duckdb":
        with duckdb.connect(str(out), read_only=True) as connection:
            return connection.execute("SELECT index, error FROM results ORDER BY index").fetchall()
    import sqlite3

    with closing(sqlite3.connect(out)) as file:
        return file.execute('SELECT "index", error FROM results ORDER BY "index"').fetchall()


@pytest.mark.parametrize("name", ["out.sqlite", "out.duckdb"])
def test_a_post_that_may_have_been_sent_is_not_sent_again(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    out, marker = tmp_path / name, tmp_path / "both have come"
    requests: list[dict[str, Any]] = [
        {"url": hurtle_server.url(path), "method": "POST", "content": "once"}
        for path in ("/bytes/1", "/delay/20000")
    ]
    script = VICTIM.format(marker=str(marker), requests=requests, out=str(out))
    with subprocess.Popen([sys.executable, "-c", script]) as victim:
        try:
            wait_until(lambda: hurtle_server.stats()["requests"] == 2)
            marker.touch()
            assert victim.wait(WAIT_S) == -9
        finally:
            victim.kill()
    assert (tmp_path / f"{name}.ledger").exists()
    hurtle.run(requests, out, retries=0)
    assert errors_in(out) == [(0, None), (1, "local.sent_unknown")]
    assert hurtle_server.stats()["requests"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both have come", name]


def test_a_run_begun_anew_knows_nothing_of_an_older_ledger(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "out.sqlite.ledger").write_bytes(bytes(8))
    hurtle.run([{"url": hurtle_server.url("/bytes/1"), "method": "POST"}], tmp_path / "out.sqlite")
    assert errors_in(tmp_path / "out.sqlite") == [(0, None)]


def test_on_an_event_loop_a_post_is_committed_while_nothing_else_comes(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out = tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.run" / "journal.jsonl"
    requests = [
        {"url": hurtle_server.url(path), "method": "POST", "content": "once"}
        for path in ("/bytes/1", "/delay/20000")
    ]

    async def run_until_committed() -> None:
        run = asyncio.create_task(hurtle.arun(requests, out, retries=0))
        end = monotonic() + WAIT_S
        while not journal.exists():
            assert monotonic() < end
            assert not run.done()
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(run_until_committed())
    assert [entry["done"] for entry in map(json.loads, journal.read_text().splitlines())] == [[[0, 0]]]
