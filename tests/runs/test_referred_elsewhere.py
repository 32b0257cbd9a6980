"""Rows that name an earlier run on a server: their file may come from anybody."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hurtle
from hurtle.errors import ConfigError, JournalError
from hurtle.outputs.names import leads_elsewhere

FETCHED = "2026-01-02T03:04:05.000006Z"


@contextmanager
def listener() -> Iterator[tuple[int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1], server


def connections(server: socket.socket) -> int:
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def strangers_run(path: Path, body_run: str) -> Path:
    """Write a file as somebody else may have written it."""
    row = {
        "index": 0, "url": "http://127.0.0.1/", "method": "GET", "status": 200, "ok": True, "body": None,
        "fetched_at": FETCHED, "change": "unchanged", "body_run": body_run, "body_index": 0,
    }  # fmt: skip
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "address", ["postgresql://127.0.0.1:{}/db", "POSTGRES://me@127.0.0.1:{}/db", "s3://bucket/run/"]
)
def test_no_server_is_asked_because_a_row_names_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as (port, server):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("PGPASSWORD", "secret")
        run = hurtle.open_run(strangers_run(tmp_path / "theirs.jsonl", address.format(port)))
        (row,) = run
        with pytest.raises(JournalError, match="does not connect there because a row says so"):
            run.body(row)
        with pytest.raises(ConfigError, match=r"refers to bodies in .* because a row says so"):
            hurtle.run(["http://127.0.0.1:1/"], tmp_path / "new.jsonl", since=tmp_path / "theirs.jsonl")
        assert connections(server) == 0


def test_the_caller_may_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    monkeypatch.setenv("PGSSLMODE", "disable")
    with listener() as (port, server):
        address = f"postgresql://127.0.0.1:{port}/db"
        run = hurtle.open_run(strangers_run(tmp_path / "mine.jsonl", address), since=address)
        (row,) = run
        with pytest.raises(JournalError, match="cannot be read"):
            run.body(row)
        assert connections(server) > 0, "it was asked, and is no database"


@pytest.mark.parametrize(
    ("name", "run", "elsewhere"),
    [
        ("other.jsonl", "s3://b/run/", False),
        ("runs/x.sqlite", "mine.jsonl", False),
        ("s3://b/other/", "S3://b/run/", False),
        ("s3://theirs/run/", "s3://b/run/", True),
        ("gs://b/run/", "s3://b/run/", True),
        ("postgres://me@h/db?options=-ca%3Db", "postgresql://me:pw@h/db?options=-ca%3Dc", False),
        ("postgresql://me@h/db?host=evil", "postgresql://me@h/db", True),
        ("postgresql://me@h/db?hostaddr=192.0.2.1&options=x", "postgresql://me@h/db?options=x", True),
        ("postgresql://me@h/other", "postgresql://me@h/db", True),
        ("postgresql://you@h/db", "postgresql://me@h/db", True),
        ("postgresql://h/db", "mine.jsonl", True),
    ],
)  # fmt: skip
def test_what_lies_elsewhere(name: str, run: str, elsewhere: bool) -> None:
    assert leads_elsewhere(name, run) is elsewhere
