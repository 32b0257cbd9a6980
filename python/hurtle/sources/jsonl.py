"""Requests as JSON lines: an object with the keys of `Request`, or a URL as a string."""

import json
from collections.abc import Iterator

from hurtle.models import BadRow, Row
from hurtle.sources.base import Source, request_row, shown
from hurtle.sources.lines import LineReader, escaped


class JsonlSource(Source):
    """The requests of a JSONL file or of stdin; blank lines are passed over.

    Args:
        path: A file, also .gz or .zst; "-" is stdin.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lines = LineReader(path)
        self.steady = self._lines.regular
        self._total: int | None = None

    @property
    def total(self) -> int | None:
        """How many rows the file holds, counted at the first call; None for pipes, .gz, .zst, huge files."""
        if self._total is None and self._lines.countable():
            reader = LineReader(self._lines.path)
            try:
                self._total = sum(
                    1 for _, line in reader.numbered() if isinstance(line, BadRow) or line.strip()
                )
            finally:
                reader.close()
        return self._total

    def __iter__(self) -> Iterator[Row]:
        """Yield each line's request; a line that is none as a BadRow with its number."""
        for number, line in self._lines.numbered():
            if isinstance(line, BadRow):
                yield line
            elif not line.strip():
                self.skipped += 1
            else:
                yield _row(line, number)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _row(line: bytes, number: int) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow("input.row", f"not JSON: {error}", number, escaped(line)[:200])
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return request_row(value, number)
    return BadRow("input.row", "neither an object nor a URL in quotes", number, shown(escaped(line)))
