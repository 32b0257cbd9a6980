"""The result table as JSON lines: keys as its columns, `body_base64` where a body is no UTF-8."""

from typing import IO, TYPE_CHECKING

from hurtle.sinks.base import OutputFile, Sink

if TYPE_CHECKING:
    from hurtle._engine import Batch


class JsonlSink(Sink):
    """Writes each batch as it comes.

    Args:
        path: A file; "-" is stdout, where every batch is out at once.
    """

    def __init__(self, path: str) -> None:
        self._output = OutputFile(path)
        self._to_stdout = path == "-"
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Open the file."""
        self._file = self._output.open()

    def write(self, batch: "Batch") -> None:
        """Write the batch's lines."""
        if self._file is None:
            raise ValueError("the sink is not open")
        try:
            self._file.write(batch.to_jsonl())
            if self._to_stdout:
                self._file.flush()
        except BrokenPipeError:
            raise  # the reader of a pipe may have had enough: no failure of ours
        except OSError as error:
            raise self._output.failure(error) from error

    def flush(self) -> None:
        """Flush the file."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                raise self._output.failure(error) from error

    def close(self) -> None:
        """Put the file in its place."""
        self._file = None
        self._output.close()

    def abort(self) -> None:
        """Drop the file."""
        self._file = None
        self._output.abort()
