"""Answers that are in the log of a run and in no part yet: the run was killed, or is under way."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from hurtle.formats.columns import batch_of, table_schema
from hurtle.formats.row_json import StoredRow, row_of
from hurtle.formats.stored import StoredRows, in_chunks
from hurtle.outputs.answers import LoggedRows
from hurtle.rows import Exchange
from hurtle.runs.run import Part


class StoredAnswers(StoredRows):
    """The rows of a log as they were when the run was opened, in memory: no more than an open part.

    Args:
        rows: The rows.
        added: The columns of the run that the result table lacks.
    """

    def __init__(self, rows: LoggedRows, added: Iterable[str]) -> None:
        absent: StoredRow = dict.fromkeys(added)
        self._rows = [_row(*row) | absent for row in zip(rows.records, rows.exchanges(), strict=True)]

    def count(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows."""
        rows = ((row, len(row["body"] or b"")) for row in self._rows)
        if columns is None:
            return in_chunks(rows)
        return in_chunks(({name: row.get(name) for name in columns}, size) for row, size in rows)

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        schema = self.schema()
        return (batch_of(chunk, schema) for chunk in self.rows())

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the columns of the first row."""
        return table_schema(list(self._rows[0]))


def answered(rows: LoggedRows, added: Iterable[str] = ()) -> list[Part]:
    """Return the rows of a log as the last part of a run; no part if there are none.

    Args:
        rows: The rows that are in no other part, or that are newer.
        added: The columns of the run that the result table lacks.
    """
    return [Part(StoredAnswers(rows, added), len(rows))] if len(rows) else []


def _row(record: dict[str, Any], exchanges: Sequence[Exchange]) -> StoredRow:
    row = row_of(record)
    if exchanges and row["status"] is not None:
        row["body"] = _body(row, exchanges[-1])
    return row


def _body(row: StoredRow, exchange: Exchange) -> bytes:
    """Return the body from what went over the wire: the row of an archive has none."""
    from hurtle.formats.warc import decoded
    from hurtle.formats.warc_record import payload_of

    if not row["bytes_body"]:
        return b""
    return decoded(row, payload_of(exchange.response, exchange.body_at, exchange.http_version))
