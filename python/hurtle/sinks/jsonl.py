"""The result table as JSON lines: keys as its columns, `body_base64` where a body is no UTF-8."""

from contextlib import nullcontext
from typing import IO

from hurtle.client import Rows
from hurtle.sinks.held import stops_held
from hurtle.sinks.writer import OutputFile, Writer


class JsonlWriter(Writer):
    """Writes each batch as it comes.

    Args:
        path: A file; "-" is stdout, where every batch is out at once.
    """

    def __init__(self, path: str) -> None:
        self._output = OutputFile(path)
        self._to_stdout = path == "-"
        self._file: IO[bytes] | None = None
        self._whole = True

    def open(self) -> None:
        """Open the file."""
        self._file = self._output.open()

    def write(self, rows: Rows) -> None:
        """Write the rows' lines."""
        if self._file is None:
            raise ValueError("the file is not open")
        lines = rows.to_jsonl()
        # A pipe may be full for as long as its reader likes: that wait can be interrupted, a file's cannot.
        with stops_held() if self._output.appears_at_the_end else nullcontext():
            self._whole = False
            try:
                self._file.write(lines)
                if self._to_stdout:
                    self._file.flush()
            except BrokenPipeError:
                raise  # the reader of a pipe may have had enough: no failure of ours
            except OSError as error:
                raise self._output.failure(error) from error
            self._whole = True

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
            if file is not None and not self._whole and self._output.appears_at_the_end:
                self._output.abort()
                raise self._output.broken_off()
            self._output.close()

    def abort(self) -> None:
        """Drop the file."""
        with stops_held():
            self._file = None
            self._output.abort()
