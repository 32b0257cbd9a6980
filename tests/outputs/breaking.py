"""Runs that are interrupted, and what must be in the output once they were resumed."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.testing import Server

ROWS = 300
BREAK_AT = 100
IN_FLIGHT = 8
COMMITTED_AT = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A row as an independent reader found it."""

    url: str
    status: int | None
    body: bytes | None
    error: str | None = None


Reader = Callable[[], list[tuple[int, Found]]]


def body_of(number: int) -> bytes:
    """Return what the server sends for a row. Source: crates/testserver/src/content.rs."""
    size = number % 200
    lines = (b"%016x %016x %016x hurtle bytes\n" % (line, size, number) for line in range(size // 64 + 1))
    return b"".join(lines)[:size]


def sent(server: Server) -> list[str]:
    """Return URLs whose answers are known: bodies of different lengths, some statuses, some that fail."""
    urls = [server.url(f"/bytes/{n % 200}?seed={n}") for n in range(ROWS)]
    urls[7] = server.url("/status/404?body=caf%C3%A9")
    urls[11] = "http://name.invalid/"
    urls[150] = "nonsense"
    return urls


def expected(urls: list[str]) -> list[tuple[int, Found]]:
    rows = [(n, Found(url, 200, body_of(n))) for n, url in enumerate(urls)]
    rows[7] = (7, Found(urls[7], 404, "café".encode()))
    rows[11] = (11, Found(urls[11], None, None, "dns.not_found"))
    rows[150] = (150, Found(urls[150], None, None, "input.url"))
    return rows


def options() -> dict[str, Any]:
    return {"concurrency": IN_FLIGHT, "concurrency_per_host": IN_FLIGHT, "retries": 0}


def slow() -> dict[str, Any]:
    """Return options of a run that reports progress several times before it ends."""
    return options() | {"rate_limit": "500/s"}


def break_off(urls: Sequence[str], out: str | Path, **more: Any) -> None:
    """Interrupt a run with Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, progress=raise_at(BREAK_AT, KeyboardInterrupt), **more, **slow())


def raise_at(done: int, error: type[BaseException]) -> Callable[[Any], None]:
    def progress(counters: Any) -> None:
        if counters.done >= done:
            raise error

    return progress


def check_read_back(server: Server, out: str | Path, read: Reader, **more: Any) -> None:
    """Write a whole run and read it back."""
    urls = sent(server)
    assert hurtle.run(urls, out, **more, **options()).requests == ROWS
    assert sorted(read(), key=lambda row: row[0]) == expected(urls)


def check_resumed(server: Server, out: str | Path, read: Reader, **more: Any) -> None:
    """Interrupt a run with Ctrl-C, resume it, and find every row once; nothing is requested again."""
    urls = sent(server)
    break_off(urls, out, **more)
    summary = hurtle.run(urls, out, **more, **options())
    assert BREAK_AT <= summary.resumed < ROWS
    assert sorted(read(), key=lambda row: row[0]) == expected(urls)
    # Requests in flight were drained and kept: nothing is requested twice.
    assert server.stats()["requests"] == ROWS - 2


def check_parts(
    server: Server,
    folder: Path,
    format_name: str,
    read: Callable[[Path], list[tuple[int, Found]]],
    **more: Any,
) -> None:
    """Interrupt a run to a folder, resume it, and find every row once in its two parts.

    Args:
        server: The server.
        folder: The output.
        format_name: The format of the parts.
        read: Reads a part back.
        **more: Options of the run.
    """
    urls, out = sent(server), f"{folder}/"
    break_off(urls, out, format=format_name, **more)
    hurtle.run(urls, out, format=format_name, **more, **options())
    parts = sorted(folder.glob(f"part-*.{format_name}*"))
    assert len(parts) == 2
    assert sorted([row for part in parts for row in read(part)], key=lambda row: row[0]) == expected(urls)


_KILLED = """
import os, signal, sys
import hurtle
from hurtle.outputs import database, duckdb_file
from hurtle.sinks import parts

parts.PART_ROWS = {committed_at}
database.Database.commit_rows = duckdb_file.DuckdbDatabase.commit_rows = {committed_at}

def progress(counters):
    if counters.done >= {break_at}:
        os.kill(os.getpid(), signal.SIGKILL)

hurtle.run({source!r}, {out!r}, progress=progress, **{options!r})
"""


def check_killed(server: Server, folder: Path, out: str | Path, read: Reader, **more: Any) -> None:
    """Kill a run in another process, resume it here, and find every row once.

    Args:
        server: The server.
        folder: Where the list goes.
        out: The output.
        read: Reads the output back.
        **more: Options of the run.
    """
    urls = sent(server)
    source = folder / "urls.txt"
    source.write_text("".join(url + "\n" for url in urls), encoding="utf-8")
    script = _KILLED.format(
        break_at=BREAK_AT, committed_at=COMMITTED_AT, source=str(source), out=str(out), options=slow() | more
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == -9
    before = server.stats()["requests"]
    summary = hurtle.run(source, out, **options(), **more)
    assert 0 < summary.resumed < ROWS
    assert sorted(read(), key=lambda row: row[0]) == expected(urls)
    # No committed row is requested again; the server may have counted requests in flight late.
    assert server.stats()["requests"] - before <= ROWS - summary.resumed + IN_FLIGHT
