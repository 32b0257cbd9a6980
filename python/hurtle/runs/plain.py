"""Undoes the content codings under which a run with `bodies="coded"` keeps its bodies."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from hurtle.errors import JournalError
from hurtle.formats.columns import arrow
from hurtle.formats.row_json import StoredRow, line_of, row_of
from hurtle.formats.table import BODY_ENCODING

DECODED_AT_MOST = 64 << 20
"""Bytes: the most that a body has without its codings, unless the reader says otherwise."""

_MARK = b',"body_encoding":"'
"""What a line with a coded body contains. No text can: its quotes would have backslashes."""


def plain_body(row: StoredRow, body: bytes | None, most: int) -> bytes | None:
    """Return the body of a row without the codings that its run keeps.

    Args:
        row: The row.
        body: Its body, as stored.
        most: The most that it may have without them, in bytes.

    Raises:
        JournalError: It is not in these codings, not whole, or larger.
    """
    codings = row.get(BODY_ENCODING)
    if codings is None or body is None:
        return body
    try:
        return _decoded(row, body, codings, most)
    except ValueError as error:
        raise JournalError(f"the body of row {row['index']}, kept as {codings}, is lost: {error}") from error


def _decoded(row: StoredRow, body: bytes, codings: str, most: int) -> bytes:
    from hurtle._engine import decode_body

    return decode_body(body, codings, most, whole=row.get("truncated") is None)


def plain_row(row: StoredRow, most: int) -> StoredRow:
    """Return a row with its body decoded; as it is, if that is not possible.

    Args:
        row: The row, with `body` and `body_encoding`.
        most: As in `plain_body`.
    """
    codings, body = row.get(BODY_ENCODING), row.get("body")
    if codings is None or not isinstance(body, bytes):
        return row
    try:
        plain = _decoded(row, body, codings, most)
    except ValueError:
        return row
    changed: StoredRow = {"body": plain, BODY_ENCODING: None}
    if "bytes_body" in row:
        changed["bytes_body"] = len(plain)
    return row | changed


def plain_rows(chunks: Iterable[list[StoredRow]], most: int) -> Iterator[list[StoredRow]]:
    """Return chunks of rows, each as `plain_row` does."""
    return ([plain_row(row, most) for row in chunk] for chunk in chunks)


def plain_lines(blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Return JSON lines, many at a time, with their bodies decoded as `plain_row` does."""
    for block in blocks:
        if _MARK not in block:
            yield block
        else:
            yield b"".join(_plain_line(line, most) for line in block.splitlines(keepends=True))


def _plain_line(line: bytes, most: int) -> bytes:
    return line_of(plain_row(row_of(json.loads(line)), most)) if _MARK in line else line


def plain_batches(batches: Iterable[Any], most: int) -> Iterator[Any]:
    """Return Arrow batches with their bodies decoded as `plain_row` does."""
    for batch in batches:
        yield _plain_batch(batch, most)


def _plain_batch(batch: Any, most: int) -> Any:  # noqa: ANN401 - pyarrow has no types
    names = batch.schema.names
    if BODY_ENCODING not in names or batch[BODY_ENCODING].null_count == len(batch):
        return batch
    pyarrow = arrow("reading as Arrow")
    read = [name for name in ("body", BODY_ENCODING, "bytes_body", "truncated") if name in names]
    rows = [plain_row(row, most) for row in batch.select(read).to_pylist()]
    for name in read:
        at = names.index(name)
        field = batch.schema.field(at)
        batch = batch.set_column(at, field, pyarrow.array([row[name] for row in rows], field.type))
    return batch
