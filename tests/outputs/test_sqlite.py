"""The result table in SQLite, read back by the standard library alone."""

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import hurtle
from hurtle._engine import arrow_schema
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats.table import COLUMNS, REFRESH_COLUMNS, REQUIRED, arrow_schema_of
from hurtle.outputs import Identity
from hurtle.outputs.sqlite import SqliteDatabase
from hurtle.sinks import new_sink
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_killed, check_read_back, check_resumed, raise_at


def rows_of(path: Path) -> list[tuple[int, Found]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = 'SELECT "index", url, status, body, error FROM results ORDER BY "index"'
        return [(index, Found(*row)) for index, *row in connection.execute(query)]


def select(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_the_columns_are_those_of_the_result_table() -> None:
    assert list(COLUMNS) == pyarrow.schema(arrow_schema()).names
    refresh = arrow_schema_of({"since": {"run": "old.parquet"}})
    assert list(COLUMNS | REFRESH_COLUMNS) == refresh.names
    assert {field.name for field in refresh if not field.nullable} == REQUIRED


@pytest.mark.parametrize("name", ["out.sqlite", "out.sqlite3", "out.db"])
def test_every_row_is_read_back(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    check_read_back(hurtle_server, out, lambda: rows_of(out))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_values_have_sqlites_types(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    request = {"url": hurtle_server.url("/redirect/1"), "id": "a", "meta": {"k": [1, None, "é"]}}
    hurtle.run([request], out)
    query = """SELECT headers, id, json_extract(meta, '$.k[2]'), json_extract(redirects, '$[0].status'), ok,
        typeof(body), abs(julianday('now') - julianday(fetched_at)) < 1, t_total > 0, t_dns FROM results"""
    ((headers, *told),) = select(out, query)
    assert told == ["a", "é", 302, 1, "blob", 1, 1, None]
    assert {"name": "content-type", "value": "text/plain; charset=utf-8"} in json.loads(headers)


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    check_resumed(hurtle_server, out, lambda: rows_of(out))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


def test_readers_see_committed_rows_during_the_run(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteDatabase, "commit_rows", 10)
    out, seen = tmp_path / "out.sqlite", set()

    def look(_counters: Any) -> None:
        seen.update(select(out, "SELECT count(*) FROM results"))

    hurtle.run([hurtle_server.url("/delay/2")] * 200, out, progress=look)
    assert len(seen) > 1
    assert select(out, "SELECT count(*) FROM results") == [(200,)]


def test_rows_are_committed_when_they_become_old(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    batches = list(hurtle.fetch([hurtle_server.url("/bytes/1")])._batches)
    sink = new_sink(out)
    sink.begin(Identity(), "auto")
    sink.write(batches[0])
    assert select(out, "SELECT count(*) FROM results") == [(0,)]
    sink._due = 0.0  # type: ignore[attr-defined]
    sink.tick()
    assert select(out, "SELECT count(*) FROM results") == [(len(batches[0]),)]
    sink.abort()


def test_another_input_is_refused_and_a_restart_drops_it(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(20)]
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, progress=raise_at(1, KeyboardInterrupt))
    with pytest.raises(ConfigError, match="its input is not the same"):
        hurtle.run(urls[:5], out)
    with pytest.raises(ConfigError, match="max_redirects was 10 and is now 3"):
        hurtle.run(urls, out, max_redirects=3)
    with pytest.raises(ConfigError, match="holds a run already"):
        hurtle.run(urls, out, resume=False)
    assert hurtle.run(urls[:5], out, restart=True).resumed == 0
    assert [index for index, _ in rows_of(out)] == [0, 1, 2, 3, 4]


def test_a_second_run_is_refused(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.sqlite"
    first = new_sink(out)
    first.begin(Identity(), "auto")
    with pytest.raises(ConfigError, match=rf"another run \(process {os.getpid()}\) is using .*out\.sqlite"):
        hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert hurtle_server.stats()["requests"] == 0
    first.abort()
    hurtle.run([hurtle_server.url("/bytes/1")], out, restart=True)
    assert len(rows_of(out)) == 1


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ("CREATE TABLE songs (name TEXT)", "songs"),
        ("CREATE TABLE results (runner TEXT); CREATE TABLE run (distance INT)", "run"),
        ("CREATE TABLE results (runner TEXT); CREATE TABLE run (record TEXT)", "results"),
    ],
)
def test_somebody_elses_database_is_left_alone(tmp_path: Path, tables: str, named: str) -> None:
    out = tmp_path / "mine.db"
    with closing(sqlite3.connect(out)) as connection:
        connection.executescript(tables)
        connection.commit()
    before = out.read_bytes()
    words = f"holds the table {named}, not created by hurtle"
    for restart in (False, True):
        with pytest.raises(ConfigError, match=words):
            hurtle.run([], out, restart=restart)
    with pytest.raises(ConfigError, match=words):
        hurtle.open_run(out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


def test_a_run_whose_record_is_damaged_is_left_alone(tmp_path: Path, hurtle_server: Server) -> None:
    out, urls = tmp_path / "out.db", [hurtle_server.url("/bytes/1")]
    hurtle.run(urls, out)
    with closing(sqlite3.connect(out)) as connection:
        connection.execute("UPDATE run SET record = '{'")
        connection.commit()
    for restart in (False, True):
        with pytest.raises(JournalError, match=r"out\.db is damaged"):
            hurtle.run(urls, out, restart=restart)
    assert len(rows_of(out)) == 1


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        hurtle.run([], tmp_path / "text.db")
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        ("no/such/folder/out.sqlite", None, "cannot be written"),
        ("folder/", "sqlite", "is written to a file"),
        ("-", "sqlite", "is written to a file"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    format: str | None,  # noqa: A002
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        hurtle.run([], out, format=format)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_the_run_and_keeps_what_is_committed(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = SqliteDatabase.open

    def with_few_pages(self: SqliteDatabase) -> None:
        opened(self)
        self._opened.execute("PRAGMA max_page_count=40")  # SQLite then says what it says of a full disk

    monkeypatch.setattr(SqliteDatabase, "commit_rows", 10)
    out = tmp_path / "out.sqlite"
    urls = [hurtle_server.url(f"/bytes/{1000 + n}") for n in range(300)]
    with monkeypatch.context() as full:
        full.setattr(SqliteDatabase, "open", with_few_pages)
        with pytest.raises(SinkError, match="database or disk is full"):
            hurtle.run(urls, out)
    kept = rows_of(out)
    assert 0 < len(kept) < 300
    assert hurtle.run(urls, out).resumed == len(kept)
    assert [(index, len(found.body or b"")) for index, found in rows_of(out)] == [
        (n, 1000 + n) for n in range(300)
    ]
