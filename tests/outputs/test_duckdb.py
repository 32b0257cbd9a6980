"""The result table in a DuckDB file, read back by a fresh connection of duckdb."""

import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest

import hurtle
from hurtle._engine import arrow_schema
from hurtle.errors import ConfigError, MissingExtraError, SinkError
from hurtle.outputs import Identity
from hurtle.outputs.duckdb_file import DuckdbDatabase
from hurtle.sinks import new_sink
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_killed, check_read_back, check_resumed


def select(path: Path, query: str) -> list[Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def rows_of(path: Path) -> list[tuple[int, Found]]:
    found = select(path, "SELECT index, url, status, body, error FROM results")
    return [(index, Found(*row)) for index, *row in found]


def test_every_row_is_read_back(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.duckdb"
    check_read_back(hurtle_server, out, lambda: rows_of(out))
    assert [path.name for path in tmp_path.iterdir()] == ["out.duckdb"]
    types = dict(
        select(out, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name='results'")
    )
    assert list(types) == pyarrow.schema(arrow_schema()).names
    assert types["headers"] == 'STRUCT("name" VARCHAR, "value" VARCHAR)[]'
    assert types["fetched_at"] == "TIMESTAMP WITH TIME ZONE"


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.duckdb"
    check_resumed(hurtle_server, out, lambda: rows_of(out))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.duckdb"
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


def test_a_restart_drops_the_rows(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.duckdb"
    hurtle.run([hurtle_server.url("/bytes/1")] * 9, out)
    with pytest.raises(ConfigError, match="its input is not the same"):
        hurtle.run([hurtle_server.url("/bytes/1")], out)
    assert hurtle.run([hurtle_server.url("/bytes/1")], out, restart=True).resumed == 0
    assert len(rows_of(out)) == 1


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    first = new_sink(tmp_path / "out.duckdb")
    first.begin(Identity(), "auto")
    with pytest.raises(ConfigError, match=r"another run \(process \d+\) is using"):
        hurtle.run([], tmp_path / "out.duckdb")
    first.abort()


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "mine.duckdb"
    with duckdb.connect(str(out)) as connection:
        connection.execute("CREATE TABLE songs (name VARCHAR)")
    with pytest.raises(ConfigError, match="holds the table songs"):
        hurtle.run([], out, restart=True)
    assert select(out, "SELECT count(*) FROM songs") == [(0,)]
    with duckdb.connect(str(out)) as connection:
        connection.execute("CREATE TABLE results (runner VARCHAR); CREATE TABLE run (distance INT)")
    with pytest.raises(ConfigError, match="holds the table run, not created by hurtle"):
        hurtle.run([], out, restart=True)
    with pytest.raises(ConfigError, match="holds the table run, not created by hurtle"):
        hurtle.open_run(out)
    (tmp_path / "text.duckdb").write_text("no database" * 1000)
    with pytest.raises(ConfigError, match="cannot be used"):
        hurtle.run([], tmp_path / "text.duckdb")


def test_tables_beside_a_run_and_in_other_schemas_are_left_alone(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out, urls = tmp_path / "out.duckdb", [hurtle_server.url("/bytes/1")]
    with duckdb.connect(str(out)) as connection:
        connection.execute(
            "CREATE SCHEMA old; CREATE TABLE old.run (distance INT); CREATE TABLE old.results (n INT)"
        )
    hurtle.run(urls, out)
    with duckdb.connect(str(out)) as connection:
        connection.execute("CREATE TABLE songs (name VARCHAR); ALTER TABLE run ADD COLUMN note VARCHAR")
    assert hurtle.run(urls, out).resumed == 1
    assert hurtle.open_run(out).rows == 1
    hurtle.run(urls, out, restart=True)
    assert select(out, "SELECT count(*) FROM old.run") == [(0,)]


def test_a_transaction_that_fails_stops_the_run(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = DuckdbDatabase.commit

    def full(self: DuckdbDatabase) -> None:
        if self._batches:
            raise duckdb.IOException("No space left on device")
        commit(self)

    out, urls = tmp_path / "out.duckdb", [hurtle_server.url("/bytes/1")] * 5
    with monkeypatch.context() as patched:
        patched.setattr(DuckdbDatabase, "commit", full)
        with pytest.raises(SinkError, match="No space left on device"):
            hurtle.run(urls, out)
    assert rows_of(out) == []
    assert hurtle.run(urls, out).resumed == 0
    assert len(rows_of(out)) == 5


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"hurtle\[duckdb\]"):
        hurtle.run([], tmp_path / "out.duckdb")
    assert list(tmp_path.iterdir()) == []
