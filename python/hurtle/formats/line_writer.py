"""Writes a file batch by batch, as batches arrive: the base of JSON lines, CSV and similar formats."""

from abc import abstractmethod
from contextlib import nullcontext
from typing import IO

from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows
from hurtle.stops import stops_held


class LinesWriter(Writer):
    """Writes each batch as it arrives; the format decides how it looks.

    Args:
        path: A file; "-" is stdout, which is flushed after every batch.
    """

    def __init__(self, path: str) -> None:
        self._output = OutputFile(path)
        self._to_stdout = path == "-"
        self._file: IO[bytes] | None = None
        self._whole = True

    def _head(self) -> bytes:
        """Return the beginning of the file."""
        return b""

    @abstractmethod
    def _encoded(self, rows: Rows) -> bytes:
        """Return rows as the file's bytes. An OSError is treated as a failure of the output."""

    def _tail(self) -> bytes:
        """Return the end of the file."""
        return b""

    def open(self) -> None:
        """Open the file."""
        self._file = self._output.open()
        if head := self._head():
            self._put(self._file, head)

    def write(self, rows: Rows) -> None:
        """Write the rows' lines."""
        if self._file is None:
            raise ValueError("the file is not open")
        if not self._whole and self._output.appears_at_the_end:
            raise self._output.broken_off()
        # A full pipe blocks while its reader likes. Ctrl-C may interrupt that, but not a write to a file.
        with stops_held() if self._output.appears_at_the_end else nullcontext():
            self._whole = False
            try:
                self._put(self._file, self._encoded(rows))
            except BrokenPipeError:
                raise  # the reader of a pipe may have stopped early: that is not a failure
            except OSError as error:
                raise self._output.failure(error) from error
            self._whole = True

    def _put(self, file: IO[bytes], data: bytes) -> None:
        file.write(data)
        if self._to_stdout:
            file.flush()

    def flush(self) -> None:
        """Flush the file."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                raise self._output.failure(error) from error

    def close(self) -> None:
        """Complete the file and put it in place."""
        with stops_held():
            file, self._file = self._file, None
            if file is None:
                return
            if not self._whole and self._output.appears_at_the_end:
                self._output.abort()
                raise self._output.broken_off()
            try:
                self._complete(file)
            except OSError as error:
                self._output.abort()
                raise self._output.failure(error) from error
            self._output.close()

    def _complete(self, file: IO[bytes]) -> None:
        """Write what is missing before the file is put in place. An OSError is a failure of the output."""
        if tail := self._tail():
            self._put(file, tail)

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            self._file = None
            self._output.abort()
