"""Make runs that were interrupted, with whatever version of hurtle is installed: see README.md.

`python make_earlier.py [FOLDER]` writes them to FOLDER, by default one beside this file with the version's
name. It needs nothing but hurtle, its extras, and Linux's `unshare`: the URLs of a run are fixed, so the
server has a network of its own, where every port is free.
"""

import fcntl
import gzip
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Self

import hurtle

HERE = Path(__file__).resolve().parent
SPACE = ("unshare", "--user", "--map-root-user", "--net", "--uts")
"""A prefix that gives a command its own network and host name."""
INSIDE = "--inside"
ADDRESS = ("127.0.0.1", 8080)
WAIT_S = 30.0

PATHS = (
    "/page/0", "/missing", "/busy", "/page/3", "/moved", "/posted/5",
    "/page/6", "/page/0", "/held/8", "/page/9", "/posted/10", "/page/11",
)  # fmt: skip
REQUESTS: list[dict[str, Any]] = [
    {"url": f"http://{ADDRESS[0]}:{ADDRESS[1]}{path}", "id": f"r{n}", "meta": {"n": n}}
    | ({"method": "POST", "content": f"sent {n}"} if path.startswith(("/posted", "/held")) else {})
    for n, path in enumerate(PATHS)
]
"""The requests. Rows 1 and 2 fail; row 8 is a POST that is in flight when its run is killed."""
INPUT = "requests.jsonl"
OPTIONS: dict[str, Any] = {"retries": 0, "headers": {"x-earlier": "yes"}}
STOPS = (4, 2)
"""A run is interrupted twice, each time after this many rows; then it is killed."""
COMMIT_S = 2.0
"""Seconds to wait before that: databases commit every second, so there is a log to recover from."""

RUNS = ("parts", "apart", "out.parquet", "out.jsonl", "out.sqlite", "out.duckdb")
OF_A_LIST = ("out.parquet", "out.duckdb")
"""Their input is a list, that of the others a file."""
RETRIES = ("retry-parts", "retry.jsonl", "retry.sqlite")
"""Runs that have ended, and whose retry was interrupted."""
WHERE = "status >= 400 or method = 'POST'"


class LoggingServer:
    """Answers PATHS and logs its requests; a context manager.

    Attributes:
        log: Method and path of each request, in the order of arrival.
        pause_s: Seconds before each answer.
        is_busy: Whether /busy is answered with 503.
        opened: /held is answered once this is set.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.pause_s = 0.0
        self.is_busy = True
        self.opened = Event()
        self._comes = Condition()
        self._server = _Quiet(ADDRESS, partial(_Handler, self))

    def note(self, asked: str) -> None:
        """Log a request."""
        with self._comes:
            self.log.append(asked)
            self._comes.notify_all()

    def wait_for(self, asked: str, times: int = 1) -> None:
        """Wait until a request has arrived this often."""
        with self._comes:
            if not self._comes.wait_for(lambda: self.log.count(asked) >= times, WAIT_S):
                raise TimeoutError(f"{asked} has not come: {self.log}")

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.set()
        self._server.shutdown()
        self._server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore errors: a client that was killed does not read its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT_S

    def __init__(self, server: LoggingServer, *arguments: Any) -> None:
        self._log = server
        super().__init__(*arguments)

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", "0")))
        self._log.note(f"{self.command} {self.path}")
        if self.path.startswith("/held"):
            self._log.opened.wait(WAIT_S)
        Event().wait(self._log.pause_s)
        status, body = 200, b"page of " + self.path.encode() + b"\n" + sent
        if self.path == "/missing":
            status = 404
        elif self.path == "/busy" and self._log.is_busy:
            status = 503
        elif self.path == "/moved":
            status = 302
        # No Date, no Server: apart from times, what is stored does not depend on when it is made.
        self.send_response_only(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{self.path}"')
        if status == 302:
            self.send_header("location", "/page/4")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the names are http.server's

    def log_message(self, *_: object) -> None:
        pass


def enter_network() -> None:
    """Switch on the loopback device of a network of one's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
    socket.sethostname("earlier")  # locks contain it


def input_of(name: str, folder: Path) -> Any:
    """Return the input of a run: a list, or the path of a file in a folder."""
    return REQUESTS if name in OF_A_LIST else folder / INPUT


def output_of(name: str, folder: Path) -> str:
    """Return what `out` is for a run in a folder."""
    return f"{folder / name}/" if "." not in name else str(folder / name)


def shape_of(name: str) -> dict[str, Any]:
    """Return the arguments of `hurtle.run` that say what an output looks like."""
    if "." in name:
        return {}
    return {"format": "jsonl", "bodies": "apart"} if name == "apart" else {"format": "parquet"}


def run(name: str, folder: Path, **options: Any) -> hurtle.Summary:
    """Begin the run of a name, or resume it."""
    given = shape_of(name) | OPTIONS | options
    return hurtle.run(input_of(name, folder), output_of(name, folder), **given)


def retry(name: str, folder: Path, **options: Any) -> hurtle.Summary:
    """Begin the retry of a run, or resume it."""
    given = OPTIONS | {"where": WHERE} | options
    return hurtle.retry(output_of(name, folder), input_of(name, folder), **given)


def victim(verb: str, name: str, folder: str, stop: str) -> None:
    """Be the process that is interrupted after some rows, or, if that is 0, waits to be killed."""

    def progress(counters: Any) -> None:
        if int(stop) and counters.done >= int(stop):
            raise KeyboardInterrupt

    call = run if verb == "run" else retry
    try:
        call(name, Path(folder), concurrency=1, progress=progress)
    except KeyboardInterrupt:
        sys.exit(130)


def interrupted(server: LoggingServer, verb: str, name: str, folder: Path) -> None:
    """Run or retry, and interrupt it: politely at first, then with a kill while /held is on its way."""
    command = [sys.executable, __file__, "--victim", verb, name, str(folder)]
    before = server.log.count("POST /held/8")
    server.pause_s = 0.3
    for stop in STOPS if verb == "run" else STOPS[1:]:
        done = subprocess.run([*command, str(stop)], timeout=WAIT_S, check=False)
        if done.returncode != 130:
            raise RuntimeError(f"{name} was not interrupted: {done.returncode}")
    with subprocess.Popen([*command, "0"]) as process:
        server.wait_for("POST /held/8", before + 1)
        Event().wait(COMMIT_S)
        process.kill()
    server.pause_s = 0.0


def make(folder: Path) -> None:
    """Make all runs in a folder, and beside each what `hurtle cat` says of it."""
    (folder / INPUT).write_text("".join(json.dumps(request) + "\n" for request in REQUESTS))
    for name in RUNS:
        with LoggingServer() as server:
            interrupted(server, "run", name, folder)
    for name in RETRIES:
        with LoggingServer() as server:
            server.opened.set()
            run(name, folder, concurrency=1)
            server.opened.clear()
            interrupted(server, "retry", name, folder)
    for name in (*RUNS, *RETRIES):
        copied = folder / "read" / name  # a reader may change what it reads, such as a database's log
        copied.parent.mkdir(exist_ok=True)
        for path in folder.glob(f"{name}*"):
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, copied.parent / path.name)
        (folder / f"{name}.rows.jsonl").write_bytes(cat(copied))
    shutil.rmtree(folder / "read")
    for shared in folder.glob("*-shm"):
        shared.unlink()  # memory that SQLite's processes share: the first one creates it again
    pack(folder / "out.duckdb")


def cat(out: Path) -> bytes:
    """Return the rows of a run as `hurtle cat` prints them."""
    command = [sys.executable, "-m", "hurtle", "cat", str(out)]
    return subprocess.run(command, capture_output=True, timeout=WAIT_S, check=True).stdout


def pack(path: Path) -> None:
    """Compress a file: a database of a dozen rows takes a megabyte, nearly all of it zeros."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def unpack(folder: Path) -> None:
    """Put the compressed files of a folder back as they were."""
    for path in folder.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--victim"]:
        victim(*arguments[1:])
        return
    if arguments[:1] != [INSIDE]:
        sys.exit(
            subprocess.run([*SPACE, sys.executable, __file__, INSIDE, *arguments], check=False).returncode
        )
    enter_network()
    final = Path(arguments[1] if arguments[1:] else HERE / hurtle.__version__)
    final.mkdir()  # an error if it exists: what an earlier version wrote is never replaced
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        make(Path(folder))
        shutil.copytree(folder, final, dirs_exist_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
