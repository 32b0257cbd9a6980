"""A private PostgreSQL server: data in a temporary folder, a loopback port, an unprivileged user."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

START_SECONDS = 30.0
STOP_SECONDS = 20.0
USERS = ("postgres", "nobody")
"""The user for the server if the tests run as root, which PostgreSQL refuses."""


def find_postgres() -> Path | None:
    """Return the folder of the server's programs, from Debian's path or PATH; None: not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[4])
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return None if on_path is None else Path(on_path).parent


def _user() -> dict[str, Any]:
    """Return the arguments that make a child process of root run as another user."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("root may not run PostgreSQL, and there is no other user")


class Postgres:
    """One server; a context manager.

    Args:
        programs: The folder of `initdb` and `postgres`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="hurtle-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = count(1)
        self.password = secrets.token_hex(8)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def address(self) -> str:
        """Where it is, password included."""
        return f"postgresql://hurtle:{self.password}@127.0.0.1:{self.port}/postgres"

    def new_schema(self) -> str:
        """Create a schema, and return the address of a connection that uses it."""
        name = f"s{next(self._schemas)}"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.address}?options=-csearch_path%3D{name}"

    def __enter__(self) -> Self:
        """Create a data folder, start the server, and wait until it answers.

        Raises:
            RuntimeError: It ended or does not answer in time; with its own words.
        """
        try:
            self._initialise()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(self.password, encoding="ascii")
        if self._user:
            for path in (self._folder, password):
                os.chown(path, self._user["user"], self._user["group"])
        made = subprocess.run(
            [self._programs / "initdb", "--pgdata", self._folder / "data", "--username", "hurtle",
             "--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
             "--no-sync"],
            cwd=self._folder, capture_output=True, check=False, timeout=60, **self._user,
        )  # fmt: skip
        if made.returncode != 0:
            raise RuntimeError(f"initdb: {made.stderr.decode(errors='replace')}")

    def _start(self) -> None:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port),
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.address, connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    words = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {words}") from error
                time.sleep(0.02)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it and remove its folder."""
        self.stop()

    def stop(self) -> None:
        """End the process, by its id, and wait for it; harmless when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
