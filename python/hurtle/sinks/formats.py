"""The formats of files: what writes one, counts its rows, and makes one of several."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hurtle.errors import MissingExtraError, SinkError
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
        """Return how many rows a file holds, as a reader finds them.

        Raises:
            SinkError: It cannot be read.
        """

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
        with _reading(path), path.open("rb") as file:
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

        with _reading(path):
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

        with _reading(path):
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

        with _reading(path):
            return count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Put the files behind each other under one header."""
        from hurtle.sinks.csv_file import join

        join(parts, out)


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

        with _reading(path):
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
        from hurtle.sinks.parquet import opened

        with _reading(path), opened(path) as file:
            return int(file.metadata.num_rows)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Copy row group by row group."""
        from hurtle.sinks.parquet import join

        join(parts, out)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    # pyarrow's and csv's errors about what is in a file are ValueErrors, or close to it.
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SinkError(f"{path} cannot be read back: {words}") from error


class Apart(Format):
    """Another format, with the bodies as files in a folder beside the parts.

    Args:
        inner: What the rows are written as.
        name: What it is called.
    """

    beside = "bodies"

    def __init__(self, inner: Format, name: str) -> None:
        self._inner = inner
        self.name = name
        self.extension = inner.extension

    def require(self) -> None:
        """Look for what the rows need."""
        self._inner.require()

    def writer(self, path: str) -> Writer:
        """Return a writer of bodies and rows."""
        from hurtle.sinks.apart import ApartWriter
        from hurtle.sinks.bodies import Bodies

        part = Path(path)
        return ApartWriter(self._inner.writer(path), Bodies(part.parent / self.beside, part.name))

    def count(self, path: Path) -> int:
        """Count the rows."""
        return self._inner.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join the rows: they name their bodies as before."""
        self._inner.join(parts, out)


_JSONL = Jsonl()
_INLINE = (_JSONL, JsonlGzip(), JsonlZstd(), Csv(), Parquet())

FILES = "files"
"""What JSON lines with bodies apart are called: it was a format before others had them."""

APART: dict[str, Format] = {
    "jsonl": Apart(_JSONL, FILES),
    **{one.name: Apart(one, f"{one.name}+bodies") for one in _INLINE if one is not _JSONL},
}
"""By the name of what the rows are written as: the same with bodies apart."""

FORMATS: dict[str, Format] = {one.name: one for one in (*_INLINE, *APART.values(), Warc())}
"""By the name that a run records."""
