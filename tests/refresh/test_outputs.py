"""Every output has the columns of a refresh, and every output can be refreshed."""

import csv
import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
import pytest

import hurtle
from hurtle.errors import ConfigError
from tests.refresh.test_refresh import MONDAY, rows_of
from tests.refresh.validating_server import Page, ValidatingServer

pytestmark = pytest.mark.slow

OUTPUTS = [
    ("new.jsonl", None), ("new.jsonl.gz", None), ("new.jsonl.zst", None), ("new.csv", None),
    ("new.parquet", None),
    ("new/", "parquet"), ("new/", "jsonl"), ("new/", "files"), ("new.sqlite", None), ("new.duckdb", None),
    ("new.warc.gz", None),
]  # fmt: skip


def pages() -> dict[str, Page]:
    return {
        "/tag": Page(b"tag", etag='"1"'),
        "/date": Page(b"date", modified=MONDAY),
        "/none": Page(b"none \xff"),
        "/edited": Page(b"old"),
        "/removed": Page(b"removed"),
    }


def edit(site: ValidatingServer) -> None:
    site.pages |= {"/edited": Page(b"new"), "/removed": Page(b"", status=404)}


CHANGES = ["unchanged", "unchanged", "unchanged", "changed", "gone"]


@pytest.mark.parametrize(("name", "format"), OUTPUTS)
def test_every_output_has_the_columns(
    tmp_path: Path,
    site: ValidatingServer,
    name: str,
    format: str | None,  # noqa: A002
) -> None:
    site.pages = pages()
    urls, old, new = [site.url(path) for path in site.pages], tmp_path / "old.jsonl", f"{tmp_path}/{name}"
    hurtle.run(urls, old)
    edit(site)
    hurtle.run(urls, new, format=format, since=old)
    rows = rows_of(Path(new))
    assert [row["change"] for row in rows] == CHANGES
    assert [row["body_run"] for row in rows] == [str(old)] * 3 + [None] * 2
    assert [row["body_index"] for row in rows] == [0, 1, 2, None, None]
    if not name.endswith("warc.gz"):  # which has every response
        assert [row.get("body") for row in rows][:3] == [None] * 3
    table = pyarrow.table(hurtle.open_run(new))
    assert table.schema.field("body_index").type == pyarrow.int64()
    assert table.sort_by("index")["change"].to_pylist() == CHANGES
    assert len(list(hurtle.open_run(new).select("change = 'unchanged' AND body_index > 0"))) == 2


@pytest.mark.parametrize(("name", "format"), OUTPUTS)
def test_every_output_can_be_refreshed(
    tmp_path: Path,
    site: ValidatingServer,
    name: str,
    format: str | None,  # noqa: A002
) -> None:
    site.pages = pages()
    urls, old = [site.url(path) for path in site.pages], f"{tmp_path}/{name.replace('new', 'old')}"
    hurtle.run(urls, old, format=format)
    site.taken()
    edit(site)
    for number in range(2):
        hurtle.run(urls, tmp_path / f"{number}.jsonl", since=old)
    rows = rows_of(tmp_path / "1.jsonl")
    conditions = [one.conditions for one in sorted(site.taken(), key=lambda one: one.path)]
    assert conditions == [{"if-modified-since": MONDAY}] * 2 + [{}] * 6 + [{"if-none-match": '"1"'}] * 2
    expected = list(CHANGES)
    if name.endswith("csv"):
        expected[2] = "changed"  # nothing to compare with
    assert [row["change"] for row in rows] == expected


def test_other_readers_find_the_columns(tmp_path: Path, site: ValidatingServer) -> None:
    """Each output is read by another library than hurtle."""
    site.pages = pages()
    urls, old = [site.url(path) for path in site.pages], tmp_path / "old.jsonl"
    hurtle.run(urls, old)
    edit(site)
    outs = {kind: tmp_path / f"new.{kind}" for kind in ("parquet", "sqlite", "duckdb", "csv", "jsonl.gz")}
    for out in outs.values():
        hurtle.run(urls, out, since=old)
    expected = [
        (change, str(old) if number < 3 else None, number if number < 3 else None)
        for number, change in enumerate(CHANGES)
    ]
    query = 'SELECT change, body_run, body_index FROM {} ORDER BY "index"'
    table = pyarrow.parquet.read_table(outs["parquet"])
    assert not table.schema.field("change").nullable
    with duckdb.connect() as database:
        assert database.execute(query.format(f"'{outs['parquet']}'")).fetchall() == expected
    with closing(sqlite3.connect(outs["sqlite"])) as connection:
        assert connection.execute(query.format("results")).fetchall() == expected
    with duckdb.connect(outs["duckdb"], read_only=True) as database:
        assert database.execute(query.format("results")).fetchall() == expected
    with gzip.open(outs["jsonl.gz"], "rt", encoding="utf-8") as lines:
        read = sorted(map(json.loads, lines), key=lambda row: row["index"])
    assert [(row["change"], row["body_run"], row["body_index"]) for row in read] == expected
    with outs["csv"].open(newline="", encoding="utf-8") as file:
        cells = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
    shown = [tuple("" if value is None else str(value) for value in row) for row in expected]
    assert [(row["change"], row["body_run"], row["body_index"]) for row in cells] == shown


def test_parts_with_the_columns_join(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hurtle.sinks.parts.PART_ROWS", 100)
    site.pages = {f"/{n}": Page(b"%d" % n, etag=f'"{n}"') for n in range(1000)}
    urls, old = [site.url(path) for path in site.pages], tmp_path / "old.jsonl"
    hurtle.run(urls, old)
    for name in ("new.csv", "new.parquet"):
        hurtle.run(urls, tmp_path / name, since=old)
        rows = rows_of(tmp_path / name)
        assert [row["body_index"] for row in rows] == [*range(1000)], name


def test_a_run_without_since_has_the_columns_it_had(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = pages()
    urls = [site.url(path) for path in site.pages]
    for name in ("a.jsonl", "a.csv", "a.parquet", "a.sqlite", "a.duckdb"):
        hurtle.run(urls, tmp_path / name)
        assert "change" not in rows_of(tmp_path / name)[0], name


def test_a_refresh_of_nothing_is_empty(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet", "a.sqlite"):
        hurtle.run([], tmp_path / f"old-{name}")
        hurtle.run([], tmp_path / name, since=tmp_path / f"old-{name}")
        assert rows_of(tmp_path / name) == []


def test_stdout_has_the_columns(
    tmp_path: Path, site: ValidatingServer, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from hurtle.cli.main import main

    site.pages = {"/a": Page(b"a", etag='"1"')}
    hurtle.run([site.url("/a")], tmp_path / "old.jsonl")
    assert main(["fetch", site.url("/a"), "--since", str(tmp_path / "old.jsonl"), "-q"]) == 0
    row: dict[str, Any] = json.loads(capfdbinary.readouterr().out)
    assert (row["change"], row["body"], row["body_index"]) == ("unchanged", None, 0)
    assert main(["fetch", site.url("/a"), "--since", str(tmp_path / "no.jsonl"), "-q"]) == 2
    assert b"no.jsonl" in capfdbinary.readouterr().err


def test_unfinished_runs_can_be_refreshed(tmp_path: Path, site: ValidatingServer) -> None:
    """Only committed rows count."""
    site.pages = pages()
    urls = [site.url(path) for path in site.pages]

    def interrupted() -> Any:
        yield from urls[:2]
        raise RuntimeError("the list broke off")

    with pytest.raises(RuntimeError):
        hurtle.run(interrupted(), f"{tmp_path}/old/")
    hurtle.run(urls, tmp_path / "new.jsonl", since=f"{tmp_path}/old/")
    changes = [row["change"] for row in rows_of(tmp_path / "new.jsonl")]
    assert changes == ["unchanged", "unchanged", "new", "new", "new"]
    with pytest.raises(ConfigError, match="is the output"):
        hurtle.run(urls, tmp_path / "old", since=f"{tmp_path}/old/", restart=True)
