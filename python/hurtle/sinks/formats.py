"""The formats of files: what writes one, counts its rows, and makes one of several."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from hurtle.errors import MissingExtraError
from hurtle.sinks.jsonl import JsonlWriter
from hurtle.sinks.writer import OutputFile, Writer

BLOCK = 1 << 20


class Format(ABC):
    """A format of files.

    Attributes:
        name: What callers call it.
        extension: What its files end with, dot included.
    """

    name: str
    extension: str

    def require(self) -> None:
        """Find out whether it can be written here.

        Raises:
            MissingExtraError: It needs an optional package.
        """
        return

    @abstractmethod
    def writer(self, path: str) -> Writer:
        """Return what writes a file; not open yet."""

    @abstractmethod
    def count(self, path: Path) -> int:
        """Return how many rows a file holds, as a reader finds them."""

    @abstractmethod
    def join(self, parts: Sequence[Path], out: str) -> None:
        """Make one file of several; it appears when it is whole.

        Raises:
            SinkError: It could not be written.
        """


class Jsonl(Format):
    """JSON lines."""

    name = "jsonl"
    extension = ".jsonl"

    def writer(self, path: str) -> Writer:
        """Return a writer of lines."""
        return JsonlWriter(path)

    def count(self, path: Path) -> int:
        """Count the lines."""
        lines = 0
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                lines += block.count(b"\n")
        return lines

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Put the files behind each other."""
        output = OutputFile(out)
        file = output.open()
        try:
            for part in parts:
                with part.open("rb") as lines:
                    while block := lines.read(BLOCK):
                        file.write(block)
        except OSError as error:
            output.abort()
            raise output.failure(error) from error
        output.close()


class Parquet(Format):
    """Parquet, by pyarrow."""

    name = "parquet"
    extension = ".parquet"

    def require(self) -> None:
        """Look for pyarrow."""
        try:
            import pyarrow.parquet  # noqa: F401 - only looked for
        except ImportError as error:
            raise MissingExtraError("parquet", "writing Parquet") from error

    def writer(self, path: str) -> Writer:
        """Return a writer of row groups."""
        from hurtle.sinks.parquet import ParquetWriter

        return ParquetWriter(path)

    def count(self, path: Path) -> int:
        """Read the footer."""
        from pyarrow import parquet

        return int(parquet.read_metadata(path).num_rows)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Copy row group by row group."""
        from hurtle.sinks.parquet import join

        join(parts, out)


FORMATS: dict[str, Format] = {one.name: one for one in (Jsonl(), Parquet())}
