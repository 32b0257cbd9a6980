"""The contestants: what each one is, and what it needs to run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Runtime = Literal["python", "node", "native"]
FOLDER = Path(__file__).parent / "methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way of sending many requests.

    Its file in `methods/` has its name, `-` written as `_`.
    """

    name: str
    what: str
    """A few words for the chart."""
    runtime: Runtime = "python"
    needs: tuple[str, ...] = ()
    """Packages of its runtime, by the names of PyPI or npm; for a native tool, its executable."""
    install: str = ""
    """The command that installs what it needs."""
    keeps_bodies: bool = True
    """False: it counts answers and discards the bodies, so they cannot be checked."""
    folder: Path = FOLDER

    @property
    def path(self) -> Path:
        """The contestant's file."""
        extension = ".cjs" if self.runtime == "node" else ".py"
        return self.folder / (self.name.replace("-", "_") + extension)

    @property
    def is_reference(self) -> bool:
        """Whether it serves only for comparison, because it does not deliver answers to a program."""
        return self.runtime == "native"


def _python(name: str, what: str, *needs: str) -> Method:
    return Method(name=name, what=what, needs=needs, install=f"pip install {' '.join(needs)}")


def _node(name: str, what: str, package: str) -> Method:
    return Method(name=name, what=what, runtime="node", needs=(package,), install=f"npm install {package}")


def _native(name: str, what: str, tool: str, install: str, *, keeps_bodies: bool = False) -> Method:
    return Method(
        name=name, what=what, runtime="native", needs=(tool,), install=install, keeps_bodies=keeps_bodies
    )


METHODS: tuple[Method, ...] = (
    _python("requests", "one after the other, a new connection each time", "requests"),
    _python("requests-session", "one after the other, the connection reused", "requests"),
    _python("thread-queue", "requests, a queue and threads", "requests"),
    _python("thread-pool", "requests, ThreadPoolExecutor.map", "requests"),
    _python("aiohttp", "asyncio, gather over all tasks", "aiohttp"),
    _node("node-request", "Node.js, the request package, in batches", "request"),
    _node("node-undici", "Node.js, undici", "undici"),
    Method(name="hurtle", what="hurtle.stream", needs=("hurtle",), install="pip install hurtle"),
    _python("aiohttp-uvloop", "aiohttp on uvloop, workers", "aiohttp", "uvloop"),
    _python("httpx", "httpx.AsyncClient", "httpx"),
    _python("niquests", "niquests.AsyncSession", "niquests"),
    _python("pycurl-multi", "libcurl's multi interface, handles reused", "pycurl"),
    _python("pyreqwest", "reqwest from Rust, one await per request", "pyreqwest"),
    _python("primp", "a Rust client that looks like a browser", "primp"),
    _python("curl-cffi", "libcurl that looks like a browser", "curl-cffi"),
    _python("reqstorm", "a list of requests over aiohttp", "reqstorm"),
    _python("floodr", "a list of requests over Rust", "floodr"),
    _native(
        "curl-parallel", "the command curl --parallel", "curl", "apt-get install curl", keeps_bodies=True
    ),
    _native("wrk", "a load generator in C", "wrk", "apt-get install wrk"),
    _native("h2load", "a load generator in C++", "h2load", "apt-get install nghttp2-client"),
    _native("oha", "a load generator in Rust", "oha", "cargo install oha"),
)
"""All contestants, in the order in which they start."""
