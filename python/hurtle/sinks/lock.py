"""One run at a time for one output: a lock that outlives nobody."""

import json
import os
from contextlib import suppress
from pathlib import Path

from hurtle.errors import ConfigError


class Lock:
    """A file that names its holder: process, when it began, and the boot of the machine.

    A holder that is gone, killed or from before a reboot, holds nothing.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = False

    def take(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: A running process holds it.
        """
        temporary = self._path.with_name(f".lock.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        temporary.write_text(json.dumps(_holder(os.getpid())), encoding="utf-8")
        try:
            # Twice: the holder that was found gone may have been followed by another run in the meantime.
            for _ in range(2):
                try:
                    os.link(temporary, self._path)
                except FileExistsError:
                    self._remove_if_gone()
                else:
                    self._held = True
                    return
            raise ConfigError(f"another run is using {self._path.parent}", option="out")
        finally:
            temporary.unlink()

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
        if pid and _holder(pid) == holder:
            raise ConfigError(
                f"another run (process {pid}) is using {self._path.parent}: wait for its end", option="out"
            )
        with suppress(FileNotFoundError):
            self._path.unlink()

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._held:
            self._held = False
            with suppress(OSError):
                self._path.unlink()


def _holder(pid: int) -> dict[str, object]:
    """Describe a process so that no other one, now or after a reboot, is described the same."""
    return {"pid": pid, "began": _began(pid), "boot": _boot()}


def _began(pid: int) -> str | None:
    """Return when a process began, in the system's own units; None: there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if os.path.isdir("/proc/self") or not _is_alive(pid) else "unknown"  # noqa: PTH112
    # The second field is a name in parentheses, which may hold blanks. Source: proc_pid_stat(5).
    return stat.rpartition(")")[2].split()[19]


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
