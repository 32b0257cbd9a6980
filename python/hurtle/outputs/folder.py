"""The folder of a run: what it is, what of it is done, and its parts."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path

from hurtle.disk import replace_file, sync_folder
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats import FORMATS, Format
from hurtle.formats.bodies import recover, remove_bodies, settle
from hurtle.formats.writer import refuse_unwritable
from hurtle.outputs.journal import Committed, Journal
from hurtle.outputs.lock import Lock
from hurtle.outputs.record import (
    ENDED,
    Identity,
    OtherVersionError,
    Record,
    Resume,
    difference,
    gone_on_with,
    is_record,
    record_of,
    refuse_another,
    refuse_other_version,
)
from hurtle.positions import Done, Span, spans_of

RUN, JOURNAL, LOCK, LEDGER = "run.json", "journal.jsonl", "lock", "ledger"
RETRIES = "retries.jsonl"
"""The journal of a run's retries: what each asks for again, and whether it has ended."""
PART = "part-{number:06}{extension}"
DROPPED = ".run.json.dropped"
"""What run.json is called while a run is dropped: after a crash in between, it says whose the rest is."""
FILE = "file"
"""The key of run.json for the one file that has every row: its size and time, and its positions as of a part.

Written before the file goes to its place, gone with the folder: in between, a crash makes nobody ask again.
"""
JOINED = ".joined.tmp"
"""The one file of a run, until it goes to its place."""

RETRIED = "retried"
"""The key of run.json that makes it the retry of a file: that file's size and hash."""

_PART = re.compile(r"part-(\d{6,})")
_OF_A_RUN = re.compile(r"part-\d{6,}(\.\w+)+|" + "|".join(map(re.escape, (JOURNAL, RETRIES, LEDGER))))


class RunFolder:
    """Begins a run in a folder, goes on with one, and commits its parts.

    Args:
        path: The folder.
        format: What its parts are, by name.
        shown: What to call it in messages: the output as the caller wrote it.
        final: The one file that the parts become at the end, where one file was asked for.
    """

    def __init__(
        self,
        path: Path,
        format: str,  # noqa: A002 - the public name
        shown: str,
        final: Path | None = None,
    ) -> None:
        self.path = path
        self.ledger = path / LEDGER
        self._format = format
        self._shown = shown
        self._bodies = _bodies_of(path, format)
        self._final = final
        self._lock = Lock(path / LOCK)
        self._journal = Journal(path / JOURNAL)
        self._record: Record = {}
        self._parts: list[str] = []
        self._sums: dict[str, str] = {}
        self._end = 0
        self._failed: list[Span] = []
        self._next = 1
        self._is_published = False

    @property
    def ledger_elsewhere(self) -> str | None:
        """None: the ledger is in the folder."""
        return None

    def take_ledger(self) -> None:
        """Do nothing: the ledger is here."""

    @property
    def whereabouts(self) -> str:
        """What to call it in hints."""
        return str(self.path)

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Make the folder, or find out what of its run is done.

        Raises:
            ConfigError: See `Sink.begin`.
            JournalError: The journal is damaged.
        """
        if self._final is not None:
            refuse_unwritable(self._final)
        try:
            self._refuse_foreign_files()
            _make_folder(self.path)
            self._lock.take()
        except OSError as error:
            raise ConfigError(
                f"{self._shown} cannot be written: {error.strerror or error}", option="out"
            ) from error
        try:
            return self._begin(identity, resume)
        except OSError as error:
            self._lock.release()
            raise ConfigError(
                f"{self._shown} cannot be written: {error.strerror or error}", option="out"
            ) from error
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, identity: Identity, resume: Resume) -> Done:
        now = record_of(identity, self._format)
        try:
            before = self._read_run()
        except OtherVersionError:
            if resume != "restart":
                raise
            before = None
        if before is None or resume == "restart" or self._is_over(before, now):
            self._drop()
            self._write_run(now)
            return Done()
        if RETRIED in before:
            raise ConfigError(
                f"a retry of {self._shown} has not ended: hurtle retry goes on with it; --restart"
                " (restart=True) drops it",
                option="out",
            )
        self._record = before
        refuse_another(before, now, resume, self._shown)
        if (file := self._published(before)) is None:
            done = self._recover()
            changed = gone_on_with(before, now, done, resume, self._shown, is_retried=self._is_retried())
            if changed:
                self._write_run(before | changed)
            return done
        self._is_published = True
        return file

    def _is_retried(self) -> bool:
        """Whether a retry of the run has begun and not ended."""
        retries = Journal(self.path / RETRIES).read()
        return bool(retries) and "ended" not in retries[-1]

    def _is_over(self, before: Record, now: Record) -> bool:
        """Whether a run had become its file, and is none to go on with: another one, or its file is gone."""
        if FILE not in before:
            return False
        if self._published(before) is None:
            # The journal goes first: while it is there, every part is, and the file was not in its place yet.
            return not (self.path / JOURNAL).exists()
        return difference(before, now) is not None

    def _published(self, record: Record) -> Done | None:
        """Return the positions in the one file that a run has become; None: that is not in its place."""
        file = record.get(FILE)
        if self._final is None or not isinstance(file, dict):
            return None
        with suppress(FileNotFoundError):
            if file | _marks_of(self._final) == file:
                done = Done()
                done.add_spans(file["done"], file["failed"])
                return done
        return None

    def _read_run(self) -> Record | None:
        try:
            run = json.loads((self.path / RUN).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise JournalError(f"{self.path / RUN} is damaged: {error}") from error
        return refuse_other_version(run, self._shown)

    def _write_run(self, record: Record) -> None:
        """Write what the run is, before the first request, so that it is there whole or not at all."""
        replace_file(self.path / RUN, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
        self._record = record

    def _refuse_foreign_files(self) -> None:
        """Leave alone what is no run: a folder of somebody's files, in which nothing is written."""
        if not self.path.exists() or (self.path / RUN).exists() or self._is_dropped():
            return
        for path in self.path.iterdir():
            if path.name != LOCK and not _is_temporary(path.name):
                raise ConfigError(
                    f"{self._shown} is a folder with files of no run ({path.name}); name an empty one",
                    option="out",
                )

    def _is_dropped(self) -> bool:
        """Whether a crash came while a run was dropped: then the rest is of no use to anybody."""
        with suppress(OSError, ValueError):
            return is_record(json.loads((self.path / DROPPED).read_bytes()))
        return False

    def _recover(self) -> Done:
        """Read the journal, and remove what a crash left between a part's file and its line."""
        done = Done()
        for part in self._journal.parts():
            self._check_part(part)
            self._sums[part.name] = part.sha256
            self._add(part)
            done.add_spans(part.done, part.failed)
        numbers = (found[1] for name in self._parts if (found := _PART.match(name)))
        self._next = max(map(int, numbers), default=0) + 1
        self._sweep({JOURNAL, RETRIES, LEDGER, *self._parts})
        if self._bodies is not None:
            recover(self._bodies, self._parts)
        return done

    def _add(self, part: Committed) -> None:
        self._parts.append(part.name)
        self._end = max(self._end, part.done[-1][1] + 1 if part.done else 0)
        self._failed += part.failed

    def _check_part(self, part: Committed) -> None:
        path = self.path / part.name
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise JournalError(f"{path} is gone; the journal says it is there") from None
        if found != part.size:
            raise JournalError(f"{path} has {found} bytes, and the journal says {part.size}")

    def _drop(self) -> None:
        """Drop the run, if there is one, or what a crash left of one that was being dropped."""
        dropped = self.path / DROPPED
        with suppress(FileNotFoundError):
            (self.path / RUN).replace(dropped)
            sync_folder(self.path)
        self._sweep(set())
        if (bodies := _bodies_of(self.path, _format_in(dropped))) is not None:
            remove_bodies(bodies)
        dropped.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove a run that has become its file; what says so goes last."""
        (self.path / JOURNAL).unlink(missing_ok=True)
        self._sweep(set())
        sync_folder(self.path)
        (self.path / RUN).unlink()

    def _sweep(self, keep: set[str]) -> None:
        """Remove what runs make and leave; files that somebody else put here are theirs."""
        for path in self.path.iterdir():
            if path.name not in keep and (_is_temporary(path.name) or _OF_A_RUN.fullmatch(path.name)):
                path.unlink(missing_ok=True)

    def new_part(self, extension: str) -> Path:
        """Return the path of the next part; nothing is there yet."""
        path = self.path / PART.format(number=self._next, extension=extension)
        self._next += 1
        return path

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Record a part that is in its place.

        Raises:
            JournalError: It could not be recorded: the part is not part of the run.
            SinkError: The part cannot be read back, or the run had every row before.
        """
        if self._is_published:
            raise SinkError(
                f"{self._shown} is complete, and its input has more rows now; --restart begins again"
            )
        try:
            with part.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            size = part.stat().st_size
        except OSError as error:
            raise SinkError(f"{part} cannot be read back: {error.strerror or error}") from error
        spans = tuple(spans_of(done)), tuple(spans_of(failed))
        committed = Committed(part.name, rows, size, digest, *spans)
        self._journal.append(committed.entry)
        self._add(committed)
        if self._bodies is not None:
            settle(self._bodies)

    def end(self, format: Format) -> None:  # noqa: A002 - the public name
        """Make the one file, where that was asked for; else record that the run is complete.

        Raises:
            SinkError: It could not be written.
        """
        if self._final is None:
            self.record_end()
            return
        if self._is_published:
            self.remove()
            return
        self._verify_parts()
        # Here, where the next run finds what a crash leaves.
        joined = self.path / JOINED
        format.join([self.path / name for name in self._parts], str(joined))
        self.publish(joined, self._final)

    def _verify_parts(self) -> None:
        """Find out whether parts of earlier runs are what they were; those of this one were read back.

        Raises:
            JournalError: One is not; all of them stay.
        """
        for name, expected in self._sums.items():
            path = self.path / name
            try:
                with path.open("rb") as file:
                    found = file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
            if found != expected:
                raise JournalError(f"{path} is damaged: it is not what was committed")

    def publish(self, joined: Path, final: Path) -> None:
        """Put the one file in its place, and drop the folder, of which everything is there now.

        Raises:
            SinkError: It could not be put there.
        """
        try:
            if RETRIED not in self._record:
                self._write_run(self._record | {FILE: _marks_of(joined) | self._positions()})
            joined.replace(final)
            sync_folder(final.parent)
        except OSError as error:
            raise SinkError(f"{self._shown} could not be written: {error.strerror or error}") from error
        self.remove()

    def _positions(self) -> dict[str, object]:
        """Return the positions of a run that has every row, as the journal has those of a part."""
        return {"done": [(0, self._end - 1)], "failed": self._failed}

    def record_end(self) -> None:
        """Record that the run is complete, and let others use the folder.

        Raises:
            SinkError: It could not be recorded.
        """
        self._journal.close()
        if not self._record.get(ENDED):
            try:
                self._write_run(self._record | {ENDED: True})
            except OSError as error:
                raise SinkError(f"{self._shown} could not be written: {error.strerror or error}") from error
            self._forget_noted()  # what is noted in a run that had ended before is a retry's
        self._lock.release()

    def _forget_noted(self) -> None:
        """Drop the ledger: every request that it notes has its row."""
        with suppress(OSError):
            self.ledger.unlink()

    def release(self) -> bool:
        """Let others use the folder. One in which nothing is committed or noted is removed.

        Returns:
            Whether a run is in it that can be gone on with.
        """
        self._journal.close()
        if not self._parts and not self.ledger.exists() and FILE not in self._record:
            self.remove()
            return False
        self._lock.release()
        return True

    def remove(self) -> None:
        """Drop the run and its folder. What cannot be removed is removed by the next run."""
        self._journal.close()
        with suppress(OSError):
            if FILE in self._record:
                self._clear()
            else:
                self._drop()
        # Last: whoever takes the lock next must not lose what it writes.
        self._lock.release()
        with suppress(OSError):
            self.path.rmdir()


def _bodies_of(folder: Path, format: str) -> Path | None:  # noqa: A002 - the public name
    """Return where the bodies are that parts of a format name; None: it has none apart."""
    beside = FORMATS[format].beside if format in FORMATS else None
    return None if beside is None else folder / beside


def _format_in(record: Path) -> str:
    """Return the format of a run that is dropped; empty where nobody knows it."""
    with suppress(FileNotFoundError, ValueError, AttributeError):
        return str(json.loads(record.read_bytes()).get("format"))
    return ""


def _make_folder(folder: Path) -> None:
    """Make a folder, and its name and those of the folders around it durable where they are new."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    # Its own also where it is there: who made it may have been killed before it could do this.
    for one in missing or [folder]:
        with suppress(PermissionError):  # one may be made where nothing may be read
            sync_folder(one.parent)


def _marks_of(file: Path) -> dict[str, object]:
    """Return what tells one file from another and stays when it is renamed."""
    found = file.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
