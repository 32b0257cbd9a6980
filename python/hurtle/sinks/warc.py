"""Web archives: what went over the wire, byte for byte, and beside it the row of the result table."""

from collections.abc import Iterator
from dataclasses import dataclass

from hurtle.client import Exchange, Rows
from hurtle.sinks.lines import LinesWriter
from hurtle.sinks.warc_record import WARC_INFO, Field, exchange_records, instant, record

ROW_TYPE = "application/json"
"""The content type of the `metadata` record that is a row."""


@dataclass(frozen=True, slots=True)
class CopiedRecords:
    """Rows that are taken over from another file, with all their records."""

    records: bytes


class WarcWriter(LinesWriter):
    """Writes a `warcinfo` record, then for each row its exchanges and one `metadata` record.

    The `metadata` record is the row, without its body, whether there was a response or not. It comes last and
    is WARC-Concurrent-To the last response that came.
    """

    def _head(self) -> bytes:
        return record("warcinfo", WARC_INFO, "application/warc-fields")

    def _encoded(self, rows: Rows | CopiedRecords) -> bytes:
        if isinstance(rows, CopiedRecords):
            return rows.records
        lines = rows.to_jsonl(bodies=False).splitlines()
        return b"".join(
            member
            for line, exchanges in zip(lines, rows.exchanges(), strict=True)
            for member in _row_records(line, exchanges)
        )


def _row_records(line: bytes, exchanges: tuple[Exchange, ...]) -> Iterator[bytes]:
    response, date = None, None
    fields: list[Field] = []
    for exchange in exchanges:
        members, response = exchange_records(exchange)
        yield members
    if response is not None:
        fields = [("WARC-Concurrent-To", response), ("WARC-Target-URI", exchanges[-1].url)]
        date = instant(exchanges[-1].started_us)
    yield record("metadata", line, ROW_TYPE, fields, date=date)
