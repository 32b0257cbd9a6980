"""The folder of a run: what it is, what of it is done, and its parts."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.journal import Done, Journal, spans_of, sync_folder
from hurtle.sinks.base import Identity, Resume
from hurtle.sinks.lock import Lock

SCHEMA = 1
"""The version of run.json and the journal."""

RUN, JOURNAL, LOCK = "run.json", "journal.jsonl", "lock"
PART = "part-{number:06}{extension}"


class RunFolder:
    """Begins a run in a folder, goes on with one, and commits its parts.

    Args:
        path: The folder.
        format: What its parts are, by name.
        shown: What to call it in messages: the output as the caller wrote it.
    """

    def __init__(self, path: Path, format: str, shown: str) -> None:  # noqa: A002 - the public name
        self.path = path
        self._format = format
        self._shown = shown
        self._lock = Lock(path / LOCK)
        self._journal = Journal(path / JOURNAL)
        self._parts: list[str] = []
        self._next = 1

    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Make the folder, or find out what of its run is done.

        Raises:
            ConfigError: See `Sink.begin`.
            JournalError: The journal is damaged.
        """
        try:
            self._refuse_foreign_files()
            self.path.mkdir(parents=True, exist_ok=True)
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
        before = self._read_run()
        if before is not None and resume == "restart":
            self._clear()
            before = None
        if before is None:
            with suppress(FileNotFoundError):
                (self.path / JOURNAL).unlink()
            self._write_run(identity)
            return Done()
        self._compare(before, identity, resume)
        return self._recover()

    def _read_run(self) -> dict[str, object] | None:
        try:
            run = json.loads((self.path / RUN).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise JournalError(f"{self.path / RUN} is damaged: {error}") from error
        if not isinstance(run, dict) or run.get("schema") != SCHEMA:
            raise ConfigError(f"{self._shown} holds a run of another version of hurtle", option="out")
        return run

    def _write_run(self, identity: Identity) -> None:
        """Write what the run is, before the first request, so that it is there whole or not at all."""
        run = {"schema": SCHEMA, "format": self._format} | _as_json(identity)
        temporary = self.path / f".{RUN}.tmp"
        with temporary.open("wb") as file:
            file.write(json.dumps(run, indent=1, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / RUN)
        sync_folder(self.path)

    def _refuse_foreign_files(self) -> None:
        """Leave alone what is no run: a folder of somebody's files, in which nothing is written."""
        if not self.path.exists() or (self.path / RUN).exists():
            return
        for path in self.path.iterdir():
            if path.name not in (LOCK, JOURNAL) and not path.name.endswith(".tmp"):
                raise ConfigError(
                    f"{self._shown} is a folder with files of no run ({path.name}); name an empty one",
                    option="out",
                )

    def _compare(self, before: Mapping[str, object], identity: Identity, resume: Resume) -> None:
        hint = "--restart (resume='restart') begins again and drops it"
        if resume == "refuse":
            raise ConfigError(f"{self._shown} holds a run that has begun; {hint}", option="out")
        now = {"format": self._format} | _as_json(identity)
        if now["input"] is None and resume != "trust":
            raise ConfigError(
                f"{self._shown} holds a run, and this input can be read once only: nobody knows whether it is"
                f" the same; --resume (resume=True) goes on with it, {hint}",
                option="out",
            )
        if difference := _difference(before, now):
            raise ConfigError(f"{self._shown} holds another run: {difference}; {hint}", option="out")

    def _recover(self) -> Done:
        """Read the journal, and remove what it does not know: parts that a crash left between file and line."""
        done = Done()
        for entry in self._journal.read():
            name, size = str(entry["part"]), int(entry["bytes"])
            try:
                found = (self.path / name).stat().st_size
            except FileNotFoundError:
                raise JournalError(f"{self.path / name} is gone; the journal says it is there") from None
            if found != size:
                raise JournalError(f"{self.path / name} has {found} bytes, and the journal says {size}")
            self._parts.append(name)
            self._next = max(self._next, int(name.partition("-")[2].partition(".")[0]) + 1)
            for first, last in entry["done"]:
                for index in range(first, last + 1):
                    done.add(index)
        known = {RUN, JOURNAL, LOCK, *self._parts}
        for path in self.path.iterdir():
            if path.name not in known:
                path.unlink()
        return done

    def _clear(self) -> None:
        """Drop the run. Its description goes first: what is left without it is no run."""
        (self.path / RUN).unlink()
        sync_folder(self.path)
        for path in self.path.iterdir():
            if path.name != LOCK:
                path.unlink()

    def new_part(self, extension: str) -> Path:
        """Return the path of the next part; nothing is there yet."""
        path = self.path / PART.format(number=self._next, extension=extension)
        self._next += 1
        return path

    def commit(self, part: Path, rows: int, done: Iterable[int]) -> None:
        """Record a part that is in its place.

        Raises:
            JournalError: It could not be recorded: the part is not part of the run.
            SinkError: The part cannot be read back.
        """
        try:
            with part.open("rb") as file:
                digest = _sha256(file.fileno())
            size = part.stat().st_size
        except OSError as error:
            raise SinkError(f"{part} cannot be read back: {error.strerror or error}") from error
        self._journal.append(
            {"part": part.name, "rows": rows, "bytes": size, "sha256": digest, "done": spans_of(done)}
        )
        self._parts.append(part.name)

    def parts(self) -> list[Path]:
        """Return the committed parts, in order."""
        return [self.path / name for name in self._parts]

    def end(self) -> None:
        """Let others use the folder of a run that is complete."""
        self._journal.close()
        self._lock.release()

    def release(self) -> bool:
        """Let others use the folder. One in which nothing is committed is removed.

        Returns:
            Whether a run is in it that can be gone on with.
        """
        self._journal.close()
        if not self._parts:
            self.remove()
            return False
        self._lock.release()
        return True

    def remove(self) -> None:
        """Drop the whole folder, of which everything is somewhere else now."""
        self._journal.close()
        with suppress(OSError):
            (self.path / RUN).unlink()
            sync_folder(self.path)
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _as_json(identity: Identity) -> dict[str, object]:
    """Return it as it comes back from JSON, so that it can be compared."""
    text = json.dumps({"input": identity.input, "options": identity.options}, sort_keys=True)
    value: dict[str, object] = json.loads(text)
    return value


def _difference(before: Mapping[str, object], now: Mapping[str, object]) -> str | None:
    """Say in words how two runs differ; None: they do not."""
    if before.get("format") != now["format"]:
        return f"it writes {before.get('format')}, this one {now['format']}"
    if now["input"] is not None and before.get("input") != now["input"]:
        return f"its input is not the same ({_words(before.get('input'))}; now {_words(now['input'])})"
    then, current = before.get("options"), now["options"]
    assert isinstance(then, dict)
    assert isinstance(current, dict)
    for name in sorted(then.keys() | current.keys()):
        if then.get(name) != current.get(name):
            return f"{name} was {then.get(name)!r} and is now {current.get(name)!r}"
    return None


def _words(value: object) -> str:
    if not isinstance(value, Mapping):
        return "unknown"
    return ", ".join(f"{name} {str(part)[:12]}" for name, part in value.items())


def _sha256(fd: int) -> str:
    digest = sha256()
    while block := os.read(fd, 1 << 20):
        digest.update(block)
    return digest.hexdigest()
