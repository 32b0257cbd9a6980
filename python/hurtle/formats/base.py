"""The interface of a file format: its name and first bytes, its writer and reader, and how to join files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.writer import OutputFile, Writer
from hurtle.positions import Done

if TYPE_CHECKING:
    from hurtle.formats.stored import Stored, StoredRows
    from hurtle.rows import Rows

BLOCK = 1 << 20
"""Bytes to read from a file at a time."""


class NewestPart(Protocol):
    """A file of rows, some of which another file has in a newer form."""

    @property
    def stored(self) -> "StoredRows":
        """The file."""

    def hidden(self) -> Done:
        """Return the positions of the rows that are not the newest."""


class Newest(Protocol):
    """The newest rows of several files of one format."""

    @property
    def parts(self) -> Sequence[NewestPart]:
        """The files."""

    def stored_lines(self) -> Iterator[bytes]:
        """Yield the rows as JSON lines, many at a time, with their bodies as stored."""


class CopiedLines:
    """Rows copied from another file, in the form that a writer of lines accepts."""

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines, with the bodies that the other file has."""
        del bodies
        return self._lines


class Format(ABC):
    """A format of files.

    Attributes:
        marks: Its files begin with one of these.
        stored: The class that reads a file.
        beside: The name of the folder that its parts refer to, if any.
        records_exchanges: Whether it needs what went over the wire for each row.
        hashes_bodies: Whether its writer needs the SHA-256 of bodies that the engine has written.
        holds_bodies: Whether a file contains the bodies of its rows.
        is_empty_without_rows: Whether a file without rows has no bytes.
        added: The columns of its files that the result table lacks.
        has_footer: Whether a file is unreadable without its end, so that a readable one has every row.

    Args:
        name: Its name, for callers and in the record of a run.
        extensions: The extensions of its files, dots included. Parts get the first one.
    """

    marks: tuple[bytes, ...]
    stored: "type[Stored]"
    beside: str | None = None
    records_exchanges: bool = False
    hashes_bodies: bool = True
    holds_bodies: bool = True
    is_empty_without_rows: bool = False
    has_footer: bool = False
    added: tuple[str, ...] = ()

    def __init__(self, name: str, extensions: tuple[str, ...]) -> None:
        self.name = name
        self.extensions = extensions

    @property
    def extension(self) -> str:
        """The extension of its parts."""
        return self.extensions[0]

    def is_marked(self, head: bytes) -> bool:
        """Whether a file may be in this format.

        Args:
            head: The first bytes of the file.
        """
        return head.startswith(self.marks)

    def require(self) -> None:
        """Check that it can be written here.

        Raises:
            MissingExtraError: It needs an optional package that is not installed.
        """
        return

    def beside_file(self, name: str) -> "Format":
        """Return this format for the parts of one file, which refer to a folder next to that file.

        Args:
            name: The name of the file.
        """
        del name
        return self

    def compressed(self, compression: str) -> "Format":
        """Return this format with another compression.

        Args:
            compression: As the caller wrote it.

        Raises:
            ConfigError: There is no such compression, or the format has none to choose.
        """
        raise ConfigError(
            f"compression={compression!r} does not fit {self.name}: only parquet and jsonl.gz"
            " have one to choose",
            option="compression",
        )

    @abstractmethod
    def writer(self, path: str) -> Writer:
        """Return a writer for a file; not open yet."""

    @abstractmethod
    def count(self, path: Path) -> int:
        """Return how many rows a reader finds in a file.

        Raises:
            SinkError: The file cannot be read.
        """

    @abstractmethod
    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join several files into one, which appears when it is complete.

        Raises:
            SinkError: The file could not be written.
        """

    def copies(self, newest: Newest) -> Iterator[object]:
        """Yield the newest rows of several files, in the form that `writer` accepts, to write one file.

        Unless a format overrides this, its writer may call nothing but `to_jsonl` on them.
        """
        return map(CopiedLines, newest.stored_lines())

    def write_newest(self, newest: Newest, out: str) -> None:
        """Write one file with the newest rows of several.

        Raises:
            SinkError: The file could not be written.
        """
        writer = self.writer(out)
        writer.open()
        try:
            for rows in self.copies(newest):
                writer.write(cast("Rows", rows))
        except BaseException:
            writer.abort()
            raise
        writer.close()


class EndToEnd(Format):
    """A format whose files can be concatenated."""

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Concatenate the files; if there are none, write an empty one."""
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


@contextmanager
def reading_back(path: Path) -> Iterator[None]:
    """Report what goes wrong while a file that was just written is read back.

    Raises:
        SinkError: Instead of what the reader raises.
    """
    try:
        yield
    # For bad content, pyarrow and `csv_file` raise ValueError or a subclass.
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SinkError(f"{path} cannot be read back: {words}") from error
