"""A retry whose process dies at any step of writing: the old rows stay, and the retry is resumed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hurtle
from hurtle.testing import Server
from tests.runs.conftest import DATABASES, run_to
from tests.torture.syscalls import why_not

pytestmark = pytest.mark.slow

ROWS = 12
VICTIM = """
import os, sys
from pathlib import Path
import hurtle
from hurtle.sinks import parts
from hurtle.outputs.duckdb_file import DuckdbDatabase
from hurtle.outputs.sqlite import SqliteDatabase

out, last = sys.argv[1], int(sys.argv[2])
parts.PART_ROWS = 5
steps = 0

def deadly(call):
    def step(*arguments, **named):
        global steps
        steps += 1
        if steps > last:
            os._exit(9)
        return call(*arguments, **named)
    return step

os.fsync, os.link, Path.replace, Path.unlink, os.rename = map(
    deadly, (os.fsync, os.link, Path.replace, Path.unlink, os.rename)
)
for database in (SqliteDatabase, DuckdbDatabase):
    database.commit_rows = 5
    for name in ("open", "change", "insert", "commit", "complete", "close"):
        setattr(database, name, deadly(getattr(database, name)))
hurtle.retry(out, where="status = 200")
"""


def retried(out: Path, last: int) -> bool:
    """Retry every row in a process that dies after this many steps; return whether it survived."""
    command = [sys.executable, "-c", VICTIM, str(out), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.sqlite", "out.duckdb", "parts/"])
def test_a_retry_survives_its_process_when_it_dies_at_any_step(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    urls = [hurtle_server.url(f"/bytes/{n + 100}") for n in range(ROWS)]
    run_to(urls, f"{tmp_path}/{name}")
    out = tmp_path / name
    deaths = 0
    while not retried(out, deaths):
        check(out)
        hurtle.retry(out, where="status = 200")
        check(out)
        assert hurtle.open_run(out).complete is not False
        assert not Path(f"{out}.run").exists()
        deaths += 1
    assert deaths > 8
    check(out)
    assert name not in DATABASES or deaths > 12


TRACED = """
import sys
import hurtle
from hurtle.outputs.sqlite import SqliteDatabase

SqliteDatabase.commit_rows = 5
hurtle.retry(sys.argv[1], where="status = 200")
"""


@pytest.mark.parametrize("calls", ["fsync,fdatasync", "unlink"])
def test_a_retry_in_sqlite_survives_a_kill_at_any_fsync_and_unlink(
    tmp_path: Path, hurtle_server: Server, calls: str
) -> None:
    # A kill during a change of the journal mode leaves a journal that a reader with write access rolls back.
    if reason := why_not():
        pytest.skip(reason)
    before, out = tmp_path / "before.sqlite", tmp_path / "out.sqlite"
    run_to([hurtle_server.url(f"/bytes/{n + 100}") for n in range(ROWS)], str(before))
    files = [word for suffix in ("", "-journal", "-wal") for word in ("-P", f"{out}{suffix}")]
    needed_rollback = 0
    for nth in range(1, 60):
        shutil.copy(before, out)
        kill = ["-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={nth}"]
        command = ["strace", "-qq", "-f", "-o", "/dev/null", *files, *kill]
        done = subprocess.run([*command, sys.executable, "-c", TRACED, str(out)], timeout=60, check=False)
        needed_rollback += Path(f"{out}-journal").exists()
        check(out)
        if done.returncode == 0:
            break
        hurtle.retry(out, where="status = 200")
        check(out)
        assert hurtle.open_run(out).complete
    assert nth > 2, "it has been killed"
    assert needed_rollback, "one of them was in the way of readers"


def check(out: Path) -> None:
    """Every row is there once, and is what the server sent."""
    run = hurtle.open_run(out)
    assert sorted((row["index"], row["bytes_body"]) for row in run) == [(n, n + 100) for n in range(ROWS)]
    if out.suffix != ".csv":
        assert all(len(run.body(row) or b"") == row["bytes_body"] for row in run)
