"""A list of URLs as text: one per line; blank lines and `#` comments are skipped."""

from hurtle.models import BadRow, Row
from hurtle.sources.lines import LineSource, escaped


class TextSource(LineSource):
    """The URLs of a text file or of stdin; a line that is not UTF-8 is a BadRow, with its bytes escaped."""

    columns = ()

    def _row(self, line: bytes, number: int) -> Row:
        try:
            return line.strip().decode()
        except UnicodeDecodeError:
            return BadRow("input.row", "the line is not UTF-8", number, escaped(line)[:200])

    def _is_skipped(self, line: bytes | BadRow) -> bool:
        return not isinstance(line, BadRow) and line.lstrip()[:1] in (b"", b"#")
