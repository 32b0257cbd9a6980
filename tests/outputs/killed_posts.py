"""A run of POSTs that is killed while the server has one of them."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from hurtle.testing import Server

WAIT_S = 30.0

_VICTIM = """
import os, pathlib, signal
import hurtle
from hurtle.outputs import database, duckdb_file
from hurtle.sinks import parts

database.Database.commit_rows = duckdb_file.DuckdbDatabase.commit_rows = parts.PART_ROWS = 1
calls = 0

def progress(counters):
    global calls
    calls += counters.done == 1
    if calls > 1 and pathlib.Path({marker!r}).exists():  # the first row is written by the second call
        os.kill(os.getpid(), signal.SIGKILL)

hurtle.run({requests!r}, {out!r}, progress=progress, retries=0)
"""


def two_posts(server: Server) -> list[dict[str, Any]]:
    """Return a POST that is answered at once, and one that is answered too late."""
    paths = ("/bytes/1", "/delay/20000")
    return [{"url": server.url(path), "method": "POST", "content": "once"} for path in paths]


def kill_in_the_second(out: str, posts: list[dict[str, Any]], server: Server, folder: Path) -> None:
    """Kill a run of another process while the server has the second POST, and the first has its row.

    Args:
        out: The output.
        posts: Two of them.
        server: Who answers.
        folder: Where the signal to die is given, by a file.
    """
    marker = folder / "both have come"
    script = _VICTIM.format(marker=str(marker), requests=posts, out=out)
    with subprocess.Popen([sys.executable, "-c", script]) as victim:
        try:
            wait_until(lambda: server.stats()["requests"] == 2)
            marker.touch()
            assert victim.wait(WAIT_S) == -9
        finally:
            victim.kill()
    marker.unlink()


def wait_until(holds: Callable[[], bool]) -> None:
    end, pause = monotonic() + WAIT_S, threading.Event()
    while not holds():
        assert monotonic() < end
        pause.wait(0.01)
