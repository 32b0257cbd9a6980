"""What a rerun sends: the first rows of the run's input, or requests made from the run's rows."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, repeat
from typing import Any

from hurtle.errors import ConfigError
from hurtle.formats.row_json import StoredRow
from hurtle.models import BadRow, Request, Row
from hurtle.rerun.asked import AskedRows, is_plain
from hurtle.rerun.base import RerunSink
from hurtle.sources import Source

OpenInput = Callable[[Any], Source]
"""Makes a source of what a caller gave, or of the path that the run recorded."""


class FirstRows(Source):
    """The rows of a source up to the last one that is wanted.

    Args:
        source: The whole input.
        end: How many rows of it to read.
    """

    def __init__(self, source: Source, end: int) -> None:
        self._source = source
        self._end = end
        self.steady = source.steady
        self.path = source.path

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """Lines that the source skipped."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Row]:
        """Yield them."""
        return islice(iter(self._source), self._end)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class RowsSource(Source):
    """The wanted rows of a run as requests: plain GETs, with their id and meta. All others are placeholders.

    Memory does not grow with the rows: they are in a table on disk, without their bodies.

    Args:
        sink: Knows which rows are wanted.
        end: One more than the last wanted position.

    Raises:
        ConfigError: A wanted row was not a GET: the body of its request is unknown.
    """

    def __init__(self, sink: RerunSink, end: int) -> None:
        self._end = end
        self._shown = sink.shown
        self._asked = AskedRows(self._checked(sink.rows()))

    def _checked(self, rows: Iterable[StoredRow]) -> Iterator[StoredRow]:
        for row in rows:
            if row["method"] != "GET":
                raise ConfigError(
                    f"row {row['index']} of {self._shown} was a {row['method']}, and rows do not contain what"
                    " was sent: give the input (-i)",
                    option="requests",
                )
            yield row

    def __iter__(self) -> Iterator[Row]:
        """Yield a row for each position; a request for a wanted one."""
        other = BadRow("input.row", "not wanted")
        next_at = 0
        for at, row in self._asked:
            yield from repeat(other, at - next_at)
            yield _request_of(at, row)
            next_at = at + 1
        yield from repeat(other, self._end - next_at)

    def close(self) -> None:
        """Release the table."""
        self._asked.close()


def _request_of(at: int, row: Mapping[str, Any]) -> Row:
    if is_plain(row, at):
        url: str = row["url"]
        return url
    if row["error"] in ("input.row", "input.truncated"):
        return BadRow(row["error"], row["error_detail"] or "", text=row["url"])
    return Request(row["url"], id=row["id"], meta=None if row["meta"] is None else json.loads(row["meta"]))


def difference(row: Mapping[str, Any], request: Row) -> str | None:
    """Say how a request differs from that of a row ("was a GET and is a POST now"); None: it does not."""
    if isinstance(request, BadRow):
        was_bad = str(row["error"]).startswith("input.")
        return None if was_bad else f"was {row['method']} {row['url']} and is not a request now"
    now = Request(request) if isinstance(request, str) else request
    if now.url != row["url"]:
        return f"was {row['method']} {row['url']} and is {now.method} {now.url} now"
    if now.method != row["method"]:
        return f"was a {row['method']} and is a {now.method} now (the command's -X, -d and --json count)"
    if now.id is not None and now.id != row["id"]:
        return f"had the id {row['id']!r} and has {now.id!r} now"
    return None
