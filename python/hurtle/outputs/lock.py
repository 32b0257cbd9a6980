"""One run at a time for each output: a lock that ends with its process."""

import json
import os
import sys
from contextlib import suppress
from errno import EACCES, EAGAIN
from pathlib import Path
from socket import gethostname

from hurtle.errors import ConfigError

_FLAGS = (
    os.O_RDWR | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip

_TEXT_BYTES = 4096


class Lock:
    """A file that the kernel locks for its holder, and unlocks when that process is gone, however it ended.

    It works between containers, and between machines if their file system's locks do. Its text names the
    holder, and is for messages only.

    Args:
        path: The file.
        shown: What to call the output in messages; None: the lock's folder.
    """

    def __init__(self, path: Path, shown: str | None = None) -> None:
        self._path = path
        self._shown = shown or str(path.parent)
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: Another run holds it, or the file system does not support locks.
            OSError: The file cannot be written.
        """
        while (fd := self._opened()) is None:
            pass
        self._fd = fd
        _HELD.add(self)
        try:
            os.ftruncate(fd, 0)
            os.write(fd, json.dumps({"pid": os.getpid(), "host": gethostname()}).encode())
        except OSError:
            self.release()
            raise

    def _opened(self) -> int | None:
        """Open the file and lock it; None: its holder has just removed it, and the name is free."""
        fd = os.open(self._path, _FLAGS, 0o666)
        try:
            self._lock(fd)
            if os.path.samestat(os.fstat(fd), self._path.lstat()):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _lock(self, fd: int) -> None:
        try:
            _lock_file(fd)
        except OSError as error:
            if error.errno in (EAGAIN, EACCES):
                raise ConfigError(
                    f"another run{_holder_in(fd)} is using {self._shown}: wait until it ends", option="out"
                ) from error
            raise ConfigError(
                f"{self._shown} cannot be locked against other runs: {error.strerror or error}; name an"
                " output on a file system that supports locks",
                option="out",
            ) from error

    def release(self) -> None:
        """Release the lock. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        _HELD.discard(self)
        if sys.platform == "win32":
            os.close(fd)  # an open file cannot be removed, which also protects the lock of the next holder
        with suppress(OSError):
            self._path.unlink()
        if sys.platform != "win32":
            os.close(fd)

    def forget(self) -> None:
        """Let go in a child: what it shares with the holder would outlive that one."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


_HELD: set[Lock] = set()
"""The locks of this process. Changed only under the GIL; a child of fork empties its copy."""


def _forget_all() -> None:
    while _HELD:
        _HELD.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _holder_in(fd: int) -> str:
    """Name the process that wrote a lock, for a message; empty if the lock cannot be read."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        holder = json.loads(os.read(fd, _TEXT_BYTES))
        pid, host = int(holder["pid"]), str(holder["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" (process {pid})" if host == gethostname() else f" (process {pid} on {host})"


if sys.platform == "win32":
    import msvcrt

    _BEHIND_THE_TEXT = 1 << 30
    """Past the text: no other process can read a locked byte."""

    def _lock_file(fd: int) -> None:
        os.lseek(fd, _BEHIND_THE_TEXT, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock_file(fd: int) -> None:
        # Not lockf: it would let the same process in twice, and would unlock when any of its files is closed.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
