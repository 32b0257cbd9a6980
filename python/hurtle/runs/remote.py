"""Reads a run in a folder of an object store: a part is on this disk while it is read."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from weakref import finalize

from hurtle.errors import ConfigError, JournalError
from hurtle.formats import FORMATS
from hurtle.formats.row_json import StoredRow
from hurtle.formats.stored import Finder, Stored, StoredRows
from hurtle.outputs.kinds import unreadable
from hurtle.outputs.objects import Objects, StoreError
from hurtle.outputs.record import ENDED, Record, refuse_other_version
from hurtle.outputs.remote import DROPPED, NAME, answers_here, read_journal, read_record
from hurtle.positions import Done
from hurtle.runs.answered import answered
from hurtle.runs.run import Part, Run

KEPT_COPIES = 2
"""Parts kept on this disk while bodies are looked up, roughly in the order of the input."""


class StoredRemote(StoredRows, Finder):
    """A part in an object store. Every read downloads it again; for look-ups the last parts are kept.

    Args:
        objects: The folder.
        name: The name of the part.
        kind: The class that reads such a file.
        kept: Keeps copies of parts of the folder for look-ups.
    """

    def __init__(self, objects: Objects, name: str, kind: type[Stored], kept: "_Kept") -> None:
        self._objects = objects
        self._name = name
        self._kind = kind
        self._kept = kept

    @contextmanager
    def _here(self) -> Iterator[Stored]:
        with TemporaryDirectory(prefix="hurtle-") as folder:
            yield self._downloaded(folder)

    def _downloaded(self, folder: str) -> Stored:
        path = Path(folder) / PurePosixPath(self._name).name
        try:
            self._objects.download(self._name, path)
        except (StoreError, OSError) as error:
            raise JournalError(str(error)) from error
        return self._kind(path)

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
        """Return the schema of the file."""
        with self._here() as stored:
            return stored.schema()

    def lines(self, hidden: Container[int]) -> Iterator[bytes]:
        """Yield the lines of the file."""
        with self._here() as stored:
            yield from stored.lines(hidden)

    def body(self, row: StoredRow) -> bytes | None:
        """Return the body from the row, or from the file if that has it outside the row."""
        if self._kind.file_of_body(row) is None:
            return super().body(row)
        return self._kept.copy(self._name, self._downloaded).stored.body(row)

    def finder(self) -> Finder:
        """Return itself: places are those in the file."""
        return self

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the places in the file."""
        with self._here() as stored:
            yield from stored.finder().places()

    def row_at(self, place: int) -> StoredRow:
        """Read the row from the file."""
        return self._kept.copy(self._name, self._downloaded).finder.row_at(place)

    def is_named(self, row: StoredRow) -> bool:
        """Whether the row names this part, or no part."""
        return self._kind.file_of_body(row) in (None, PurePosixPath(self._name).name)


class _Copy:
    """A part on this disk, which is removed with this object."""

    def __init__(self, downloaded: Callable[[str], Stored]) -> None:
        folder = mkdtemp(prefix="hurtle-")
        finalize(self, rmtree, folder, ignore_errors=True)
        self.stored = downloaded(folder)
        self.finder = self.stored.finder()


class _Kept:
    """The copies of the parts that were used last."""

    def __init__(self) -> None:
        self._copies: OrderedDict[str, _Copy] = OrderedDict()

    def copy(self, name: str, downloaded: Callable[[str], Stored]) -> _Copy:
        """Return the copy of a part.

        Args:
            name: The part.
            downloaded: Downloads it to a folder.
        """
        if name not in self._copies:
            self._copies[name] = _Copy(downloaded)
        self._copies.move_to_end(name)
        while len(self._copies) > KEPT_COPIES:
            self._copies.popitem(last=False)
        return self._copies[name]


def open_remote(address: str) -> Run:
    """Return the run in a folder of an object store.

    Args:
        address: Scheme, bucket and prefix.

    Raises:
        ConfigError: There is no run, or the store cannot be used.
        JournalError: The record is damaged.
        MissingExtraError: The store or the format needs an optional package.
    """
    objects, record = _opened(address)
    name = str(record.get("format"))
    if name not in FORMATS:
        raise unreadable(f"{objects.shown} is written as {name}")
    # Before the journal: a run that is under way may commit them meanwhile.
    logged = answers_here(record)
    try:
        committed = read_journal(objects, str(record[NAME]))
    except StoreError as error:
        raise JournalError(str(error)) from error
    kept = _Kept()
    stored = FORMATS[name].stored
    if len(logged):
        done = Done(span for part in committed for span in part.done)
        logged = logged.only(lambda index: index not in done)
    parts = [Part(StoredRemote(objects, part.name, stored, kept), part.rows) for part in committed]
    return Run(objects.shown, [*parts, *answered(logged, FORMATS[name].added)], bool(record.get(ENDED)))


def remote_record(address: str) -> Record:
    """Return the record of the run in a folder of an object store.

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
    return objects, refuse_other_version(found[0], objects.shown)
