"""CSV read back by duckdb and by the standard library."""

import csv
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import hurtle
from hurtle.formats.csv_file import SHOWN, cell
from hurtle.formats.table import COLUMNS, Kind
from hurtle.testing import Server
from tests.outputs.breaking import (
    Found,
    body_of,
    check_killed,
    check_parts,
    check_read_back,
    check_resumed,
)


def rows_of(path: Path) -> list[tuple[int, Found]]:
    """Return the rows with the bodies that they should have: the file has only their lengths."""
    query = "SELECT index, url, status, error, bytes_body FROM read_csv(?, header=true, all_varchar=false)"
    rows = []
    with duckdb.connect() as connection:
        for index, url, status, error, size in connection.execute(query, [str(path)]).fetchall():
            body = None if error else "café".encode() if status == 404 else body_of(index)
            assert size == len(body or b"")
            rows.append((index, Found(url, status, body, error)))
    return rows


def test_every_row_is_read_back(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.csv"
    check_read_back(hurtle_server, out, lambda: rows_of(out))
    assert set(COLUMNS) - set(SHOWN) == {"body"}


@pytest.mark.slow
def test_an_interrupted_run_is_gone_on_with_and_has_one_header(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.csv"
    check_resumed(hurtle_server, out, lambda: rows_of(out))
    assert out.read_bytes().count(b"final_url") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out.csv"
    check_killed(hurtle_server, tmp_path, out, lambda: rows_of(out))


@pytest.mark.slow
def test_parts_in_a_folder_have_a_header_each(tmp_path: Path, hurtle_server: Server) -> None:
    check_parts(hurtle_server, tmp_path / "out", "csv", rows_of)


def test_an_empty_list_gives_a_header(tmp_path: Path) -> None:
    hurtle.run([], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == ",".join(SHOWN).encode() + b"\r\n"


def test_a_text_that_a_spreadsheet_would_run_is_quoted(tmp_path: Path, hurtle_server: Server) -> None:
    ids = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a "b", c\nd', "plain"]
    requests: list[dict[str, Any]] = [
        {"url": hurtle_server.url("/bytes/1"), "id": text, "meta": -5 if text == "plain" else None}
        for text in ids
    ]
    hurtle.run(requests, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = {int(row["index"]): row for row in csv.DictReader(file)}
    quoted = [text if text.startswith(("a", "p")) else "'" + text for text in ids]
    assert [rows[n]["id"] for n in range(len(ids))] == quoted
    assert rows[7]["meta"] == "'-5"
    assert rows[0]["ok"] == "true"


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (-1, "integer", -1),
        (-1.5, "seconds", -1.5),
        (False, "boolean", "false"),
        (None, "text", None),
        ([{"name": "=a", "value": "b"}], "json", '[{"name":"=a","value":"b"}]'),
        ("=a", "json", '"=a"'),
        ("a=b", "text", "a=b"),
    ],
)
def test_our_own_values_stay_as_they_are(value: object, kind: Kind, shown: object) -> None:
    assert cell(value, kind) == shown


def test_csv_goes_to_stdout(hurtle_server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    hurtle.run([hurtle_server.url("/bytes/1")] * 3, "-", format="csv")
    lines = capfdbinary.readouterr().out.splitlines()
    assert lines[0].startswith(b"index,id,meta,")
    assert len(lines) == 4


def test_a_part_with_another_number_of_rows_is_no_part(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hurtle.formats import csv_file

    counted = csv_file.count_rows
    monkeypatch.setattr(csv_file, "count_rows", lambda path: counted(path) - 1)
    with pytest.raises(hurtle.SinkError, match="has 2 rows when read back, but 3 were written"):
        hurtle.run([hurtle_server.url("/bytes/1")] * 3, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
