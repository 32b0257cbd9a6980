"""Bodies next to a database: those of a transaction are in place before it is committed, or are removed."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hurtle.formats.bodies import Bodies, close_coming, open_coming, recover, settle
from hurtle.formats.bodies_apart import RowsApart, rows_apart
from hurtle.rows import Rows

BUNDLES = "bundles"
"""The key in the record of a run: how many transactions with bodies are committed."""


class BodyBundles:
    """The bodies of a run in a database, in bundles: one for each transaction. Not thread-safe.

    Args:
        folder: The folder of all bodies.
        record: The record of the run.
    """

    def __init__(self, folder: Path, record: Mapping[str, object]) -> None:
        self._folder = folder
        found = record.get(BUNDLES)
        self._committed = found if isinstance(found, int) else 0
        self._open: Bodies | None = None
        self.coming: Path | None = None

    def recover(self) -> None:
        """Remove the bodies of a transaction that a crash kept from being committed.

        Raises:
            OSError: A file could not be removed.
        """
        recover(self._folder, frozenset([str(self._committed)]))

    def open(self) -> None:
        """Create the folders.

        Raises:
            OSError: They cannot be written.
        """
        self.coming = open_coming(self._folder)

    def apart(self, rows: Rows) -> RowsApart:
        """Write bodies to files.

        Raises:
            OSError: A body could not be written.
        """
        if self._open is None:
            bodies = Bodies(self._folder, str(self._committed + 1), self._folder.name)
            bodies.open()
            self._open = bodies
        return rows_apart(rows, self._open)

    def publish(self) -> dict[str, object]:
        """Put the bodies in place. Return what the transaction has to record.

        Raises:
            OSError: The disk failed.
        """
        if self._open is None:
            return {}
        self._open.publish()
        return {BUNDLES: self._committed + 1}

    def settle(self) -> None:
        """Keep the bodies: the transaction is committed."""
        if self._open is not None:
            settle(self._folder)
            self._open = None
            self._committed += 1

    def drop(self) -> None:
        """Remove the bodies: the transaction is rolled back."""
        if self._open is not None:
            self._open.drop()
            self._open = None

    def close(self) -> None:
        """Remove the folder in which the engine writes. Never raises. Idempotent."""
        with suppress(OSError):
            close_coming(self._folder)
            self._folder.rmdir()  # unless there are bodies
