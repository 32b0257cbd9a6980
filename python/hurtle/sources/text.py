"""A list of URLs as text: one a line, blank lines and `#` comments passed over."""

from collections.abc import Iterator

from hurtle.models import BadRow, Row
from hurtle.sources.base import Source
from hurtle.sources.lines import LineReader, escaped


class TextSource(Source):
    """The URLs of a text file or of stdin.

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
        """How many URLs the file holds, counted at the first call; None for pipes, .gz, .zst, huge files."""
        if self._total is None and self._lines.countable():
            reader = LineReader(self._lines.path)
            try:
                self._total = sum(1 for _, line in reader.numbered() if not _is_skipped(line))
            finally:
                reader.close()
        return self._total

    def __iter__(self) -> Iterator[Row]:
        """Yield each URL as text; a line that is no UTF-8 as a BadRow, its bytes escaped."""
        for number, line in self._lines.numbered():
            if _is_skipped(line):
                self.skipped += 1
            elif isinstance(line, BadRow):
                yield line
            else:
                try:
                    yield line.strip().decode()
                except UnicodeDecodeError:
                    yield BadRow("input.row", "the line is not UTF-8", number, escaped(line)[:200])

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _is_skipped(line: bytes | BadRow) -> bool:
    if isinstance(line, BadRow):
        return False
    start = line.lstrip()[:1]
    return not start or start == b"#"
