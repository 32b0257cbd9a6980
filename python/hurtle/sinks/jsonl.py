"""The result table as JSON lines: keys as its columns, `body_base64` where a body is no UTF-8."""

from hurtle.client import Rows
from hurtle.sinks.lines import LinesWriter


class JsonlWriter(LinesWriter):
    """Writes the lines that the engine makes."""

    def _encoded(self, rows: Rows) -> bytes:
        return rows.to_jsonl()
