"""The servers: how each is installed, started and stopped, and what it can do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.limiters.installs import MissingError, run
from tests.limiters.trial import free_port, is_ready

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
PLACE = ROOT / ".servers"
STOP_TIMEOUT_S = 10.0
READY = "/small.txt"

IDLE_S = 1
"""The time that a server keeps an idle connection, where it can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server, in one way to run it.

    Attributes:
        title: What people call it.
        package: Debian's package and a path of it; for the others the program that tells its version.
        command: What it is started with; words and configurations have places that `filled` fills in.
        config: Its configuration, in `programs`.
        h2: It speaks HTTP/2, over TLS.
        origin: It stands in front of the Node server.
        chunked: The path that it sends chunked; the same bytes for all.
        digests: A POST is answered with the hash of its body; else with any 200.
        idles: It can be told how long to keep an idle connection.
        version: The command that prints its version.
    """

    title: str
    command: tuple[str, ...]
    version: tuple[str, ...]
    package: str | None = None
    config: str | None = None
    h2: bool = False
    origin: bool = False
    chunked: str = "/chunked"
    digests: bool = True
    idles: bool = True


_NODE = ("node", "@programs@/node.mjs", "@port@", "@idle@", "@site@", "@h2@")
_GO = ("@place@/server", "@port@", "@idle@", "@site@", "@h2@")
_TLS = ("--ssl-certificate", "@site@/../cert.pem", "--ssl-keyfile", "@site@/../key.pem")
_HYPERCORN = (
    "@python@", "-m", "hypercorn", "asgi:app", "--bind", "127.0.0.1:@port@", "--keep-alive", "@idle@",
    "--graceful-timeout", "1",
)  # fmt: skip
_GRANIAN = (
    "@place@/python/bin/granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "@port@",
    "--no-ws", "asgi:app",
)  # fmt: skip
_VARNISH = (
    "/usr/sbin/varnishd", "-F", "-j", "none", "-a", "127.0.0.1:@port@", "-f", "@config@", "-n", "@folder@/v",
    "-s", "malloc,256m", "-p", "timeout_idle=@idle@",
)  # fmt: skip


def _static(title: str, package: str, program: str, *arguments: str, config: str, h2: bool = False) -> Kind:
    return Kind(
        title=title, package=f"{package}={program}", command=(program, *arguments), config=config, h2=h2,
        chunked="/chunked.shtml", digests=False, version=("dpkg-query", "-Wf", "${Version}", package),
    )  # fmt: skip


def _haproxy(title: str, *, h2: bool) -> Kind:
    return Kind(
        title=title, package="haproxy=/usr/sbin/haproxy", config="haproxy.cfg", origin=True, h2=h2,
        command=("/usr/sbin/haproxy", "-f", "@config@"),
        version=("dpkg-query", "-Wf", "${Version}", "haproxy"),
    )  # fmt: skip


def _of_python(title: str, package: str, command: tuple[str, ...], *, h2: bool, idles: bool) -> Kind:
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    return Kind(title=title, command=command, h2=h2, idles=idles, version=("@python@", "-c", ask))


SERVERS: dict[str, Kind] = {
    "nginx": _static("nginx", "nginx", "/usr/sbin/nginx", "-c", "@config@", config="nginx.conf"),
    "nginx-h2": _static(
        "nginx, HTTP/2", "nginx", "/usr/sbin/nginx", "-c", "@config@", config="nginx.conf", h2=True
    ),
    "apache": _static(
        "Apache with mod_deflate", "apache2", "/usr/sbin/apache2", "-D", "FOREGROUND", "-f", "@config@",
        config="apache.conf",
    ),
    "lighttpd": _static(
        "lighttpd", "lighttpd", "/usr/sbin/lighttpd", "-D", "-f", "@config@", config="lighttpd.conf"
    ),
    "haproxy": _haproxy("HAProxy before Node", h2=False),
    "haproxy-h2": _haproxy("HAProxy, HTTP/2, before Node", h2=True),
    "varnish": Kind(
        title="Varnish before Node", package="varnish=/usr/sbin/varnishd", config="varnish.vcl", origin=True,
        command=_VARNISH, version=("dpkg-query", "-Wf", "${Version}", "varnish"),
    ),
    "node": Kind(title="Node http", command=_NODE, version=("node", "--version")),
    "node-h2": Kind(title="Node http2", command=_NODE, h2=True, version=("node", "--version")),
    "go": Kind(title="Go net/http", command=_GO, version=("go", "env", "GOVERSION")),
    "go-h2": Kind(title="Go net/http, HTTP/2", command=_GO, h2=True, version=("go", "env", "GOVERSION")),
    "hypercorn": _of_python("hypercorn", "hypercorn", _HYPERCORN, h2=False, idles=True),
    "hypercorn-h2": _of_python(
        "hypercorn, HTTP/2", "hypercorn",
        (*_HYPERCORN, "--certfile", "@site@/../cert.pem", "--keyfile", "@site@/../key.pem"),
        h2=True, idles=True,
    ),
    "granian": _of_python("granian", "granian", _GRANIAN, h2=False, idles=False),
    "granian-h2": _of_python("granian, HTTP/2", "granian", (*_GRANIAN, *_TLS), h2=True, idles=False),
}  # fmt: skip
"""By the name that chooses them."""


def chosen(words: Sequence[str]) -> dict[str, Kind]:
    """Return the servers whose name holds one of the words; without words all.

    Raises:
        ValueError: A word is in no name.
    """
    for word in words:
        if not any(word in name for name in SERVERS):
            raise ValueError(f"no server is called {word!r}; there are {', '.join(SERVERS)}")
    return {name: kind for name, kind in SERVERS.items() if not words or any(word in name for word in words)}


def install_all(kinds: dict[str, Kind]) -> None:
    """Install what the servers need: Debian packages, a Python environment, the Go program.

    Raises:
        MissingError: Something cannot be had here.
    """
    packages = {kind.package for kind in kinds.values() if kind.package}
    if "lighttpd" in kinds:
        packages.add("lighttpd-mod-deflate=/usr/lib/lighttpd/mod_deflate.so")
    run("sh", "scripts/install-packages", *sorted(packages))
    if any(name.startswith(("hypercorn", "granian")) for name in kinds):
        python = PLACE / "python"
        if not (python / "bin" / "granian").exists():
            run(sys.executable, "-m", "venv", "--clear", python)
            run(python / "bin/python", "-m", "pip", "install", "--quiet", "-r", PROGRAMS / "python.lock")
    if any(name.startswith("go") for name in kinds):
        settings = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
        run("go", "build", "-o", PLACE / "server", "server.go", cwd=PROGRAMS, settings=settings)
    for kind in kinds.values():
        if shutil.which(filled(kind.command[:1], {})[0]) is None:
            raise MissingError(f"{kind.title}: {kind.command[0]} is not on this machine")


def version_of(kind: Kind) -> str:
    """Return the version of a server, as its maker writes it."""
    said = run(*filled(kind.version, {})).strip().removeprefix("go").removeprefix("v")
    return said.partition("-")[0].rpartition(":")[2]


def filled(words: Sequence[str], places: dict[str, object]) -> list[str]:
    """Return words with their `@places@` filled in."""
    places = {"python": PLACE / "python/bin/python", "place": PLACE, "programs": PROGRAMS} | places
    found = []
    for word in words:
        for name, value in places.items():
            word = word.replace(f"@{name}@", str(value))
        found.append(word)
    return found


@dataclass(slots=True)
class Running:
    """A server that serves a site, with its origin if it is a proxy.

    Attributes:
        name: The name in the table.
        kind: What it is.
        site: The folder that it serves.
        folder: An empty folder for what it writes.
    """

    name: str
    kind: Kind
    site: Path
    folder: Path
    port: int = field(default_factory=free_port)
    _own: subprocess.Popen[bytes] | None = None
    _origin: subprocess.Popen[bytes] | None = None
    _origin_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where it is, without a path."""
        return f"{'https' if self.kind.h2 else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again on the same port if it ran before.

        Raises:
            RuntimeError: It does not listen; with its own words.
        """
        if self.kind.origin and self._origin is None:
            places = self._places() | {"port": self._origin_port, "idle": 30, "h2": 0}
            self._origin = self._spawn("origin", filled(SERVERS["node"].command, places))
            self._wait("origin", self._origin, self._origin_port, READY)
        places = self._places()
        if self.kind.config is not None:
            config = self.folder / self.kind.config
            text = (PROGRAMS / self.kind.config).read_text(encoding="utf-8")
            config.write_text(filled([text], places)[0], encoding="utf-8")
            places["config"] = config
        self._own = self._spawn(self.name, filled(self.kind.command, places))
        self._wait(self.name, self._own, self.port, None if self.kind.h2 else READY)

    def stop(self) -> None:
        """End it, but not its origin."""
        _end(self._own)
        self._own = None

    def close(self) -> None:
        """End it and its origin. Idempotent."""
        self.stop()
        _end(self._origin)
        self._origin = None

    def _places(self) -> dict[str, object]:
        cert = f"ssl crt {self.site.parent / 'cert.pem'} alpn h2,http/1.1"
        tls = {"nginx-h2": "ssl http2", "haproxy-h2": cert}.get(self.name, "")
        return {
            "port": self.port, "origin": self._origin_port, "idle": IDLE_S, "site": self.site,
            "folder": self.folder, "tls": tls, "h2": int(self.kind.h2),
        }  # fmt: skip

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=PROGRAMS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"SITE": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip

    def _wait(self, name: str, process: subprocess.Popen[bytes], port: int, path: str | None) -> None:
        if not is_ready(process, port, path):
            said = (self.folder / f"{name}.log").read_text(errors="replace")[-600:]
            raise RuntimeError(f"{self.name} does not listen: {said}")


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    time.sleep(0.05)
