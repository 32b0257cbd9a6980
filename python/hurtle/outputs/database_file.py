"""A database that is one file, with its lock and its ledger beside it."""

import os
from collections.abc import Iterable
from pathlib import Path

from hurtle.disk import sync_folder
from hurtle.errors import ConfigError
from hurtle.outputs.database import Database, foreign_table
from hurtle.outputs.lock import Lock
from hurtle.outputs.record import ENDED, Record, is_under_way

LEDGER = "ledger"
"""The key of a run's record that says: a ledger was begun, so that one that is gone has been lost."""


class DatabaseFile(Database):
    """What the databases have in common that are files.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.shown = path
        self._path = Path(path).resolve()
        self._lock = Lock(self._path.with_name(self._path.name + ".lock"), path)
        self._beside = self._path.with_name(self._path.name + ".ledger")
        self.ledger = self._beside

    def refuse_foreign(self, columns: Iterable[tuple[str, str]]) -> None:
        """Leave alone a file with tables of somebody else and of no run; beside a run's they may stand.

        Args:
            columns: Table and column of every column in the file.

        Raises:
            ConfigError: It is such a file.
        """
        if (foreign := foreign_table(columns, others=False)) is not None:
            raise ConfigError(
                f"{self.shown} holds the table {foreign}, which is of no run; name another file", option="out"
            )

    def find_ledger(self, record: Record) -> None:
        """Find out whether what the run has noted is here: the file may have been moved without it."""
        is_lost = record.get(LEDGER) is True and is_under_way(record) and not self._beside.exists()
        self.ledger = None if is_lost else self._beside
        place = f"in {self._beside} alone, which is not there: put it back"
        self.ledger_elsewhere = place if is_lost else None

    def lacks_ledger(self, record: Record) -> bool:
        """Whether the record of a run that has not ended does not say that there is one."""
        return not record.get(ENDED) and record.get(LEDGER) is not True

    def begin_ledger(self) -> Record:
        """Make the ledger, empty, where there is none."""
        os.close(os.open(self._beside, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666))
        sync_folder(self._beside.parent)
        self.ledger, self.ledger_elsewhere = self._beside, None
        return {LEDGER: True}

    def drop_ledger(self) -> None:
        """Remove the ledger."""
        self._beside.unlink(missing_ok=True)

    def begin_run(self, record: Record) -> Record:
        """Drop what a run left, its notes first; begin the ledger once the tables are those of the new one.

        A crash in between leaves the old run without its notes, or the new one before it sent anything.
        """
        self.drop_ledger()
        self.make_tables(record)
        sync_folder(self._path.parent)
        record = record | self.begin_ledger()
        self.write_record(record)
        self.commit()
        return record
