"""Read a run in a folder of an object store: one part at a time is on this disk, while it is read."""

from collections.abc import Callable, Collection, Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from hurtle.errors import ConfigError, JournalError
from hurtle.runs.formats import STORED, unreadable
from hurtle.runs.lines import StoredRow
from hurtle.runs.run import Part, Run
from hurtle.runs.stored import Stored, StoredRows
from hurtle.sinks.objects import Objects, StoreError
from hurtle.sinks.recorded import ENDED, Record
from hurtle.sinks.remote import DROPPED, NAME, read_journal, read_record


class StoredRemote(StoredRows):
    """A part in an object store. Every reading downloads it anew.

    Args:
        objects: The folder.
        name: What the part is called.
        kind: What reads such a file.
    """

    def __init__(self, objects: Objects, name: str, kind: Callable[[Path], Stored]) -> None:
        self._objects = objects
        self._name = name
        self._kind = kind

    @contextmanager
    def _here(self) -> Iterator[Stored]:
        with TemporaryDirectory(prefix="hurtle-") as folder:
            path = Path(folder) / PurePosixPath(self._name).name
            try:
                self._objects.download(self._name, path)
            except (StoreError, OSError) as error:
                raise JournalError(str(error)) from error
            yield self._kind(path)

    def count(self) -> int:
        """Read the file."""
        with self._here() as stored:
            return stored.count()

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        """Yield the rows of the file."""
        with self._here() as stored:
            yield from stored.rows(columns)

    def batches(self) -> Iterator[Any]:
        """Yield the batches of the file."""
        with self._here() as stored:
            yield from stored.batches()

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the file's."""
        with self._here() as stored:
            return stored.schema()

    def lines(self, hidden: Container[int]) -> Iterator[bytes]:
        """Yield the lines of the file."""
        with self._here() as stored:
            yield from stored.lines(hidden)

    def body(self, row: StoredRow) -> bytes | None:
        """Read it from the file."""
        with self._here() as stored:
            return stored.body(row)

    def is_named(self, row: StoredRow) -> bool:
        """Whether the row names this part, or none."""
        return row.get("warc_file") in (None, PurePosixPath(self._name).name)


def open_remote(address: str) -> Run:
    """Return the run in a folder of an object store.

    Args:
        address: Scheme, bucket and prefix.

    Raises:
        ConfigError: There is none, or the store cannot be used.
        JournalError: The record is damaged.
        MissingExtraError: The store or the format needs an optional package.
    """
    objects, record = _opened(address)
    name = str(record.get("format"))
    if name not in STORED:
        raise unreadable(f"{objects.shown} is written as {name}")
    try:
        committed = read_journal(objects, str(record[NAME]))
    except StoreError as error:
        raise JournalError(str(error)) from error
    parts = [Part(StoredRemote(objects, part.name, STORED[name]), part.rows) for part in committed]
    return Run(objects.shown, parts, bool(record.get(ENDED)))


def remote_record(address: str) -> Record:
    """Return what the run in a folder of an object store is.

    Raises:
        ConfigError, JournalError, MissingExtraError: As `open_remote`.
    """
    return _opened(address)[1]


def _opened(address: str) -> tuple[Objects, Record]:
    objects = Objects(address)
    objects.require()
    try:
        found = read_record(objects)
    except StoreError as error:
        raise ConfigError(str(error), option="out") from error
    if found is None or DROPPED in found[0]:
        raise ConfigError(f"{objects.shown} holds no run", option="out")
    return objects, found[0]
