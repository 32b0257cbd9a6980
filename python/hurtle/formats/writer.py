"""Writes one file: open, write batches, and close, which makes the complete file appear under its name."""

import os
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hurtle.disk import put_in_place
from hurtle.errors import ConfigError, SinkError
from hurtle.rows import Rows
from hurtle.stops import stops_held


class Writer(ABC):
    """Writes rows of the result table to one file: `open`, then `write` for each batch, then `close`.

    `abort` instead of `close` leaves nothing behind. A file appears under its name only when it is complete:
    after a write that failed or was interrupted half-way, `close` aborts and raises. Not thread-safe.
    """

    @abstractmethod
    def open(self) -> None:
        """Prepare to write.

        Raises:
            ConfigError: The output cannot be written there.
            MissingExtraError: The format needs an optional package.
        """

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Take rows.

        Raises:
            SinkError: The disk is full, or the output no longer exists.
        """

    @abstractmethod
    def flush(self) -> None:
        """Pass what is held in memory to the operating system, if the format allows that."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left and put the output in place. Idempotent.

        Raises:
            SinkError: The output could not be completed, or an earlier write was interrupted or failed;
                nothing is left behind.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop the output, except for what stdout or a pipe already has. Never raises. Idempotent."""


def refuse_unwritable(path: Path) -> None:
    """Check, before the first request, that a file can be put in place.

    Raises:
        ConfigError: Its folder does not exist or is not writable, or the file must not be replaced.
    """
    parent = path.parent
    if not parent.is_dir():
        raise ConfigError(f"{path} cannot be written: No such file or directory", option="out")
    for name in (parent, path):
        if name.exists() and not os.access(name, os.W_OK):
            raise ConfigError(f"{path} cannot be written: Permission denied", option="out")


class OutputFile:
    """A file that appears under its name when it is complete; stdout and devices are written to directly.

    Args:
        path: The final name; "-" is stdout. A symbolic link is followed, so that it stays a link.
    """

    def __init__(self, path: str) -> None:
        self.shown = "stdout" if path == "-" else path
        self._final = None if path == "-" else Path(path).resolve()
        self._temporary: Path | None = None
        self._file: IO[bytes] | None = None

    @property
    def appears_at_the_end(self) -> bool:
        """Whether it is a file that appears only when it is closed, not stdout, a pipe or a device."""
        return self._temporary is not None

    def open(self) -> IO[bytes]:
        """Open for writing, under a temporary name in the same folder: the rename at the end is then atomic.

        Raises:
            ConfigError: The output cannot be written there.
        """
        try:
            self._file = self._opened()
        except OSError as error:
            raise ConfigError(
                f"{self.shown} cannot be written: {error.strerror or error}", option="out"
            ) from error
        return self._file

    def _opened(self) -> IO[bytes]:
        if self._final is None:
            if sys.stdout is None:
                raise ConfigError("stdout is closed; name a file", option="out")
            return sys.stdout.buffer
        if self._final.is_dir():
            raise ConfigError(f"{self.shown} is a folder; name a file in it", option="out")
        if self._final.exists() and not stat.S_ISREG(self._final.stat().st_mode):
            return self._final.open("wb")  # a device or a pipe: a rename would replace it with a file
        if self._final.exists() and not os.access(self._final, os.W_OK):
            raise PermissionError(None, "Permission denied")
        # Each writer has its own name, never an existing one: two runs to one output do not collide.
        temporary = self._final.with_name(f".{self._final.name[:40]}.{os.urandom(8).hex()}.tmp")
        with stops_held():
            self._file = temporary.open("xb")
            self._temporary = temporary
        return self._file

    @contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """Write a whole file: at the end of the `with` it is in place, or dropped.

        Raises:
            ConfigError: The output cannot be written there.
            SinkError: The file could not be written.
        """
        file = self.open()
        try:
            yield file
        except OSError as error:
            self.abort()
            raise self.failure(error) from error
        except BaseException:
            self.abort()
            raise
        self.close()

    def close(self) -> None:
        """Complete the file: flush, fsync, and rename to the final name. Idempotent.

        Raises:
            SinkError: One of these failed; the file is dropped.
        """
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self._temporary is not None and self._final is not None:
                put_in_place(file, self._temporary, self._final)
                self._temporary = None
            elif self._final is not None:
                file.close()
            else:
                file.flush()
        except OSError as error:
            self._drop(file)
            raise self.failure(error) from error

    def abort(self) -> None:
        """Drop the file. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            with stops_held():
                self._drop(file)

    def _drop(self, file: IO[bytes]) -> None:
        if self._final is not None:
            with suppress(OSError):
                file.close()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()
            self._temporary = None

    def broken_off(self) -> SinkError:
        """Return the error for an output that a write left incomplete; it is dropped."""
        return SinkError(f"{self.shown} was not written: an earlier write was interrupted or failed")

    def failure(self, error: OSError) -> SinkError:
        """Return the error for an output that failed while it was written."""
        return SinkError(f"{self.shown} could not be written: {error.strerror or error}")
