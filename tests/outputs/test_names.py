"""Where an output is: by its name when it is written, by its content when it is read."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.outputs.names import (
    DatabaseAt,
    File,
    Folder,
    Place,
    Remote,
    Stream,
    is_same,
    place_found,
    place_of,
)
from hurtle.sinks import new_sink
from hurtle.testing import Server


def told(place: Place) -> tuple[str, str | None]:
    """Return the kind of a place, and its format."""
    match place:
        case Remote(address):
            return "remote", address
        case DatabaseAt(kind):
            return "database", kind
        case Folder():
            return "folder", None
        case File(format=format):
            return "file", format
        case Stream(name):
            return "stream", name


@pytest.mark.parametrize(
    ("out", "format", "place"),
    [
        ("GS://bucket/prefix", "csv", ("remote", "GS://bucket/prefix")),
        ("Postgres://host/db", "csv", ("database", "postgres")),
        ("rows.db", None, ("database", "sqlite")),
        ("rows.db", "csv", ("file", "csv")),
        ("rows.csv", "duckdb", ("database", "duckdb")),
        ("rows.csv", "postgres", ("file", "postgres")),
        ("rows.csv", None, ("file", "csv")),
        ("rows", None, ("file", None)),
        ("s3/rows.csv", None, ("file", "csv")),
        ("mysql://host/db", None, ("file", None)),
        ("new.db/", None, ("folder", None)),
        ("folder.csv", None, ("folder", None)),
        ("folder.csv", "sqlite", ("folder", None)),
        ("-", None, ("stream", "-")),
        (os.devnull, "csv", ("stream", os.devnull)),
        (Path("rows.csv"), None, ("file", "csv")),
    ],
)
def test_an_output_to_be_written_is_where_its_name_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: Any,
    format: str | None,  # noqa: A002
    place: tuple[str, str | None],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    assert told(place_of(out, format)) == place


def test_an_output_to_be_read_is_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurtle_server: Server
) -> None:
    monkeypatch.chdir(tmp_path)
    hurtle.run([hurtle_server.url("/bytes/1")], "rows.csv", format="sqlite")
    hurtle.run([hurtle_server.url("/bytes/1")], "rows.db", format="csv")
    Path("folder.csv").mkdir()
    assert told(place_found("rows.csv")) == ("database", "sqlite")
    assert told(place_found("rows.db")) == ("file", "csv")
    assert told(place_found("new.db")) == ("file", None)
    assert told(place_found("folder.csv")) == ("folder", None)
    assert told(place_found("AZ://bucket")) == ("remote", "AZ://bucket")
    assert told(place_found("postgres://host/db")) == ("database", "postgres")
    Path("notes.csv").write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"notes\.csv is not an output of hurtle"):
        place_found("notes.csv")


def test_a_database_is_known_when_its_checksum_begins_as_a_line_does(tmp_path: Path) -> None:
    """One in 256 of DuckDB's files begins with a brace."""
    for checksum in (b'{"index"', b"index,id", b"\x1f\x8b123456"):
        (tmp_path / "out").write_bytes(checksum + b"DUCK")
        assert told(place_found(tmp_path / "out")) == ("database", "duckdb")


@pytest.mark.parametrize("out", ["", None, 3, b"rows.csv", ["rows.csv"]])
def test_what_is_no_path_is_nowhere(out: Any) -> None:
    with pytest.raises(ConfigError, match='must be a path, or "-" for stdout'):
        place_of(out)
    with pytest.raises(ConfigError, match="must be the path of an output"):
        place_found(out)


def test_two_names_of_one_output_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_same("rows.csv", f"{tmp_path}/rows.csv.run")
    assert is_same("rows.db", str(tmp_path / "rows.db"))
    assert is_same("postgres://me:secret@host/db?password=x", "Postgres://me@host/db/")
    assert is_same("s3://bucket/prefix", "S3://bucket/prefix/")
    assert not is_same("rows.csv", "other/rows.csv")
    assert not is_same("s3://bucket/prefix", "s3://bucket/other")
    assert not is_same("s3://bucket", "gs://bucket")


@pytest.mark.skipif(sys.platform == "win32", reason="no name of a file has a colon there")
def test_no_message_shows_the_password_of_an_address_when_its_scheme_is_unknown() -> None:
    for out, format in (("mysql://me:secret@host/db", None), ("mysql://me:secret@host/db", "postgres")):  # noqa: A001
        with pytest.raises(ConfigError, match="mysql://me@host/db") as refused:
            new_sink(out, format)
        assert "secret" not in str(refused.value)
