"""Parquet read back by the engine: the rows that other readers find, a bounded number at a time."""

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import hurtle
from hurtle._engine import ParquetFile, ParquetReader
from hurtle.errors import JournalError
from hurtle.formats import parquet as parquet_module
from hurtle.formats.columns import rows_of
from hurtle.formats.parquet import COMPRESSION, StoredParquet
from hurtle.formats.row_json import StoredRow
from hurtle.testing import Server

ROWS = 2_500
EARLY = datetime(1960, 1, 2, 3)  # noqa: DTZ001 - a time without a zone


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all that rows can have, in several row groups."""
    out = tmp_path_factory.mktemp("run") / "out.parquet"
    with Server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_module, "GROUP_ROWS", 400)
        requests: list[Any] = [
            server.url("/bytes/1000"),
            server.url("/redirect/2"),
            server.url("/gzip/2000"),
            {"url": server.url("/echo"), "id": "=1+1", "meta": {"text": "né\u202e\x00'"}, "method": "POST"},
            "no address",
        ]
        hurtle.run(requests * (ROWS // len(requests)), out, retries=0)
    return out


def stored_rows(out: Path, columns: Sequence[str] | None = None) -> list[StoredRow]:
    return [row for chunk in StoredParquet(out).rows(columns) for row in chunk]


def test_rows_are_those_that_pyarrow_reads(run: Path) -> None:
    table = pyarrow.parquet.read_table(run)
    expected = [row for batch in table.to_batches() for row in rows_of(batch)]
    found = stored_rows(run)
    assert found == expected
    assert [list(row) for row in found] == [list(row) for row in expected]
    assert [type(value) for row in found for value in row.values()] == [
        type(value) for row in expected for value in row.values()
    ]


def test_columns_are_those_that_pyarrow_reads(run: Path) -> None:
    stored = StoredParquet(run)
    table = pyarrow.Table.from_batches(stored.batches())
    assert table.equals(pyarrow.parquet.read_table(run), check_metadata=True)
    assert stored.schema().equals(pyarrow.parquet.read_schema(run), check_metadata=True)


def test_only_the_wanted_columns_are_read(run: Path) -> None:
    rows = stored_rows(run, ("url", "index", "body_run"))
    assert {tuple(row) for row in rows} == {("index", "url")}
    (batch, *_) = ParquetReader(run, 10, 1 << 20).rows(["url", "no such column"])
    assert len(batch) == 10
    assert batch[0]["no such column"] is None


def test_a_chunk_has_a_bounded_size(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredParquet(run)
    groups = ParquetReader(run, 1, 1).groups
    assert len(groups) > 2
    monkeypatch.setattr(parquet_module, "CHUNK_ROWS", 150)
    sizes = [len(chunk) for chunk in stored.rows()]
    assert sum(sizes) == ROWS
    assert max(sizes) == 150
    # A row is some hundred bytes, and a thousand with its body.
    monkeypatch.setattr(parquet_module, "CHUNK_BYTES", 10_000)
    assert max(len(chunk) for chunk in stored.rows()) < 100
    assert max(len(chunk) for chunk in stored.rows(("index",))) == 150
    assert max(batch.num_rows for batch in stored.batches()) < 100


@pytest.mark.parametrize("order", ["forwards", "backwards", "at random"])
def test_a_row_is_found_by_its_place(run: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "CHUNK_ROWS", 30)
    rows = stored_rows(run)
    finder = StoredParquet(run).finder()
    places = list(finder.places())
    assert [position for position, _ in places] == [row["index"] for row in rows]
    if order == "at random":
        random.Random(1).shuffle(places)
        places = places[:200]
    for position, place in places[::-1] if order == "backwards" else places:
        found = finder.row_at(place)
        assert found["index"] == position
        assert (found["url"], found["body"]) == (rows[place]["url"], rows[place]["body"])
    with pytest.raises(JournalError, match="row 2500 is gone"):
        finder.row_at(ROWS)


def test_a_look_up_reads_on_and_does_not_start_over(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "CHUNK_ROWS", 30)
    began: list[int] = []
    begin = StoredParquet.rows_of_groups

    def noting(self: StoredParquet, group: int) -> Iterator[list[StoredRow]]:
        began.append(group)
        return begin(self, group)

    monkeypatch.setattr(StoredParquet, "rows_of_groups", noting)
    finder = StoredParquet(run).finder()
    for place in range(ROWS - 40):
        # Answers come back roughly in order.
        finder.row_at(place + 40 * (place % 2))
    assert began == [0]
    finder.row_at(5)
    assert began == [0, 0]
    finder.row_at(ROWS - 1)
    assert began == [0, 0, len(ParquetReader(run, 1, 1).groups) - 1]


@pytest.mark.parametrize("compression", ["snappy", "gzip", "lz4", "none", "zstd"])
def test_a_file_that_another_program_has_rewritten_is_read(
    run: Path, tmp_path: Path, compression: str
) -> None:
    table = pyarrow.parquet.read_table(run)
    coded = table.set_column(4, "url", table["url"].dictionary_encode())
    large = coded.set_column(3, "method", table["method"].cast(pyarrow.large_string()))
    own = large.append_column("day", pyarrow.array([date(2026, 1, 2)] * ROWS))
    own = own.append_column("at", pyarrow.array([EARLY] * ROWS, pyarrow.timestamp("ns")))
    own = own.append_column("tags", pyarrow.array([["a", None], None] * (ROWS // 2)))
    out = tmp_path / "out.parquet"
    pyarrow.parquet.write_table(own, out, compression=compression, row_group_size=700)
    rows = stored_rows(out)
    plain = [{name: row[name] for name in table.column_names} for row in rows]
    assert plain == stored_rows(run)
    added = [(row["day"], row["at"], row["tags"]) for row in rows[:2]]
    assert added == [(date(2026, 1, 2), EARLY, ["a", None]), (date(2026, 1, 2), EARLY, None)]
    assert hurtle.open_run(out).where("status = 200") == hurtle.open_run(run).where("status = 200")


def test_times_are_in_utc_to_the_microsecond(tmp_path: Path) -> None:
    instants = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(9999, 12, 31, tzinfo=UTC), None]
    kind = pyarrow.timestamp("us", "Europe/Berlin")
    table = pyarrow.table({"index": [0, 1, 2], "fetched_at": pyarrow.array(instants, kind)})
    pyarrow.parquet.write_table(table, tmp_path / "out.parquet")
    assert [row["fetched_at"] for row in stored_rows(tmp_path / "out.parquet")] == instants
    beyond = pyarrow.table({"index": [0], "fetched_at": pyarrow.array([2**62], kind)})
    pyarrow.parquet.write_table(beyond, tmp_path / "out.parquet")
    with pytest.raises(JournalError, match=r"column fetched_at: .*(out of range|year)"):
        stored_rows(tmp_path / "out.parquet")


def test_a_column_of_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    table = pyarrow.table({"index": [0], "price": [Decimal("1.5")]})
    pyarrow.parquet.write_table(table, tmp_path / "out.parquet")
    with pytest.raises(JournalError, match=r"column price: .*Decimal"):
        stored_rows(tmp_path / "out.parquet")
    assert stored_rows(tmp_path / "out.parquet", ("index",)) == [{"index": 0}]


@pytest.mark.slow
def test_a_damaged_file_is_read_or_said_to_be_damaged(run: Path, tmp_path: Path) -> None:
    whole, out = run.read_bytes(), tmp_path / "out.parquet"
    choose = random.Random(7)
    damaged = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(choose.randint(1, 4)):
            # Half of them in the footer.
            at = choose.randrange(len(data) if choose.random() < 0.5 else 20_000)
            data[-at - 1] = choose.randrange(256)
        out.write_bytes(data)
        try:
            stored_rows(out)
        except JournalError:
            damaged += 1
    assert damaged > 10


@pytest.mark.parametrize("rest", [b"", b"PAR1", b"PAR1" * 9, b"PAR1" + bytes(90) + b"PAR1"])
def test_what_is_no_parquet_file_is_said_to_be_none(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(rest)
    for read in (lambda path: ParquetReader(path, 1, 1), lambda path: ParquetFile.like(path, COMPRESSION)):
        with pytest.raises(ValueError, match=r"(?i)parquet|footer|eof|thrift"):
            read(path)
    with pytest.raises(FileNotFoundError):
        ParquetReader(tmp_path / "none", 1, 1)


AGAIN = """
import sys
sys.modules["pyarrow"] = None
import hurtle
from hurtle.cli.main import main
url, folder = sys.argv[1:]
urls = [f"{url}?{n}" for n in range(30)]
hurtle.run(urls, f"{folder}/a.parquet")
hurtle.run(urls, f"{folder}/b.parquet", since=f"{folder}/a.parquet")
hurtle.retry(f"{folder}/b.parquet", where='"index" < 20', since=f"{folder}/a.parquet")
hurtle.run(urls, f"{folder}/c/", since=f"{folder}/b.parquet")
run = hurtle.open_run(f"{folder}/c/")
bodies = {row["index"]: run.body(row) for row in run}
assert bodies == {row["index"]: row["body"] for row in hurtle.open_run(f"{folder}/a.parquet")}
assert main(["cat", f"{folder}/b.parquet"]) == 0
"""


def test_runs_are_read_compared_and_retried_without_pyarrow(hurtle_server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-c", AGAIN, hurtle_server.url("/bytes/100"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == 30
