"""POSTs with a database: after a crash, requests that may have been sent are not resent without consent."""

import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path
from time import monotonic

import duckdb
import pytest

import hurtle
from hurtle.outputs.answers import ANSWERS
from hurtle.outputs.layout import JOURNAL
from hurtle.testing import Server
from tests.outputs.killed_posts import WAIT_S, kill_in_the_second, two_posts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]


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
    out, posts = tmp_path / name, two_posts(hurtle_server)
    kill_in_the_second(str(out), posts, hurtle_server, tmp_path)
    assert (tmp_path / f"{name}.ledger").exists()
    hurtle.run(posts, out, retries=0)
    assert errors_in(out) == [(0, None), (1, "local.sent_unknown")]
    assert hurtle_server.stats()["requests"] == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_begun_anew_knows_nothing_of_an_older_ledger(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "out.sqlite.ledger").write_bytes(bytes(8))
    hurtle.run([{"url": hurtle_server.url("/bytes/1"), "method": "POST"}], tmp_path / "out.sqlite")
    assert errors_in(tmp_path / "out.sqlite") == [(0, None)]


def test_on_an_event_loop_an_answer_is_on_the_disk_while_nothing_else_comes(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out = tmp_path / "out.jsonl"
    log, journal = (tmp_path / "out.jsonl.run" / name for name in (ANSWERS, JOURNAL))
    posts = two_posts(hurtle_server)

    async def run_until_logged() -> None:
        run = asyncio.create_task(hurtle.arun(posts, out, retries=0))
        end = monotonic() + WAIT_S
        while not (log.exists() and log.read_bytes().endswith(b"\n")):
            assert monotonic() < end
            assert not run.done()
            await asyncio.sleep(0.01)
        assert not journal.exists()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(run_until_logged())
    assert [entry["done"] for entry in map(json.loads, journal.read_text().splitlines())] == [[[0, 0]]]
    assert log.read_bytes() == b"", "the part has the row"
