"""Requests as JSON lines: an object with the keys of `Request`, or a URL as a string."""

import json

from hurtle.models import BadRow, Row
from hurtle.sources.base import request_row, shown
from hurtle.sources.lines import LineSource, escaped


class JsonlSource(LineSource):
    """The requests of a JSONL file or of stdin; blank lines are skipped."""

    def _row(self, line: bytes, number: int) -> Row:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            return BadRow("input.row", f"not JSON: {error}", number, escaped(line)[:200])
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            return request_row(value, number)
        return BadRow("input.row", "neither an object nor a URL in quotes", number, shown(escaped(line)))
