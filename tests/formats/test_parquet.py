"""Parquet: the rows of many batches in few row groups, in whatever form they arrive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

import hurtle
from hurtle._engine import Batch, Columns, arrow_schema
from hurtle.client import EngineClient, RowReorder, Transfer
from hurtle.formats import parquet as parquet_module
from hurtle.formats.parquet import ParquetWriter
from hurtle.options import Options
from hurtle.rows import Rows
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


def test_columns_are_those_of_the_batches_behind_each_other(batches: list[Batch]) -> None:
    alone = pyarrow.Table.from_batches([pyarrow.record_batch(batch) for batch in batches])
    columns = Columns()
    for batch in batches:
        columns.append(batch)
    assert len(columns) == alone.num_rows == 1_200
    together = pyarrow.record_batch(columns)
    together.validate(full=True)
    plain = pyarrow.Table.from_batches([together]).cast(alone.schema)
    assert plain.equals(alone.combine_chunks(), check_metadata=True)


def test_columns_hold_each_header_once(batches: list[Batch]) -> None:
    columns = Columns()
    for batch in batches:
        columns.append(batch)
    headers = pyarrow.record_batch(columns)["headers"].values
    for field in ("name", "value"):
        texts = headers.field(field)
        distinct = texts.dictionary.to_pylist()
        assert len(distinct) == len(set(distinct)) < len(texts)


def test_columns_begin_anew_when_they_were_handed_out(batches: list[Batch]) -> None:
    columns = Columns()
    assert pyarrow.record_batch(columns).num_rows == 0
    for batch in batches:
        columns.append(batch)
        alone = pyarrow.record_batch(batch)
        assert pyarrow.record_batch(columns).cast(alone.schema).equals(alone)
        assert len(columns) == 0


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
    assert footer.metadata == plain_footer.metadata
    assert footer.schema.equals(plain_footer.schema)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(plain), check_metadata=True)
    polars_table = polars.read_parquet(out)
    assert polars_table.schema == polars.read_parquet(plain).schema
    assert polars_table.equals(polars.read_parquet(plain))
    with duckdb.connect() as database:
        read, plainly = (database.sql(f"SELECT * FROM '{path}'") for path in (out, plain))
        assert read.types == plainly.types
        assert read.except_(plainly).fetchall() == plainly.except_(read).fetchall() == []


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
