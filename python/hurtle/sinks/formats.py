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
        beside: The name of a folder that its parts refer to, if they do; then they never become one file.
        records_exchanges: Whether it wants what went over the wire with each row.
    """

    name: str
    extension: str
    beside: str | None = None
    records_exchanges: bool = False

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


class EndToEnd(Format):
    """A format of which several files, put behind each other, are one."""

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Put the files behind each other; of none, make an empty one."""
        if not parts:
            empty = self.writer(out)
            empty.open()
            empty.close()
            return
        with OutputFile(out).writing() as file:
            for part in parts:
                with part.open("rb") as content:
                    while block := content.read(BLOCK):
                        file.write(block)


class Jsonl(EndToEnd):
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


class JsonlGzip(Jsonl):
    """JSON lines, one gzip member for each part."""

    name = "jsonl.gz"
    extension = ".jsonl.gz"

    def writer(self, path: str) -> Writer:
        """Return a writer of compressed lines."""
        from hurtle.sinks.compressed import CompressedWriter, GzipCompressor

        return CompressedWriter(path, GzipCompressor())

    def count(self, path: Path) -> int:
        """Decompress and count the lines."""
        from hurtle.sinks.compressed import count_lines, open_gzip

        return count_lines(open_gzip(path))


class JsonlZstd(Jsonl):
    """JSON lines, one zstd frame for each part."""

    name = "jsonl.zst"
    extension = ".jsonl.zst"

    def require(self) -> None:
        """Look for a zstd library."""
        from hurtle.sinks.compressed import require_zstd

        require_zstd()

    def writer(self, path: str) -> Writer:
        """Return a writer of compressed lines."""
        from hurtle.sinks.compressed import CompressedWriter, ZstdCompressor

        self.require()
        return CompressedWriter(path, ZstdCompressor())

    def count(self, path: Path) -> int:
        """Decompress and count the lines."""
        from hurtle.sinks.compressed import count_lines, open_zstd

        return count_lines(open_zstd(path))


class Csv(Format):
    """CSV without bodies."""

    name = "csv"
    extension = ".csv"

    def writer(self, path: str) -> Writer:
        """Return a writer of a header and rows."""
        from hurtle.sinks.csv_file import CsvWriter

        return CsvWriter(path)

    def count(self, path: Path) -> int:
        """Parse the file."""
        from hurtle.sinks.csv_file import count

        return count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Put the files behind each other under one header."""
        from hurtle.sinks.csv_file import join

        join(parts, out)


class Files(Jsonl):
    """Bodies as files, and JSON lines that name them."""

    name = "files"
    beside = "bodies"

    def writer(self, path: str) -> Writer:
        """Return a writer of bodies and lines."""
        from hurtle.sinks.files import FilesWriter

        return FilesWriter(path, self.beside)


class Warc(EndToEnd):
    """Web archives: what went over the wire, one gzip member for each record."""

    name = "warc"
    extension = ".warc.gz"
    records_exchanges = True

    def writer(self, path: str) -> Writer:
        """Return a writer of records."""
        from hurtle.sinks.warc import WarcWriter

        return WarcWriter(path)

    def count(self, path: Path) -> int:
        """Read every record."""
        from hurtle.sinks.warc_reader import count_rows

        return count_rows(path)


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


FORMATS: dict[str, Format] = {
    one.name: one for one in (Jsonl(), JsonlGzip(), JsonlZstd(), Csv(), Parquet(), Files(), Warc())
}
