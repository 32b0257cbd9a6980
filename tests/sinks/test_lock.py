"""One run at a time for one output, and nobody shut out by a run that is gone."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from hurtle.errors import ConfigError
from hurtle.sinks.lock import Lock

HOLD = """
import sys
from pathlib import Path
from hurtle.sinks.lock import Lock
Lock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let a process of its own hold the lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def assert_it_can_be_taken(path: Path) -> None:
    lock = Lock(path)
    lock.take()
    assert json.loads(path.read_text())["pid"] == os.getpid()
    assert [file.name for file in path.parent.iterdir()] == ["lock"]
    lock.release()
    lock.release()
    assert list(path.parent.iterdir()) == []


def test_a_lock_is_there_while_it_is_held(path: Path) -> None:
    assert_it_can_be_taken(path)


def test_s12_the_second_run_is_refused_while_the_first_runs(path: Path) -> None:
    with held_by_another(path) as holder:
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=f"another run \\(process {holder.pid}\\) is using"):
            Lock(path).take()
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["lock"]


def test_a_second_run_of_the_same_process_is_refused(path: Path) -> None:
    first = Lock(path)
    first.take()
    second = Lock(path)
    with pytest.raises(ConfigError, match="another run"):
        second.take()
    second.release()
    assert path.exists(), "who was refused gives nothing back"
    first.release()


def test_a_killed_holder_holds_nothing(path: Path) -> None:
    with held_by_another(path) as holder:
        holder.kill()
        holder.wait()
        assert_it_can_be_taken(path)


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="no process can be left unasked-for here")
def test_a_killed_holder_holds_nothing_while_nobody_has_asked_about_it(path: Path) -> None:
    with held_by_another(path) as holder:
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        assert_it_can_be_taken(path)


def test_a_holder_from_before_a_reboot_holds_nothing(path: Path) -> None:
    with held_by_another(path):
        holder = json.loads(path.read_text()) | {"boot": "another"}
        path.write_text(json.dumps(holder))
        assert_it_can_be_taken(path)


def test_a_process_that_got_the_holders_number_later_holds_nothing(path: Path) -> None:
    Lock(path).take()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"began": "1"}))
    assert_it_can_be_taken(path)


def test_what_a_run_left_that_was_killed_while_it_took_the_lock_is_removed(path: Path) -> None:
    path.with_name(".lock.4711.0123abcd.tmp").write_text('{"pid": ')
    assert_it_can_be_taken(path)


@pytest.mark.parametrize(
    "text", ["", "garbage", "{}", "[]", '{"pid": "x"}', '{"pid": null}', '{"pid": 0}', "7"]
)
def test_a_lock_that_names_nobody_holds_nothing(path: Path, text: str) -> None:
    path.write_text(text)
    assert_it_can_be_taken(path)


def test_a_disk_that_is_full_leaves_no_temporary_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="No space left"):
        Lock(path).take()
    assert list(path.parent.iterdir()) == []


def take_at_once(path: Path, barrier: Barrier, holders: Path, rounds: int) -> None:
    """Try to take a stale lock at the same moment as others, and say so who did."""
    for number in range(rounds):
        barrier.wait()
        lock = Lock(path)
        try:
            lock.take()
        except ConfigError:
            pass
        else:
            (holders / f"{number}.{os.getpid()}").touch()
        barrier.wait()
        # The holder forgets its lock, as if it had been killed: stale in the next round.
        if os.getpid() in (int(name.suffix[1:]) for name in holders.glob(f"{number}.*")):
            path.write_text("stale")
        barrier.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_one_run_takes_over_a_stale_lock_when_several_try(path: Path, tmp_path: Path) -> None:
    rounds, runs = 150, 4
    holders = tmp_path / "holders"
    holders.mkdir()
    path = tmp_path / "run" / "lock"
    path.parent.mkdir()
    path.write_text("stale")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(runs)
    processes = [
        context.Process(target=take_at_once, args=(path, barrier, holders, rounds)) for _ in range(runs)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    took = sorted(int(file.stem) for file in holders.iterdir())
    assert took == list(range(rounds))
