"""Answers to POSTs survive a kill: at most those in flight and those of the last moment are unknown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep

import pytest

import hurtle
from tests.outputs.postgres_server import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

IN_FLIGHT = 10
KILLED_AT = 200
ROWS = 400
SOON_S = 0.3
"""It is 0.1 s on an idle machine; a second, as for committed parts, would be too long."""
WAIT_S = 60.0
OUTPUTS = {
    "parquet": ("out.parquet", None), "parts": ("parts/", "parquet"), "jsonl": ("out.jsonl", None),
    "jsonl.gz": ("out.jsonl.gz", None), "csv": ("out.csv", None), "warc": ("out.warc.gz", None),
    "apart": ("apart/", "files"), "sqlite": ("out.sqlite", None), "duckdb": ("out.duckdb", None),
    "postgres": ("", None), "s3": ("", "parquet"),
}  # fmt: skip


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore a client that was killed before it read its answer."""


class Till:
    """A server that answers each POST once, and remembers when.

    Attributes:
        answered: When each answer had been written, by the number that was posted.
        asked: How often each number was posted.
        status: What it answers with.
    """

    def __init__(self) -> None:
        self.answered: dict[int, float] = {}
        self.asked: Counter[int] = Counter()
        self.status = 200
        till = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                number = int(self.rfile.read(int(self.headers["content-length"])))
                till.asked[number] += 1
                sleep(
                    0.05
                )  # what an answer takes: 200 a second, so that the last moment is a part of the whole
                body = paid(number)
                self.send_response(till.status)
                self.send_header("content-type", "text/plain")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                try:
                    self.wfile.flush()
                except OSError:  # who asked was killed
                    self.close_connection = True
                    return
                till.answered[number] = monotonic()

            def log_message(self, *_: object) -> None:
                return

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def input(self, folder: Path) -> Path:
        """Write the list of POSTs."""
        url = f"http://127.0.0.1:{self._server.server_port}/"
        rows = [{"url": url, "method": "POST", "content": str(n), "meta": str(n)} for n in range(ROWS)]
        path = folder / "posts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def forget(self) -> None:
        self.answered.clear()
        self.asked.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def paid(number: int) -> bytes:
    """Return the answer to a number: text, or bytes that are none."""
    return b"paid for %d" % number + (b"\xff\x00" if number % 2 else " é".encode())


@pytest.fixture
def till() -> Iterator[Till]:
    server = Till()
    yield server
    server.close()


@pytest.fixture(params=OUTPUTS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """An output of each kind, and its format where the name does not say it."""
    name, form = OUTPUTS[request.param]
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_schema(), form
    if request.param == "s3":
        return request.getfixturevalue("out"), form
    return f"{tmp_path}/{name}", form


_VICTIM = """
import hurtle
hurtle.{verb}({arguments}, concurrency_per_host={in_flight}, retries=0, {options})
"""


def kill(till: Till, verb: str, *arguments: object, **options: object) -> int:
    """Kill a run of another process after many answers; return how many came in its last moment."""
    script = _VICTIM.format(
        verb=verb,
        arguments=", ".join(repr(str(one)) for one in arguments),
        in_flight=IN_FLIGHT,
        options=", ".join(f"{name}={value!r}" for name, value in options.items()),
    )
    with subprocess.Popen([sys.executable, "-c", script]) as victim:
        try:
            end = monotonic() + WAIT_S
            while len(till.answered) < KILLED_AT:
                assert monotonic() < end
                assert victim.poll() is None
                threading.Event().wait(0.001)
            killed = monotonic()
            victim.kill()
            assert victim.wait(WAIT_S) == -9
        finally:
            victim.kill()
    return sum(answered > killed - SOON_S for answered in dict(till.answered).values())


def shown(out: str, *, has_bodies: bool) -> int:
    """Return how many answers a reader sees before the run is resumed."""
    run = hurtle.open_run(out)
    rows = [row for row in run if row["status"] == 200]
    assert run.complete is not True
    assert [row["index"] for row in rows] == run.where("status = 200")
    assert run.to_arrow()["index"].to_pylist() == sorted(row["index"] for row in run)
    assert b"".join(run.lines()).count(b"\n") == run.rows
    if has_bodies:
        assert [row["index"] for row in rows if run.body(row) != paid(row["index"])] == []
    return len({row["index"] for row in rows})


def unknown_in(out: str, *, has_bodies: bool) -> int:
    """Return how many rows may have been sent; all others are what the server sent."""
    run = hurtle.open_run(out)
    found = Counter(row["error"] for row in run)
    assert set(found) <= {None, "local.sent_unknown"}
    rows = [row for row in run if row["error"] is None]
    assert [row["index"] for row in rows if (row["status"], row["throttled"]) != (200, 0)] == []
    assert [row["index"] for row in rows if row["meta"] != f'"{row["index"]}"'] == []
    if has_bodies:
        assert [row["index"] for row in rows if run.body(row) != paid(row["index"])] == []
    assert run.rows == ROWS
    return found["local.sent_unknown"]


def test_only_what_was_in_flight_and_the_last_moment_is_unknown_after_a_kill(
    target: tuple[str, str | None], till: Till, tmp_path: Path
) -> None:
    (out, form), posts = target, till.input(tmp_path)
    last = kill(till, "run", posts, out, format=form)
    assert shown(out, has_bodies=not out.endswith(".csv")) >= len(till.answered) - last
    summary = hurtle.run(posts, out, format=form, concurrency_per_host=IN_FLIGHT, retries=0)
    assert summary.resumed > 0
    unknown = unknown_in(out, has_bodies=not out.endswith(".csv"))
    assert unknown <= IN_FLIGHT + last
    assert unknown == summary.errors.get("local.sent_unknown", 0)
    assert set(till.asked.values()) == {1}, "nothing was sent twice"
    assert not [path for path in tmp_path.iterdir() if re.search(r"\.run$|ledger|answers", path.name)]
    assert not list(tmp_path.glob("*/answers*"))


@pytest.mark.parametrize(
    ("target", "restart"),
    [("parquet", False), ("parts", True), ("warc", False), ("sqlite", True), ("duckdb", False)],
    indirect=["target"],
)
def test_a_retry_that_is_killed_keeps_what_was_answered(
    target: tuple[str, str | None], till: Till, tmp_path: Path, restart: bool
) -> None:
    (out, form), posts = target, till.input(tmp_path)
    till.status = 503
    hurtle.run(posts, out, format=form, concurrency_per_host=IN_FLIGHT, retries=0)
    till.forget()
    till.status = 200
    last = kill(till, "retry", out, posts, where="status = 503")
    assert shown(out, has_bodies=True) >= len(till.answered) - last
    assert hurtle.open_run(out).rows == ROWS
    hurtle.retry(out, posts, where="status = 503", restart=restart, concurrency_per_host=IN_FLIGHT, retries=0)
    assert unknown_in(out, has_bodies=True) <= IN_FLIGHT + last
    assert set(till.asked.values()) == {1}, "nothing was sent twice"
