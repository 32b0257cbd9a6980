"""Find what contestants need on this machine: interpreters, their packages, executables."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hurtle.race.method import Method

HERE = Path(__file__).parent
PROBE_SECONDS = 20.0
PACKAGES = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions() if d.name}))"
)
REPLACES_URLLIB3 = "urllib3-future"
"""niquests installs it under the name of urllib3, which would change `requests` in the same environment."""


@dataclass(frozen=True, slots=True)
class Found:
    """How to start a contestant on this machine."""

    command: tuple[str, ...]
    versions: Mapping[str, str]
    """Versions of the interpreter and the packages, by name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables to set for it."""
    tool: str | None = None
    """The executable that a native contestant runs."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a contestant cannot run here."""

    what: str
    install: str

    def __str__(self) -> str:
        return f"{self.what} not found ({self.install})"


class Toolbox:
    """Looks for what contestants need: first in a folder, then on the PATH and in this Python.

    Args:
        folder: The folder that `make race` fills: `python` and `niquests` are virtual environments,
            `node/node_modules` holds npm packages, and `bin` executables. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._pythons: dict[str, dict[str, str]] | None = None

    def find(self, method: Method) -> Found | Missing:
        """Return how to start a contestant, or what is missing."""
        if method.runtime == "node":
            return self._find_node(method)
        if method.runtime == "native":
            return self._find_native(method)
        return self._find_python(method)

    def _find_python(self, method: Method) -> Found | Missing:
        missing = method.needs
        for interpreter, packages in self._interpreters().items():
            lacking = tuple(name for name in method.needs if name not in packages)
            replaced = REPLACES_URLLIB3 in packages and "requests" in method.needs
            if not lacking and not replaced:
                versions = {name: packages[name] for name in method.needs} | {"python": packages["python"]}
                return Found((interpreter, "-P", str(HERE / "launch.py"), str(method.path)), versions)
            missing = min(missing, lacking or missing, key=len)
        return Missing(" and ".join(missing), f"{method.install}, or make race")

    def _interpreters(self) -> dict[str, dict[str, str]]:
        """Return the packages of every interpreter that may run contestants, by its path."""
        if self._pythons is None:
            # Paths are not resolved: several environments may link to one binary.
            found = [self._python_of(name) for name in ("python", "niquests")]
            paths = [str(path) for path in found if path is not None]
            self._pythons = {path: _packages_of(path) for path in [*paths, sys.executable]}
        return self._pythons

    def _python_of(self, name: str) -> Path | None:
        candidates = (self._folder / name / "bin" / "python", self._folder / name / "Scripts" / "python.exe")
        return next((path for path in candidates if path.exists()), None)

    def _find_node(self, method: Method) -> Found | Missing:
        node = shutil.which("node")
        if node is None:
            return Missing("node", "install Node.js ≥ 18")
        modules = self._folder / "node" / "node_modules"
        versions = {"node": _version_said_by(node, "--version")}
        for package in method.needs:
            try:
                about = json.loads((modules / package / "package.json").read_text(encoding="utf-8"))
            except OSError:
                return Missing(f"npm package {package}", "make race")
            versions[package] = about["version"]
        command = (node, "--no-deprecation", str(HERE / "launch.cjs"), str(method.path))
        return Found(command, versions, {"NODE_PATH": str(modules)})

    def _find_native(self, method: Method) -> Found | Missing:
        (name,) = method.needs
        tool = shutil.which(name, path=str(self._folder / "bin")) or shutil.which(name)
        if tool is None:
            return Missing(name, f"{method.install}, or make race")
        command = (sys.executable, "-P", str(HERE / "launch.py"), str(method.path))
        return Found(command, {name: _version_said_by(tool, "--version")}, tool=tool)


def _packages_of(python: str) -> dict[str, str]:
    """Return the version of every package of an interpreter, and its own version as `python`."""
    try:
        packages: dict[str, str] = json.loads(_said_by(python, "-P", "-c", PACKAGES))
    except ValueError:
        return {}
    return packages | {"python": _version_said_by(python, "--version")}


def _version_said_by(*command: str) -> str:
    """Return the first thing that looks like a version in what a command prints."""
    found = re.search(r"\d+(\.\d+)+[\w.+-]*", _said_by(*command))
    return found[0] if found else "unknown"


def _said_by(*command: str) -> str:
    try:
        # wrk prints its version and then fails, so the status does not matter.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
