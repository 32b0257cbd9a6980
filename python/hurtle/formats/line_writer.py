"""What writes a file batch by batch, each as it comes: the frame of JSON lines, CSV and their like."""

from abc import abstractmethod
from contextlib import nullcontext
from typing import IO

from hurtle.formats.writer import OutputFile, Writer
from hurtle.rows import Rows
from hurtle.stops import stops_held


class LinesWriter(Writer):
    """Writes each batch as it comes; how it looks is up to the format.

    Args:
        path: A file; "-" is stdout, where every batch is out at once.
    """

    def __init__(self, path: str) -> None:
        self._output = OutputFile(path)
        self._to_stdout = path == "-"
        self._file: IO[bytes] | None = None
        self._whole = True

    def _head(self) -> bytes:
        """Return what the file begins with."""
        return b""

    @abstractmethod
    def _encoded(self, rows: Rows) -> bytes:
        """Return rows as they are written. An OSError is a failure of the output."""

    def _tail(self) -> bytes:
        """Return what the file ends with."""
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
        # A pipe may be full for as long as its reader likes: that wait can be interrupted, a file's cannot.
        with stops_held() if self._output.appears_at_the_end else nullcontext():
            self._whole = False
            try:
                self._put(self._file, self._encoded(rows))
            except BrokenPipeError:
                raise  # the reader of a pipe may have had enough: no failure of ours
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
        """Put the file in its place."""
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
        """Do what must be done before the file is in its place. An OSError is a failure of the output."""
        if tail := self._tail():
            self._put(file, tail)

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            self._file = None
            self._output.abort()
