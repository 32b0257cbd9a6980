"""The rows of a run in Arrow: the columns of the result table, and those that a file adds."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hurtle.errors import MissingExtraError
from hurtle.formats.row_json import StoredRow, meta_text
from hurtle.formats.table import APART_COLUMNS, COLUMNS, REFRESH_COLUMNS, REQUIRED, Kind

ADDED: dict[str, Kind] = {
    **APART_COLUMNS, "warc_file": "text", "warc_offset": "integer", "warc_length": "integer",
    **REFRESH_COLUMNS,
}  # fmt: skip
"""Columns that only some outputs have. A reader treats any other column as text."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LATER = {
    "throttled": "attempts", "encoding_left": "content_encoding", "body_encoding": "encoding_left",
}  # fmt: skip
"""Columns that the first version of the result table did not have, each with the column before it."""


def with_later(names: Iterable[str]) -> list[str]:
    """Return the columns, with those that an earlier version did not write and that are null in its rows."""
    found = list(names)
    for name, before in LATER.items():
        if before in found and name not in found:
            found.insert(found.index(before) + 1, name)
    return found


def kind_of(name: str) -> Kind:
    """Return what a column holds, by its name."""
    return COLUMNS.get(name) or ADDED.get(name, "text")


def table_schema(names: Collection[str] | None = None) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return columns as a `pyarrow.Schema`.

    Args:
        names: The columns, in order; None: those of the result table.
    """
    from hurtle._engine import arrow_schema

    pyarrow = arrow("reading as Arrow")
    known = pyarrow.schema(arrow_schema())
    if names is None:
        return known
    added: Mapping[Kind, Any] = {
        "text": pyarrow.string(), "json": pyarrow.string(), "integer": pyarrow.int64(),
        "seconds": pyarrow.float64(), "boolean": pyarrow.bool_(), "bytes": pyarrow.large_binary(),
        "instant": pyarrow.timestamp("us", "UTC"),
    }  # fmt: skip
    is_known = frozenset(known.names)
    return pyarrow.schema(
        [
            known.field(name)
            if name in is_known
            else pyarrow.field(name, added[kind_of(name)], nullable=name not in REQUIRED)
            for name in names
        ]
    )


def batch_of(rows: Sequence[StoredRow], schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return rows as a `pyarrow.RecordBatch`; a key that a row lacks is null.

    Raises:
        ValueError, TypeError: A value does not fit its column.
    """
    pyarrow = arrow("reading as Arrow")
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.name not in COLUMNS and pyarrow.types.is_string(field.type):
            values = [value if isinstance(value, str) else meta_text(value) for value in values]
        columns.append(pyarrow.array(values, field.type))
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def rows_of(batch: Any) -> list[StoredRow]:  # noqa: ANN401 - pyarrow has no types
    """Return a `pyarrow.RecordBatch` as dicts by column.

    For an instant pyarrow would import pandas where that is installed: 44 MB, to return what datetime can.
    """
    pyarrow = arrow("reading as Arrow")
    instants = [
        number
        for number, kind in enumerate(batch.schema.types)
        if pyarrow.types.is_timestamp(kind) and kind.unit == "us" and kind.tz == "UTC"
    ]
    for number in instants:
        field = batch.schema.field(number).with_type(pyarrow.int64())
        batch = batch.set_column(number, field, batch.column(number).cast(pyarrow.int64()))
    rows: list[StoredRow] = batch.to_pylist()
    for name in [batch.schema.names[number] for number in instants]:
        for row in rows:
            if (micros := row[name]) is not None:
                row[name] = _EPOCH + timedelta(microseconds=micros)
    return rows


def fitted(batch: Any, schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a batch with the columns of a schema; a column that the batch lacks is null."""
    if batch.schema.equals(schema):
        return batch
    pyarrow = arrow("reading as Arrow")
    have = frozenset(batch.schema.names)
    columns = [
        batch[field.name].cast(field.type)
        if field.name in have
        else pyarrow.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def batches_without(batches: Iterable[Any], hidden: Collection[int]) -> Iterator[Any]:
    """Yield Arrow batches without the rows at some positions."""
    return _filtered(batches, hidden, keep=False) if hidden else iter(batches)


def batches_with(batches: Iterable[Any], wanted: Collection[int]) -> Iterator[Any]:
    """Yield Arrow batches with only the rows at some positions."""
    return _filtered(batches, wanted, keep=True)


def _filtered(batches: Iterable[Any], indexes: Collection[int], *, keep: bool) -> Iterator[Any]:
    pyarrow = arrow("reading as Arrow")
    compute = arrow("reading as Arrow", "pyarrow.compute")
    values = pyarrow.array(indexes, pyarrow.int64())
    for batch in batches:
        found = compute.is_in(batch["index"], value_set=values)
        left = batch.filter(found if keep else compute.invert(found))
        if left.num_rows:
            yield left


def arrow(needed_for: str, module: str = "pyarrow") -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return pyarrow, or one of its modules.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError("parquet", needed_for) from error
