"""One run at a time for one output: a lock that outlives nobody."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hurtle.errors import ConfigError

_DEAD = ("Z", "X")
"""States of a process that was killed and that nobody has asked about yet."""


class Lock:
    """A file that names its holder: process, when it began, and the boot of the machine.

    A holder that is gone, killed or from before a reboot, holds nothing.

    Args:
        path: The file.
        shown: What to call the output in messages; the lock's folder where nothing is said.
    """

    def __init__(self, path: Path, shown: str | None = None) -> None:
        self._path = path
        self._shown = shown or str(path.parent)
        self._half = f".{path.name}."
        self._held = False

    def take(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: A running process holds it.
        """
        with _one_at_a_time(self._path.parent) as alone:
            if alone:
                self._sweep()
            temporary = self._path.with_name(f"{self._half}{os.getpid()}.{os.urandom(4).hex()}.tmp")
            try:
                temporary.write_text(json.dumps(holder_of(os.getpid())), encoding="utf-8")
                self._remove_if_gone()
                os.link(temporary, self._path)
                self._held = True
            except FileExistsError as error:
                raise ConfigError(f"another run is using {self._shown}", option="out") from error
            finally:
                with suppress(OSError):
                    temporary.unlink()

    def _sweep(self) -> None:
        """Remove what runs left that were killed while they took the lock."""
        for path in self._path.parent.iterdir():
            if path.name.startswith(self._half) and path.name.endswith(".tmp"):
                path.unlink()

    def _remove_if_gone(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            holder = json.loads(text)
            pid = int(holder["pid"])
        except (ValueError, KeyError, TypeError):
            holder, pid = {}, 0
        if pid and holder_of(pid) == holder:
            raise ConfigError(
                f"another run (process {pid}) is using {self._shown}: wait for its end", option="out"
            )
        with suppress(FileNotFoundError):
            self._path.unlink()

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._held:
            self._held = False
            with suppress(OSError):
                self._path.unlink()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Keep others out, where the system can, while a holder is found gone and its lock removed.

    Of two runs that find the same holder gone, the slower one would remove the lock of the faster.

    Yields:
        Whether others are kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        alone = False
        with suppress(OSError):  # not every network file system has such locks
            fcntl.flock(fd, fcntl.LOCK_EX)
            alone = True
        yield alone
    finally:
        os.close(fd)


def holder_of(pid: int) -> dict[str, object]:
    """Describe a process so that no other one, now or after a reboot, is described the same."""
    return {"pid": pid, "began": _began(pid), "boot": _boot()}


def _began(pid: int) -> str | None:
    """Return when a process began, in the system's own units; None: there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if os.path.isdir("/proc/self") or not _is_alive(pid) else "unknown"  # noqa: PTH112
    # The second field is a name in parentheses, which may hold blanks. Source: proc_pid_stat(5).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _DEAD else fields[19]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
