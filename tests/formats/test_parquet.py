"""Parquet: the rows of many batches in few row groups, in whatever form they arrive."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

import hurtle
from hurtle._engine import Batch, ParquetFile, arrow_schema
from hurtle.client import EngineClient, RowReorder, Transfer
from hurtle.formats import FORMATS
from hurtle.formats import parquet as parquet_module
from hurtle.formats.columns import LATER
from hurtle.formats.parquet import COMPRESSION, ParquetWriter
from hurtle.options import Options
from hurtle.positions import Done
from hurtle.rows import Rows, WrappedRows
from hurtle.sources import open_source
from hurtle.testing import Server


def requests_of_every_kind(server: Server) -> list[dict[str, Any]]:
    """Return requests whose rows differ in every column that can."""
    once: list[dict[str, Any]] = [
        {"url": server.url("/status/200?body=text"), "id": "a", "meta": {"k": [1, None]}},
        {"url": server.url("/bytes/1000"), "method": "POST", "json": {}},
        {"url": server.url("/redirect/2")},
        {"url": server.url("/bytes/0").replace("127.0.0.1", "localhost")},
        {"url": "http://name.invalid/"},
        {"url": "nonsense"},
    ]
    return once * 200


@pytest.fixture
def batches(hurtle_server: Server) -> list[Batch]:
    """Several batches, as the engine fills them."""
    options = Options.resolve({"retries": 0})
    with EngineClient(options) as client:
        source = open_source(requests_of_every_kind(hurtle_server))
        got = list(Transfer(client, source, options).batches())
    assert len(got) > 1
    return got


def written(path: Path, given: Sequence[Rows]) -> Path:
    """Write rows to a file."""
    writer = ParquetWriter(str(path))
    writer.open()
    for rows in given:
        writer.write(rows)
    writer.close()
    return path


def test_every_reader_finds_the_types_of_the_table(tmp_path: Path, batches: list[Batch]) -> None:
    out = written(tmp_path / "out.parquet", batches)
    table = pyarrow.Table.from_batches([pyarrow.record_batch(batch) for batch in batches])
    # As a writer without dictionaries would have it.
    plain = tmp_path / "plain.parquet"
    pyarrow.parquet.write_table(table, plain)
    footer, plain_footer = pyarrow.parquet.read_metadata(out), pyarrow.parquet.read_metadata(plain)
    assert footer.metadata.keys() == plain_footer.metadata.keys()
    assert footer.schema.equals(plain_footer.schema)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(plain), check_metadata=True)
    polars_table = polars.read_parquet(out)
    assert polars_table.schema == polars.read_parquet(plain).schema
    assert polars_table.equals(polars.read_parquet(plain))
    with duckdb.connect() as database:
        read, plainly = (database.sql(f"SELECT * FROM '{path}'") for path in (out, plain))
        assert read.types == plainly.types
        assert read.except_(plainly).fetchall() == plainly.except_(read).fetchall() == []


def test_each_header_is_in_the_file_once(tmp_path: Path, batches: list[Batch]) -> None:
    footer = pyarrow.parquet.read_metadata(written(tmp_path / "out.parquet", batches))
    columns = [footer.row_group(0).column(number) for number in range(footer.num_columns)]
    coded = {one.path_in_schema for one in columns if "RLE_DICTIONARY" in one.encodings}
    assert {"headers.list.element.name", "headers.list.element.value", "method", "status"} <= coded
    assert not coded & {"url", "final_url", "body", "id", "index"}
    assert {one.compression for one in columns} == {"ZSTD"}
    bounds = {
        one.path_in_schema for one in columns if one.statistics is not None and one.statistics.has_min_max
    }
    assert {"index", "status", "fetched_at"} <= bounds
    assert not bounds & {"url", "body"}


class Copied(WrappedRows):
    """Rows that are not in the engine's batches."""

    def pieces(self) -> None:
        """Return None."""

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines."""
        return self._rows.to_jsonl(bodies=bodies)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the rows as columns."""
        return self._rows.__arrow_c_array__(requested_schema)


def test_rows_that_an_arrow_library_passes_on_are_written_with_the_others(
    tmp_path: Path, batches: list[Batch]
) -> None:
    given: list[Rows] = [batches[1], Copied(batches[0]), Copied(batches[1]), *batches[2:], Copied(batches[0])]
    table = pyarrow.parquet.read_table(written(tmp_path / "out.parquet", given))
    order = [batches[1], batches[0], batches[1], *batches[2:], batches[0]]
    alone = pyarrow.Table.from_batches([pyarrow.record_batch(batch) for batch in order])
    assert table.equals(alone)


def test_rows_are_copied_without_those_that_are_hidden(tmp_path: Path, batches: list[Batch]) -> None:
    out = written(tmp_path / "out.parquet", batches)
    whole = pyarrow.parquet.read_table(out)
    positions = whole["index"].to_pylist()
    for hidden in ([], positions[1::3], positions[:-1], [*positions, 5_000]):
        copied = ParquetFile.like(out, COMPRESSION)
        bits = Done((index, index) for index in hidden).bits
        again = tmp_path / "again.parquet"
        again.write_bytes(b"".join(copied.copy(out, 0, bits) + copied.finish()))
        left = [number for number, index in enumerate(positions) if index not in set(hidden)]
        assert pyarrow.parquet.read_table(again).equals(
            whole.take(pyarrow.array(left, pyarrow.int64())), check_metadata=True
        )


def test_parts_are_joined_as_they_are_encoded(tmp_path: Path, batches: list[Batch]) -> None:
    parts = [written(tmp_path / f"{number}.parquet", [batch]) for number, batch in enumerate(batches)]
    out = tmp_path / "out.parquet"
    FORMATS["parquet"].join(parts, str(out))
    footers = [pyarrow.parquet.read_metadata(path) for path in [*parts, out]]
    sizes = [[one.row_group(n).total_byte_size for n in range(one.num_row_groups)] for one in footers]
    *of_parts, joined = sizes
    assert list(chain.from_iterable(of_parts)) == joined
    assert pyarrow.parquet.read_table(out).equals(
        pyarrow.concat_tables([pyarrow.parquet.read_table(part) for part in parts]), check_metadata=True
    )


def test_a_part_with_fewer_columns_is_joined_with_nulls(tmp_path: Path, batches: list[Batch]) -> None:
    first, second = (written(tmp_path / f"{number}.parquet", batches[number:][:1]) for number in (0, 1))
    whole = pyarrow.parquet.read_table(first)
    earlier = whole.drop_columns(list(LATER))
    pyarrow.parquet.write_table(earlier, first, row_group_size=100, compression="zstd")
    out = tmp_path / "out.parquet"
    FORMATS["parquet"].join([first, second], str(out))
    table = pyarrow.parquet.read_table(out)
    assert table.schema.equals(whole.schema)
    old = table.slice(0, len(whole))
    assert old.drop_columns(list(LATER)).equals(earlier)
    assert {old[name].null_count for name in LATER} == {len(old)}
    assert table.slice(len(whole)).equals(pyarrow.parquet.read_table(second))


def test_rows_of_batches_and_others_keep_their_order(tmp_path: Path, batches: list[Batch]) -> None:
    out = tmp_path / "out.parquet"
    first, second, *rest = batches
    # Rows in input order are no longer a batch of the engine.
    reorder = RowReorder(None)
    given: list[Rows] = [first, reorder.pass_on(second), reorder.rest(), *rest]
    mixed = [rows for rows in given if len(rows)]
    for order in (mixed, mixed[::-1], mixed[1:] + mixed[:1]):
        table = pyarrow.parquet.read_table(written(out, order))
        indexes = table["index"].to_pylist()
        assert indexes == [index for rows in order for index in rows.indexes()]
        assert sorted(indexes) == list(range(1_200))
        assert table.schema.equals(pyarrow.schema(arrow_schema()))
        assert table.schema.metadata == pyarrow.schema(arrow_schema()).metadata


def test_a_row_group_waits_for_its_size(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_module, "GROUP_BYTES", 200_000)
    hurtle.run([hurtle_server.url(f"/bytes/1000?{n}") for n in range(1_000)], f"{tmp_path}/out/")
    (part,) = (tmp_path / "out").glob("*.parquet")
    metadata = pyarrow.parquet.read_metadata(part)
    rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sum(rows) == 1_000
    # A row is its body and some hundred bytes, at most the size of another body; the last group has the rest.
    assert len(rows) > 1
    assert all(group >= 100 for group in rows[:-1])
