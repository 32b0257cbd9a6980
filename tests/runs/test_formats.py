"""Every format read back: the same rows, with the same types, as from JSON lines."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pytest

import hurtle
from hurtle._engine import arrow_schema
from hurtle.errors import ConfigError, JournalError
from hurtle.formats.row_json import row_of
from hurtle.outputs.duckdb_file import DuckdbDatabase
from hurtle.outputs.postgres import PostgresDatabase
from hurtle.outputs.sqlite import SqliteDatabase
from hurtle.testing import Server
from tests.runs.conftest import FORMATS, MakeOut, MakeRun, rows_of

pytestmark = pytest.mark.slow

CHANGING = {
    "fetched_at", "t_queue", "t_dns", "t_connect", "t_tls", "t_first_byte", "t_body", "t_total", "conn_reused"
}  # fmt: skip
"""Columns that differ between any two runs."""

PLACES = {"body", "body_path", "warc_file", "warc_offset", "warc_length"}
"""Columns that contain the body, or say where it is."""


def requests_of(server: Server) -> list[Any]:
    """Return requests whose rows have everything that a row can have."""
    echo = server.url("/echo")
    return [
        server.url("/bytes/1000"),
        server.url("/bytes/0"),
        server.url("/status/404?body=%e2%80%ae"),
        server.url("/redirect/2"),
        server.url("/headers/300"),
        server.url("/truncate/10"),
        server.url("/gzip/2000"),
        {"url": echo, "id": "=1+1", "meta": {"text": "né\u202e\x00'", "list": [1, None, 2.5]}},
        {"url": echo, "id": "'=1", "meta": "-5", "method": "POST", "content": "é,\"\r\n'"},
        {"url": echo, "id": "''@", "meta": -5},
        {"url": echo, "id": "'tis", "meta": ""},
        {"url": server.url("/status/200?body="), "id": " ", "meta": []},
        "no address",
        "http://127.0.0.1:1/refused",
        "ftp://example.com/",
    ]


@pytest.fixture
def lines(tmp_path: Path, hurtle_server: Server) -> dict[int, dict[str, Any]]:
    """The rows of a run to JSON lines."""
    out = tmp_path / "compared.jsonl"
    hurtle.run(requests_of(hurtle_server), out, retries=0)
    return rows_of(out)


@pytest.mark.parametrize("format", FORMATS)
def test_rows_are_those_of_json_lines(
    make_out: MakeOut,
    hurtle_server: Server,
    lines: dict[int, dict[str, Any]],
    format: str,  # noqa: A002
) -> None:
    out = make_out(format)
    hurtle.run(requests_of(hurtle_server), out, format=format, retries=0)
    run = hurtle.open_run(out)
    assert (run.rows, run.failed) == (len(lines), sum(not row["ok"] for row in lines.values()))
    rows = {row["index"]: row for row in run}
    assert rows.keys() == lines.keys()
    nul = "\ufffd" if format == "postgres" else "\0"
    for index, expected in lines.items():
        row = rows[index]
        for name in expected.keys() - CHANGING - PLACES:
            assert as_read(expected, name, nul) == as_read(row, name), (index, name)
        for name in CHANGING - {"fetched_at", "conn_reused"}:
            assert isinstance(row[name], float | None)
        assert isinstance(row["conn_reused"], bool)
        assert row["fetched_at"].utcoffset().total_seconds() == 0
        if format != "csv":
            assert port_less(run.body(row)) == port_less(expected["body"])


def as_read(row: dict[str, Any], name: str, nul: str = "\0") -> Any:
    """Return a value as it is read back, without the server's clock; PostgreSQL's text has no NUL."""
    value = row[name]
    if name == "headers":
        return [header for header in value if header["name"] != "date"]
    return value.replace("\0", nul) if isinstance(value, str) else value


def port_less(body: bytes | None) -> Any:
    """Return a body without what differs from connection to connection."""
    if body is None or not body.startswith(b"{"):
        return body
    return {name: value for name, value in json.loads(body).items() if name != "remote_port"}


@pytest.mark.parametrize("format", FORMATS)
def test_columns_and_lines_hold_what_the_rows_hold(
    make_out: MakeOut,
    hurtle_server: Server,
    format: str,  # noqa: A002
) -> None:
    out = make_out(format)
    hurtle.run(requests_of(hurtle_server), out, format=format, retries=0)
    run = hurtle.open_run(out)
    rows = rows_of(out)
    table = run.to_arrow()
    names = [name for name in pyarrow.schema(arrow_schema()).names if format != "csv" or name != "body"]
    assert table.schema.names == names + ["body_path"] * (format == "files")
    for field in pyarrow.schema(arrow_schema()):
        assert field.name == "body" or table.schema.field(field.name).equals(field)
    assert {row["index"]: row for row in table.to_pylist()} == rows
    printed = b"".join(run.lines()).decode()
    assert printed.replace("\n", "").isprintable()
    found = {row["index"]: row for row in map(row_of, map(json.loads, printed.splitlines()))}
    assert {index: {name: row[name] for name in rows[0]} for index, row in found.items()} == rows
    some = [json.loads(line) for lines in run.lines("status = 404") for line in lines.splitlines()]
    assert [row["url"] for row in some] == [hurtle_server.url("/status/404?body=%e2%80%ae")]


@pytest.mark.parametrize("format", ["sqlite", "postgres", "duckdb"])
def test_a_database_is_read_by_others_while_a_run_writes_to_it(
    make_out: MakeOut,
    format: str,  # noqa: A002
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = make_out(format)
    for database in (SqliteDatabase, PostgresDatabase, DuckdbDatabase):
        monkeypatch.setattr(database, "commit_rows", 5)
    said: list[subprocess.CompletedProcess[str]] = []

    def look(counters: Any) -> None:
        if counters.done >= 20 and not said:
            said.append(subprocess.run(
                [sys.executable, "-c", READER, out], capture_output=True, text=True, timeout=60, check=False
            ))  # fmt: skip

    with Server(latency=0.01) as server:
        hurtle.run([server.url("/bytes/10")] * 60, out, progress=look, concurrency_per_host=2)
    (reader,) = said
    if format == "duckdb":
        assert f"another run (process {os.getpid()}) is using" in reader.stderr
    else:
        complete, rows = reader.stdout.split()
        assert complete == "False"
        assert 0 < int(rows) < 60
    run = hurtle.open_run(out)
    assert (run.complete, run.rows) == (True, 60)


READER = """
import sys, hurtle
run = hurtle.open_run(sys.argv[1])
print(run.complete, run.rows)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("format", ["sqlite", "duckdb"])
def test_what_a_killed_run_has_committed_is_read(
    make_out: MakeOut,
    hurtle_server: Server,
    format: str,  # noqa: A002
) -> None:
    out = make_out(format)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, hurtle_server.url("/bytes/10"), out], timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    run = hurtle.open_run(out)
    assert run.complete is False
    assert sorted(row["index"] for row in run) == list(range(run.rows))
    assert run.rows >= 5


KILLED = """
import os, signal, sys, hurtle
from hurtle.outputs.duckdb_file import DuckdbDatabase
from hurtle.outputs.sqlite import SqliteDatabase

for database in (SqliteDatabase, DuckdbDatabase):
    database.commit_rows = 5

def kill(counters):
    if counters.done >= 20:
        os.kill(os.getpid(), signal.SIGKILL)

hurtle.run((sys.argv[1] for _ in range(10**6)), sys.argv[2], progress=kill, concurrency_per_host=1)
"""


def test_a_database_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE mine (a)")
    with pytest.raises(ConfigError, match="holds the table mine, not created by hurtle"):
        hurtle.open_run(tmp_path / "other.sqlite")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    (tmp_path / "nothing.sqlite").touch()
    for name in ("empty.duckdb", "nothing.sqlite"):
        with pytest.raises(ConfigError, match="holds no run"):
            hurtle.open_run(tmp_path / name)
        with pytest.raises(ConfigError, match="holds no run"):
            hurtle.retry(tmp_path / name)


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            hurtle.open_run(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.jsonl.zst", "out.csv", "out.sqlite"])
def test_a_damaged_output_is_named(make_run: MakeRun, name: str) -> None:
    out = make_run(name)
    data = bytearray(out.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = b'"' * 199 + b"\n" if name == "out.csv" else bytes(200)
    out.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises((JournalError, ConfigError), match=r"out\.[a-z.]+ (is damaged|cannot be read)"):
        list(hurtle.open_run(out))


def test_a_body_that_is_gone_is_named(make_run: MakeRun) -> None:
    out = make_run("files/")
    run = hurtle.open_run(out)
    row = next(row for row in run if row["ok"])
    body = run.body(row)
    assert body is not None
    assert len(body) == row["bytes_body"]
    (out / row["body_path"]).unlink()
    with pytest.raises(JournalError, match="No such file"):
        run.body(row)
    for name in ("../urls.jsonl", "/etc/hostname"):
        with pytest.raises(JournalError, match="is not a file of this output"):
            run.body(row | {"body_path": name})


def test_columns_that_a_file_adds_pass_through(make_run: MakeRun, tmp_path: Path) -> None:
    records = [json.loads(line) for line in make_run("out.jsonl").read_bytes().splitlines()]
    added: list[dict[str, Any]] = [{"change": "new", "body_run": None, "body_index": None, "mine": None}]
    added += [{"change": "unchanged", "body_run": "old", "body_index": 7, "mine": [1]}] * (len(records) - 1)
    lines = [json.dumps(record | more) for record, more in zip(records, added, strict=True)]
    (tmp_path / "more.jsonl").write_text("\n".join(lines) + "\n")
    run = hurtle.open_run(tmp_path / "more.jsonl")
    assert [{name: row[name] for name in added[0]} for row in run] == added
    assert len(run.where("change = 'new'")) == sum(b.num_rows for b in run.batches("change = 'new'")) == 1
    table = run.to_arrow()
    assert sorted(table["body_index"].to_pylist(), key=bool) == [None] + [7] * (len(records) - 1)
    assert set(table["mine"].to_pylist()) == {None, "[1]"}
    database = tmp_path / "out.sqlite"
    hurtle.run(tmp_path / "urls.jsonl", database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("ALTER TABLE results ADD COLUMN mine")
        connection.execute("UPDATE results SET mine = 17")
    assert {row["mine"] for row in hurtle.open_run(database)} == {17}
    assert hurtle.open_run(database).where("change is not null") == []
    assert list(hurtle.open_run(database).batches("change is not null")) == []
    assert set(hurtle.open_run(database).to_arrow()["mine"].to_pylist()) == {"17"}


def test_a_long_cell_is_read(tmp_path: Path, hurtle_server: Server) -> None:
    meta = "x" * 200_000
    hurtle.run([{"url": hurtle_server.url("/bytes/1"), "meta": meta}], tmp_path / "out.csv")
    (row,) = hurtle.open_run(tmp_path / "out.csv")
    assert json.loads(row["meta"]) == meta


def test_a_line_that_another_program_wrote_is_made_harmless(make_run: MakeRun, tmp_path: Path) -> None:
    record = json.loads(make_run("out.jsonl").read_bytes().splitlines()[0])
    record["meta"] = {"text": "a\u202eb"}
    (tmp_path / "theirs.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    (line,) = hurtle.open_run(tmp_path / "theirs.jsonl").lines()
    assert b"\\u202e" in line
    assert line.isascii()
    (tmp_path / "blanks.jsonl").write_text(json.dumps(record, indent=1).replace("\n", "\t") + "\r\n")
    (line,) = hurtle.open_run(tmp_path / "blanks.jsonl").lines()
    assert json.loads(line) == record
    assert b"\t" not in line
