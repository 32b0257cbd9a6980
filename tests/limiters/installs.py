"""How limiters get onto this machine, at pinned versions, and how a server file is started with one.

Everything goes into one private folder. An installation is done again only when its list of versions changes.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from tests.limiters.ideal import Quota

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent / "servers"
PLACE = ROOT / ".limiters"
INSTALL_TIMEOUT_S = 1_200.0


class MissingError(Exception):
    """A limiter cannot be had on this machine; says why."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a server is started with.

    Attributes:
        port: Where it has to listen, on 127.0.0.1.
        quota: What it has to grant.
        variant: Which of its forms, in the server file's own words.
        folder: An empty folder for whatever it writes.
    """

    port: int
    quota: Quota
    variant: str
    folder: Path

    @property
    def words(self) -> list[str]:
        """The arguments that every server file takes: PORT LIMIT WINDOW_S VARIANT."""
        return [str(self.port), str(self.quota.limit), str(self.quota.window_s), self.variant]


class Kit(Protocol):
    """One way to install packages and to start servers."""

    def install(self, server: str) -> None:
        """Install what a server file needs; nothing where it is there.

        Raises:
            MissingError: It cannot be had here.
        """

    def command(self, server: str, start: Start) -> list[str]:
        """Return the command line of a server."""

    def version(self, package: str) -> str:
        """Return the version that is installed."""


def run(*words: str | Path, cwd: Path = ROOT, settings: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints.

    Raises:
        MissingError: Its program is not there, or it failed; with the last of its own words.
    """
    command = [str(word) for word in words]
    if shutil.which(command[0]) is None:
        raise MissingError(f"{command[0]} is not on this machine")
    try:
        return subprocess.run(
            command, cwd=cwd, env=os.environ | (settings or {}), check=True, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_TIMEOUT_S,
        ).stdout  # fmt: skip
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip())[-300:]
        raise MissingError(f"{' '.join(command[:3])} failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{' '.join(command[:3])} took longer than {INSTALL_TIMEOUT_S:.0f} s") from error


@dataclass(frozen=True, slots=True)
class Stamp:
    """Remembers which files an installation was made from."""

    folder: Path
    sources: tuple[Path, ...]

    def _digest(self) -> str:
        return sha256(b"\0".join(source.read_bytes() for source in self.sources)).hexdigest()

    def is_current(self) -> bool:
        path = self.folder / ".installed"
        return path.exists() and path.read_text(encoding="ascii") == self._digest()

    def set(self) -> None:
        (self.folder / ".installed").write_text(self._digest(), encoding="ascii")


class Node:
    """npm packages, all of them in one folder."""

    _folder = PLACE / "node"

    def install(self, server: str) -> None:
        sources = tuple(SERVERS / name for name in ("package.json", "package-lock.json", ".npmrc"))
        stamp = Stamp(self._folder, sources)
        if not stamp.is_current():
            self._folder.mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copy(source, self._folder)
            run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=self._folder)
            stamp.set()
        shutil.copy(SERVERS / server, self._folder)  # a module finds packages above itself only

    def command(self, server: str, start: Start) -> list[str]:
        return ["node", str(self._folder / server), *start.words]

    def version(self, package: str) -> str:
        manifest = self._folder / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"])


@dataclass(frozen=True, slots=True)
class Python:
    """A virtual environment.

    Attributes:
        requirements: Its list of versions, without the ending.
    """

    requirements: str

    @property
    def _folder(self) -> Path:
        return PLACE / self.requirements

    def install(self, server: str) -> None:
        versions = SERVERS / f"{self.requirements}.lock"
        stamp = Stamp(self._folder, (versions,))
        if not stamp.is_current():
            run(sys.executable, "-m", "venv", "--clear", self._folder)
            run(self._folder / "bin/python", "-m", "pip", "install", "--quiet", "--requirement", versions)
            stamp.set()

    def command(self, server: str, start: Start) -> list[str]:
        return [str(self._folder / "bin/python"), str(SERVERS / server), *start.words]

    def version(self, package: str) -> str:
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        return run(self._folder / "bin/python", "-c", ask).strip()
