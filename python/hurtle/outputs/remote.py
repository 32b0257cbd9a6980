"""A run in a folder of an object store, where objects cannot be appended to or renamed.

Parts are written on this disk, verified and uploaded under names that no other run uses. The commit of a part
is one small object, created only if its name is free: if two runs each think they are the only one, one of
them finds that the next name is taken, and stops. To resume a run, hurtle first rewrites its record and takes
a name, and only then looks at what is there: the earlier process can then commit, complete or drop nothing.

Source: Armbrust et al., "Delta Lake", VLDB 2020, section 3: a log of objects that are put if absent.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats import FORMATS, Format
from hurtle.outputs.answers import LoggedRows, commit_answers, logged_rows
from hurtle.outputs.journal import Committed, refuse_overlap, sealed, unsealed
from hurtle.outputs.local_state import LocalState, elsewhere
from hurtle.outputs.objects import ChangedError, Objects, StoreError, Version
from hurtle.outputs.record import (
    ENDED,
    RUN,
    Identity,
    Record,
    Resume,
    gone_on_with,
    record_of,
    refuse_another,
    refuse_foreign,
    refuse_other_version,
)
from hurtle.outputs.remote_lock import LOCK, RemoteLock
from hurtle.positions import Done

EXTRA = "remote"
"""The optional package that object stores need."""

JOURNAL = "journal"
"""The folder of the commits. It has a folder for each run; only the one that `run.json` names counts."""
NAME = "run"
"""The key of run.json for that name."""
OPENED = "opened"
"""The key of run.json that names its writer, and of an entry that commits nothing: the run was resumed."""
DROPPED = "dropped"
"""The key of run.json of a run that has nothing to resume."""

_CLOCK = re.compile(r"clock-[0-9a-f]{32}")
_OF_A_RUN = re.compile(rf"part-\d{{6,}}-[0-9a-f]{{8}}(\.\w+)+|{JOURNAL}/[0-9a-f]{{8}}/\d{{6,}}\.json")


class RemoteFolder:
    """Begins or resumes a run in a folder of an object store, and commits its parts.

    Args:
        objects: The folder.
        format: The format of its parts, by name.
    """

    def __init__(self, objects: Objects, format: str) -> None:  # noqa: A002 - the public name
        self.whereabouts = objects.shown
        self._objects = objects
        self._format = format
        self._lock = RemoteLock(objects)
        self._state: LocalState | None = None
        self._scratch: LocalState | None = None
        self._record: Record = {}
        self._version: Version = {}
        self._parts = 0
        self._next = 1
        self._next_entry = 1

    @property
    def ledger(self) -> Path | None:
        """In this machine's state of the run, if it has one."""
        return None if self._state is None else self._state.ledger

    @property
    def answers(self) -> Path | None:
        """Next to the ledger."""
        return None if self._state is None else self._state.answers

    @property
    def ledger_elsewhere(self) -> str | None:
        """Where the ledger is, if another machine has it."""
        return elsewhere(self._record) if self._state is None and not self._record.get(ENDED) else None

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Record a new run, or find out how much of the existing one is done.

        Raises:
            ConfigError: See `Sink.begin`.
            JournalError: The journal is damaged.
        """
        self._objects.require()
        with self._failing_as(ConfigError):
            self._refuse_foreign_objects()
            self._lock.take()
            try:
                return self._begin(record_of(identity, self._format), resume)
            except BaseException:
                self._lock.release()
                raise

    def _begin(self, now: Record, resume: Resume) -> Done:
        found = read_record(self._objects)
        if found is None:
            self._begin_new(now, None)
            return Done()
        before, version = refuse_foreign(found[0], self._objects.shown), found[1]
        if resume == "restart" or DROPPED in before:
            # A run of another version cannot be read, but it can be dropped.
            self._begin_new(now, version)
            if (state := LocalState.of(before, EXTRA)) is not None:
                state.drop()
            self._sweep(set())
            return Done()
        refuse_other_version(before, self._objects.shown)
        refuse_another(before, now, resume, self._objects.shown)
        self._record, self._version = before, version
        self._state = LocalState.of(before, EXTRA)
        if self._state is not None:
            self._state.sweep()
        done = self._recover(takes_over=resume == "trust" or not before.get(ENDED))
        changed = gone_on_with(before, now, done, resume, self._objects.shown, has_rerun=False)
        if changed.get(ENDED) is False:
            self._state = LocalState.begin(EXTRA)
            changed |= self._state.entry
        if changed:
            self._change_record(changed)
        return done

    def _begin_new(self, record: Record, version: Version | None) -> None:
        """Write the record of the run, before the first request; this drops an earlier run."""
        self._state = LocalState.begin(EXTRA)
        self._record = record | {NAME: uuid4().hex[:8], OPENED: uuid4().hex} | self._state.entry
        data = _json(self._record)
        try:
            if version is None:
                self._version = self._objects.create(RUN, data)
            else:
                self._version = self._objects.replace(RUN, data, version)
        except BaseException:
            self._state.drop()
            raise

    def _recover(self, *, takes_over: bool) -> Done:
        """Stop the earlier process from committing; then read the journal, and remove everything else."""
        if takes_over:
            self._change_record({OPENED: uuid4().hex})
            self._next_entry = max(_numbers(self._objects, self._run), default=0) + 1
            self._commit_entry({OPENED: uuid4().hex})
        committed = read_journal(self._objects, self._run)
        sizes = dict(self._objects.names())
        done = Done()
        for part in committed:
            part.check_size(sizes.get(part.name), self._objects.shown + part.name)
            done.add_spans(part.done, part.failed)
        self._parts, self._next = len(committed), len(committed) + 1
        self._sweep({part.name for part in committed}, sizes)
        if takes_over and self.answers is not None:
            commit_answers(self.answers, self, FORMATS[self._format], done)
        return done

    @property
    def _run(self) -> str:
        return str(self._record[NAME])

    def _refuse_foreign_objects(self) -> None:
        """Refuse a folder without a run that has other objects: nothing is written among them."""
        if self._objects.read(RUN) is not None:
            return
        for name, _ in self._objects.names():
            if name != LOCK and not _CLOCK.fullmatch(name):
                raise ConfigError(
                    f"{self._objects.shown} holds objects not created by hurtle ({name}); name another"
                    " prefix",
                    option="out",
                )

    def _sweep(self, keep: set[str], names: Iterable[str] | None = None) -> None:
        """Remove what runs leave behind, but no objects that hurtle did not create."""
        if names is None:
            names = [name for name, _ in self._objects.names()]
        here = f"{JOURNAL}/{self._run}/"
        self._objects.delete(
            name
            for name in names
            if name not in keep
            and not name.startswith(here)
            and (_OF_A_RUN.fullmatch(name) or _CLOCK.fullmatch(name))
        )

    def take_ledger(self) -> None:
        """Begin a ledger on this machine, although another machine has that of the run.

        Raises:
            SinkError: The change could not be recorded.
        """
        state = LocalState.begin(EXTRA)
        with self._failing_as(SinkError):
            self._change_record(state.entry)
        self._state = state

    def _change_record(self, changed: Record) -> None:
        record = self._record | changed
        self._version = self._objects.replace(RUN, _json(record), self._version)
        self._record = record

    def open_bodies(self) -> None:
        """Return None: the bodies are in the parts."""

    def new_part(self, extension: str) -> Path:
        """Return where to write the next part: on this disk, under a name that no other run uses."""
        if (state := self._state or self._scratch) is None:
            # Another machine has the run's state, and its ledger still counts.
            state = self._scratch = LocalState.begin(EXTRA)
        path = state.folder / f"part-{self._next:06}-{uuid4().hex[:8]}{extension}"
        self._next += 1
        return path

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Upload a part, and record it once it is there.

        Raises:
            SinkError: It could not be uploaded, or another run has taken over.
            JournalError: It could not be recorded, so it does not belong to the run.
        """
        self._lock.check()
        with self._failing_as(SinkError):
            committed = Committed.of_file(part, rows, done, failed)
            self._objects.upload(part.name, part)
        with self._failing_as(JournalError):
            self._commit_entry(committed.entry)
        self._parts += 1
        with suppress(OSError):
            part.unlink()

    def _commit_entry(self, entry: Record) -> None:
        text, _ = sealed(entry, self._next_entry)
        self._objects.create(_entry_name(self._run, self._next_entry), text + b"\n")
        self._next_entry += 1

    def end(self, format: Format) -> None:  # noqa: A002 - the public name
        """Record that the run is complete, and let other runs use the folder.

        Raises:
            SinkError: That could not be recorded.
        """
        del format
        if not self._record.get(ENDED):
            with self._failing_as(SinkError):
                self._change_record({ENDED: True})
        if self._state is not None:
            self._state.drop()
        self._let_go()

    def release(self) -> bool:
        """Let other runs use the folder. A run without commits and without a ledger is dropped.

        Returns:
            Whether it holds a run that can be resumed.
        """
        state = self._state
        is_empty = not self._parts and state is not None and not state.ledger.exists()
        if is_empty and state is not None:
            # Marked, not removed: only a write can depend on nobody else having written in between.
            with suppress(StoreError, ChangedError):
                self._change_record({DROPPED: True})
                state.drop()
        self._let_go()
        return not is_empty

    def _let_go(self) -> None:
        self._lock.release()
        if self._scratch is not None:
            self._scratch.drop()

    @contextmanager
    def _failing_as(self, kind: type[ConfigError | SinkError | JournalError]) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            words = error.strerror or str(error)
            raise kind(f"{self._objects.shown}: the local disk could not be used: {words}") from error
        except ChangedError as error:
            raise kind(f"{error}: another run is using {self._objects.shown}") from error
        except StoreError as error:
            raise kind(str(error)) from error


def read_record(objects: Objects) -> tuple[Record, Version] | None:
    """Return the record of the run in a folder, of any version, and its object's state; None: there is none.

    Raises:
        JournalError: The record is damaged.
        StoreError: The record could not be read.
    """
    found = objects.read(RUN)
    if found is None:
        return None
    try:
        record = json.loads(found.data)
    except ValueError as error:
        raise JournalError(f"{objects.shown}{RUN} is damaged: {error}") from error
    return (record if isinstance(record, dict) else {}), found.version


def answers_here(record: Record) -> LoggedRows:
    """Return the rows in the log of answers, if this machine has the state of the run.

    Raises:
        JournalError: The log cannot be read.
    """
    state = LocalState.of(record, EXTRA)
    return logged_rows(None if state is None else state.answers)


def read_journal(objects: Objects, run: str) -> list[Committed]:
    """Return the parts of a run, in the order in which they were committed.

    Raises:
        JournalError: An entry is gone or damaged.
        StoreError: An entry could not be read.
    """
    numbers = sorted(_numbers(objects, run))
    names = [_entry_name(run, number) for number in range(1, max(numbers, default=0) + 1)]
    committed = []
    for number, (name, found) in enumerate(zip(names, objects.read_all(names), strict=True), 1):
        if found is None:
            raise JournalError(f"{objects.shown}{name} is gone")
        try:
            entry, _ = unsealed(found.data.rstrip(b"\n"), number)
            if OPENED not in entry:
                committed.append(Committed.of(entry))
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(f"{objects.shown}{name} is damaged: {error} ({found.data!r:.200})") from error
    refuse_overlap(committed, f"the journal of {objects.shown}")
    return committed


def _numbers(objects: Objects, run: str) -> Iterator[int]:
    for name, _ in objects.names(f"{JOURNAL}/{run}"):
        stem = name.rpartition("/")[2].removesuffix(".json")
        if stem.isdecimal():
            yield int(stem)


def _entry_name(run: str, number: int) -> str:
    return f"{JOURNAL}/{run}/{number:06}.json"


def _json(value: Record) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
