"""Writes results to stdout, a pipe or a device: nothing can be taken back, and the run cannot be resumed."""

from hurtle.formats.writer import Writer
from hurtle.outputs import Identity, Resume
from hurtle.positions import Done
from hurtle.rows import Rows
from hurtle.sinks.base import Sink


class StreamSink(Sink):
    """Passes every batch to one writer.

    Args:
        writer: The writer; not open yet.
        records_exchanges: Whether it needs what went over the wire for each row.
    """

    def __init__(self, writer: Writer, *, records_exchanges: bool = False) -> None:
        self._writer = writer
        self.records_exchanges = records_exchanges

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Open the writer."""
        del identity, resume
        self._writer.open()
        return Done()

    def write(self, rows: Rows) -> None:
        """Write rows."""
        self._writer.write(rows)

    def close(self) -> None:
        """Close the writer."""
        self._writer.close()

    def leave(self) -> str | None:
        """Close the writer."""
        self._writer.close()
        return None

    def abort(self) -> str | None:
        """Drop what is not written yet."""
        self._writer.abort()
        return None
