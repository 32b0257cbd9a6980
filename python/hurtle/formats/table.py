"""The result table for outputs that are not columnar: its columns, and rows as values."""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from hurtle.rows import Pieces, Rows

Kind: TypeAlias = Literal["integer", "text", "boolean", "instant", "seconds", "json", "bytes"]
"""What a column holds. "instant" is a point in time (UTC), "json" anything but a scalar."""

COLUMNS: dict[str, Kind] = {
    "index": "integer", "id": "text", "meta": "json", "method": "text", "url": "text", "final_url": "text",
    "redirects": "json", "ok": "boolean", "status": "integer", "error": "text", "error_detail": "text",
    "attempts": "integer", "throttled": "integer", "fetched_at": "instant", "t_queue": "seconds",
    "t_dns": "seconds", "t_connect": "seconds", "t_tls": "seconds", "t_first_byte": "seconds",
    "t_body": "seconds", "t_total": "seconds", "http_version": "text", "remote_ip": "text",
    "conn_reused": "boolean", "headers": "json", "content_type": "text", "content_encoding": "text",
    "encoding_left": "text", "body_encoding": "text", "bytes_wire": "integer", "bytes_body": "integer",
    "body": "bytes", "truncated": "text",
}  # fmt: skip
"""The columns, in order. Source: `hurtle._engine.arrow_schema()`."""

BODY_ENCODING = "body_encoding"
"""The column with the content codings that the column `body` still has, and that reading a run undoes."""

REFRESH_COLUMNS: dict[str, Kind] = {"change": "text", "body_run": "text", "body_index": "integer"}
"""The columns that a refresh adds after them: what happened to the URL, and where an unchanged body is."""

APART = "+bodies"
"""The suffix of the name of a format with its bodies apart."""

APART_COLUMNS: dict[str, Kind] = {"body_path": "text"}
"""The last column if bodies are files: the path of the file, relative to the folder of the output."""

REQUIRED = frozenset({
    "index", "id", "method", "url", "final_url", "redirects", "ok", "attempts", "fetched_at", "conn_reused",
    "headers", "bytes_wire", "bytes_body", "change",
})  # fmt: skip
"""Columns without nulls."""


def columns_of(record: Mapping[str, object]) -> dict[str, Kind]:
    """Return the columns of a run, in order.

    Args:
        record: The record of the run; see `hurtle.outputs.record`.
    """
    columns = COLUMNS if record.get("since") is None else COLUMNS | REFRESH_COLUMNS
    return columns | APART_COLUMNS if has_bodies_apart(record) else columns


def has_bodies_apart(record: Mapping[str, object]) -> bool:
    """Whether a run in a database has its bodies in files."""
    return str(record.get("format")).endswith(APART)


def arrow_schema_of(record: Mapping[str, object]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the columns of a run as a `pyarrow.Schema`."""
    import pyarrow

    from hurtle._engine import arrow_schema

    schema = pyarrow.schema(arrow_schema())
    schema = schema if record.get("since") is None else with_refresh(schema)
    if not has_bodies_apart(record):
        return schema
    return schema.append(pyarrow.field(*APART_COLUMNS, pyarrow.string()))


def with_refresh(schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a `pyarrow.Schema` with the columns of a refresh after its own."""
    import pyarrow

    types = {"text": pyarrow.string(), "integer": pyarrow.int64()}
    for name, kind in REFRESH_COLUMNS.items():
        schema = schema.append(pyarrow.field(name, types[kind], nullable=name not in REQUIRED))
    return schema


def records(rows: Rows, *, bodies: bool = True) -> Iterator[dict[str, Any]]:
    """Yield rows as in JSON: values by column, and `body_base64` instead of a body that is not UTF-8.

    Args:
        rows: The rows.
        bodies: Whether to include bodies; otherwise each is None.
    """
    return (json.loads(line) for line in rows.to_jsonl(bodies=bodies).split(b"\n") if line)


def body_of(record: Mapping[str, Any]) -> bytes | None:
    """Return a row's body; None: it has none."""
    encoded = record.get("body_base64")
    if encoded is not None:
        return b64decode(encoded)
    text = record["body"]
    return None if text is None else text.encode()


def compact(value: object) -> str | None:
    """Return a value as JSON on one line, in ASCII; None stays None."""
    return None if value is None else json.dumps(value, separators=(",", ":"))


def values(
    rows: Rows, columns: Mapping[str, Kind] = COLUMNS, *, with_flags: bool = True
) -> Iterator[tuple[Any, ...]]:
    """Yield rows as values in the order of columns: JSON as text, instants as ISO 8601, bodies as bytes.

    Args:
        rows: The rows.
        columns: Those of the result table, in order, and any others behind them.
        with_flags: Whether booleans are True and False; otherwise they may be 1 and 0.
    """
    pieces, added = rows.pieces(), rows.added()
    if pieces is None or [*columns] != [*COLUMNS, *added]:
        return _values_of_records(rows, columns)
    return _values_of_pieces(pieces, list(added.values()), rows.without_body(), with_flags=with_flags)


def _values_of_pieces(
    pieces: Pieces,
    added: Sequence[Sequence[object]],
    without_body: Sequence[bool] | None,
    *,
    with_flags: bool,
) -> Iterator[tuple[Any, ...]]:
    start = 0
    for batch, places in pieces:
        end = start + (len(batch) if places is None else len(places))
        without = None if without_body is None else without_body[start:end]
        found = batch.values(places, without, with_flags=with_flags)
        if added:
            behind = zip(*(column[start:end] for column in added), strict=True)
            yield from (row + more for row, more in zip(found, behind, strict=True))
        else:
            yield from found
        start = end


def _values_of_records(rows: Rows, columns: Mapping[str, Kind]) -> Iterator[tuple[Any, ...]]:
    for record in records(rows):
        yield tuple(
            body_of(record) if kind == "bytes" else compact(record[name]) if kind == "json" else record[name]
            for name, kind in columns.items()
        )


def column_definitions(types: Mapping[Kind, str], columns: Mapping[str, Kind] = COLUMNS) -> str:
    """Return the columns in SQL, for CREATE TABLE.

    Args:
        types: A database's type for each kind.
        columns: The columns, in order.
    """
    lines = []
    for name, kind in columns.items():
        suffix = " PRIMARY KEY" if name == "index" else " NOT NULL" if name in REQUIRED else ""
        lines.append(f'"{name}" {types[kind]}{suffix}')
    return ", ".join(lines)
