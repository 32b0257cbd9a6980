"""One run at a time for each folder of an object store: a lock with a sign of life.

A courtesy, not the safeguard: a holder that sleeps for long may lose its lock and notice that late. What is
committed never depends on it; see `hurtle.outputs.remote`.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from socket import gethostname
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from hurtle.errors import ConfigError, SinkError
from hurtle.outputs.objects import ChangedError, Found, Objects, StoreError, Version

LOCK = "lock"

BEAT_SECONDS = 20.0
"""How often a holder rewrites its lock."""

STALE_SECONDS = 180.0
"""A lock that was not rewritten for this long no longer counts."""

JOIN_SECONDS = 5.0

UNKNOWN = "unknown"

_DEAD = ("Z", "X")
"""States of a process that was killed and that its parent has not waited for yet."""


class RemoteLock:
    """An object that names its holder, which rewrites it as long as it lives.

    A holder on this machine is looked up among the processes; of a holder on another machine only the sign of
    life is known.

    Args:
        objects: The folder.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._token = uuid4().hex
        self._beats = 0
        self._version: Version = {}
        self._seen = 0.0
        self._lost = False
        self._ended = Event()
        self._thread: Thread | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            ConfigError: Another run holds it.
            StoreError: The lock could not be written.
        """
        found = self._objects.read(LOCK)
        try:
            if found is None:
                self._version = self._objects.create(LOCK, self._said())
            else:
                self._refuse_alive(found)
                self._version = self._objects.replace(LOCK, self._said(), found.version)
        except ChangedError as error:
            raise ConfigError(f"another run is using {self._objects.shown}", option="out") from error
        self._seen = monotonic()
        self._thread = Thread(target=self._keep, name="hurtle-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check that the lock is still ours, as far as that is known here.

        Raises:
            SinkError: Another run has taken it.
        """
        if self._lost:
            raise SinkError(
                f"another run has taken over {self._objects.shown}: this one gave no sign of life for too"
                " long"
            )

    def release(self) -> None:
        """Release the lock. Never raises. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ended.set()
        thread.join(JOIN_SECONDS)
        # Removed only if no other run can have it yet; otherwise it is left to expire.
        is_ours = not self._lost and not thread.is_alive() and monotonic() - self._seen < STALE_SECONDS / 2
        if is_ours:
            with suppress(StoreError):
                self._objects.delete([LOCK])

    def _said(self) -> bytes:
        holder = _here() | _process(os.getpid())
        return json.dumps(holder | {"token": self._token, "beat": self._beats}).encode()

    def _keep(self) -> None:
        while not self._lost and not self._ended.wait(BEAT_SECONDS):
            # If it fails once, it may succeed the next time.
            with suppress(StoreError):
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        began = monotonic()
        try:
            self._version = self._objects.replace(LOCK, self._said(), self._version)
        except ChangedError:
            found = self._objects.read(LOCK)
            # An earlier write of ours may have succeeded although its answer was lost.
            if found is None or _holder_in(found).get("token") != self._token:
                self._lost = True
                return
            self._version = found.version
        self._seen = began

    def _refuse_alive(self, found: Found) -> None:
        holder = _holder_in(found)
        if not holder:
            return
        here = _here() | {"boot": _process(os.getpid())["boot"]}
        if UNKNOWN not in here.values() and all(holder.get(name) == here[name] for name in ("boot", "space")):
            now = _process(holder["pid"])
            if any(holder.get(name) != value for name, value in now.items()):
                return
        elif (self._objects.now() - found.modified).total_seconds() > STALE_SECONDS:
            return
        shown = self._objects.shown
        raise ConfigError(
            f"another run (process {holder['pid']} on {holder.get('host')}) is using {shown}: wait until it"
            f" ends. If it is gone, delete {shown}{LOCK}, or wait: the lock expires"
            f" {STALE_SECONDS / 60:.0f} minutes after its last sign of life",
            option="out",
        )


def _here() -> dict[str, object]:
    """Describe where process numbers mean the same: each container on a machine has its own numbers."""
    space = UNKNOWN
    with suppress(OSError, AttributeError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path, but a name such as pid:[4026531836]
    return {"host": gethostname(), "space": space}


def _process(pid: int) -> dict[str, object]:
    """Describe a process so that no other process, now or after a reboot, has the same description."""
    return {"pid": pid, "began": _began(pid), "boot": _boot()}


def _began(pid: int) -> str | None:
    """Return when a process started, in the system's own units; None: there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if os.path.isdir("/proc/self") or not _is_alive(pid) else UNKNOWN  # noqa: PTH112
    # The second field is a name in parentheses, which may contain spaces. Source: proc_pid_stat(5).
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
        return UNKNOWN


def _holder_in(found: Found) -> dict[str, Any]:
    """Return the content of a lock; empty if it is not a lock."""
    try:
        holder: dict[str, Any] = json.loads(found.data)
        return holder | {"pid": int(holder["pid"])}
    except (ValueError, KeyError, TypeError):
        return {}
