"""Runs that began before the result table had some of its columns: resumed, joined, read and retried."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import hurtle
from hurtle._engine import arrow_schema
from hurtle.formats import csv_file, table
from hurtle.outputs import duckdb_file
from hurtle.rows import Rows, WrappedRows
from hurtle.sinks import database_sink
from hurtle.sinks.database_sink import DatabaseSink
from hurtle.sinks.parts import PartsSink
from hurtle.testing import Server
from tests.outputs.breaking import raise_at
from tests.outputs.postgres_server import Postgres

pytestmark = pytest.mark.slow

ROWS = 60
LATER = "throttled"
ALL_LATER = (LATER, "encoding_left", "body_encoding")
OUTPUTS = {
    "parquet": "out.parquet", "jsonl": "out.jsonl", "jsonl.gz": "out.jsonl.gz", "csv": "out.csv",
    "warc": "out.warc.gz", "parts": "parts/", "sqlite": "out.sqlite", "duckdb": "out.duckdb", "postgres": "",
    "s3": "",
}  # fmt: skip


class EarlierRows(WrappedRows):
    """Rows as an earlier version wrote them."""

    def pieces(self) -> None:
        """Return None: the engine would write its own columns."""

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        lines = self._rows.to_jsonl(bodies=bodies)
        return re.sub(rb',"(throttled|encoding_left|body_encoding)":(\d+|null)', b"", lines)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        batch = pyarrow.record_batch(self._rows)
        left = batch.select([name for name in batch.schema.names if name not in ALL_LATER])
        columns: tuple[object, object] = left.__arrow_c_array__(requested_schema)
        return columns


@contextmanager
def earlier_version() -> Iterator[None]:
    """Write as an earlier version did."""

    def with_earlier(take: Callable[[Any, Rows], None]) -> Callable[[Any, Rows], None]:
        return lambda sink, rows: take(sink, EarlierRows(rows))

    schema = pyarrow.schema(arrow_schema())
    for name in ALL_LATER:
        schema = schema.remove(schema.get_field_index(name))
    columns = {name: kind for name, kind in table.COLUMNS.items() if name not in ALL_LATER}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartsSink, "write", with_earlier(PartsSink.write))
        patch.setattr(DatabaseSink, "insert", with_earlier(DatabaseSink.insert))
        patch.setattr(database_sink, "columns_of", lambda _: columns)
        patch.setattr(duckdb_file, "arrow_schema_of", lambda _: schema)
        for name in ALL_LATER:
            patch.delitem(csv_file.SHOWN, name)
        yield


@pytest.fixture(params=OUTPUTS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output of each kind."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_schema()
    if request.param == "s3":
        address: str = request.getfixturevalue("out")
        return address
    return f"{tmp_path}/{OUTPUTS[request.param]}"


def throttled(output: str) -> dict[int, object]:
    """Return the column by position."""
    return {row["index"]: row[LATER] for row in hurtle.open_run(output)}


def test_rows_of_an_earlier_version_have_null_and_those_that_come_after_a_number(
    output: str, server: Server
) -> None:
    urls = [server.url(f"/bytes/{n}") for n in range(ROWS)]
    with earlier_version(), pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, output, concurrency=2, progress=raise_at(ROWS // 3, KeyboardInterrupt))
    before = throttled(output)
    assert len(before) >= ROWS // 3
    assert set(before.values()) == {None}
    assert hurtle.open_run(output).where("throttled is null") == list(before)
    names = hurtle.open_run(output).to_arrow().column_names
    before_them = [names[names.index(name) - 1] for name in ALL_LATER]
    assert before_them == ["attempts", "content_encoding", "encoding_left"]

    assert hurtle.run(urls, output).resumed == len(before)
    after = throttled(output)
    assert sorted(after) == list(range(ROWS))
    assert after == {index: None if index in before else 0 for index in range(ROWS)}
    found = hurtle.open_run(output).to_arrow()
    assert dict(zip(found["index"].to_pylist(), found[LATER].to_pylist(), strict=True)) == after
    assert found["bytes_body"].to_pylist() == list(range(ROWS))
    assert hurtle.run(urls, output, restart=True).requests == ROWS
    assert set(throttled(output).values()) == {0}


@pytest.mark.parametrize("output", OUTPUTS.keys() - {"s3"}, indirect=True)
def test_a_finished_run_of_an_earlier_version_is_retried(output: str, server: Server, tmp_path: Path) -> None:
    lines = tmp_path / "urls.txt"
    lines.write_text("".join(f"{server.url(f'/bytes/{n}')}\n" for n in range(ROWS)))
    with earlier_version():
        hurtle.run(lines, output)
    hurtle.retry(output, lines, where='"index" < 5')
    assert throttled(output) == {index: 0 if index < 5 else None for index in range(ROWS)}
    hurtle.retry(output, lines, where="throttled is null and status = 200")
    assert set(throttled(output).values()) == {0}
