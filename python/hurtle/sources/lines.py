"""The lines of a file, compressed or not, or of stdin: numbered and bounded; a broken one is a BadRow."""

import sys
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from hurtle.errors import ConfigError, MissingExtraError
from hurtle.models import BadRow, Row
from hurtle.sources.base import Source

LONGEST_LINE = 16 << 20
"""Bytes of the longest line: a JSONL row may hold a body; a file without line ends must not fill memory."""

LARGEST_COUNTED = 256 << 20
"""Bytes of the largest file whose lines are counted for a progress line's ETA: read in about a second."""

_BOM = b"\xef\xbb\xbf"


class LineReader:
    """Reads lines as bytes.

    Args:
        path: A file; one that ends in .gz or .zst is decompressed; "-" is stdin.

    Raises:
        ConfigError: The file cannot be opened.
        MissingExtraError: .zst needs a package on Python before 3.14.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.regular = path != "-" and Path(path).is_file()
        self._file: IO[bytes] | None = None
        self._open()
        if self.regular:
            # Opened again when it is read: a source that is never iterated must not hold a file open.
            self.close()

    def _open(self) -> IO[bytes]:
        if self._file is None:
            try:
                self._file = _opened(self.path)
            except OSError as error:
                raise ConfigError(f"{self.path}: {error.strerror or error}", option="requests") from error
        return self._file

    def numbered(self) -> Iterator[tuple[int, bytes | BadRow]]:
        """Yield each line's number, from 1, and its bytes without the line end.

        A line over LONGEST_LINE is a BadRow, and so is the place where a compressed file is cut off.
        """
        number = 0
        read = self._open().readline
        while True:
            number += 1
            try:
                line = read(LONGEST_LINE)
            except (EOFError, OSError, ValueError) as error:
                if not self._compressed():
                    raise
                yield number, BadRow("input.truncated", f"{self.path} ends early: {error}", number)
                return
            if not line:
                return
            if number == 1 and line.startswith(_BOM):
                line = line[len(_BOM) :]
            if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
                while (rest := read(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    continue
                yield number, BadRow("input.row", "the line is too long", number, escaped(line[:200]))
                continue
            yield number, line.rstrip(b"\r\n")

    def _compressed(self) -> bool:
        return self.path.lower().endswith((".gz", ".zst"))

    def countable(self) -> bool:
        """Whether reading all lines twice is possible and cheap."""
        if not self.regular or self._compressed():
            return False
        return Path(self.path).stat().st_size <= LARGEST_COUNTED

    def close(self) -> None:
        """Close the file; stdin stays open. Idempotent."""
        file, self._file = self._file, None
        if file is not None and self.path != "-":
            file.close()


def escaped(line: bytes) -> str:
    r"""Return a line as text; bytes that are not UTF-8 become \\xNN."""
    return line.decode("utf-8", "backslashreplace")


def _opened(path: str) -> IO[bytes]:
    if path == "-":
        return _opened_stdin()
    lower = path.lower()
    if lower.endswith(".gz"):
        import gzip

        return cast("IO[bytes]", gzip.open(path))
    if lower.endswith(".zst"):
        return _opened_zstd(path)
    return Path(path).open("rb")


def _opened_stdin() -> IO[bytes]:
    """Open stdin's descriptor with a reader of its own.

    A thread may be blocked in a read when the interpreter exits, which takes the lock of sys.stdin and aborts
    if it is held.
    """
    if sys.stdin is None:
        raise ConfigError("stdin is closed; name a file", option="requests")
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, ValueError):
        return sys.stdin.buffer  # it was replaced by something without a descriptor


def _opened_zstd(path: str) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.open(path)
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("parquet", f"{path}: reading .zst") from error
    import io

    return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(path), "zstd"))


class LineSource(Source):
    """A source with one row per line.

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
        """How many rows the file has, counted at the first call; None for pipes, .gz, .zst and huge files."""
        if self._total is None and self._lines.countable():
            reader = LineReader(self._lines.path)
            try:
                self._total = sum(1 for _, line in reader.numbered() if not self._is_skipped(line))
            finally:
                reader.close()
        return self._total

    def __iter__(self) -> Iterator[Row]:
        """Yield a row for each line; a BadRow with the line's number for a line that is not one."""
        for number, line in self._lines.numbered():
            if self._is_skipped(line):
                self.skipped += 1
            elif isinstance(line, BadRow):
                yield line
            else:
                yield self._row(line, number)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _is_skipped(self, line: bytes | BadRow) -> bool:
        return not isinstance(line, BadRow) and not line.strip()

    @abstractmethod
    def _row(self, line: bytes, number: int) -> Row: ...
