"""One run at a time for each output, and no run is locked out by one that is gone."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hurtle.errors import ConfigError
from hurtle.outputs import lock as lock_module
from hurtle.outputs.lock import Lock

HOLD = """
import sys
from pathlib import Path
from hurtle.outputs.lock import Lock
Lock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""
HOLD_AND_FORK = HOLD.replace('print("held"', 'import os\nos.fork() or print("held"')
SPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
"""A prefix that gives a command its own process numbers, as in a container."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def holding(path: Path, script: str = HOLD, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a process that takes the lock, or ends; it holds it until its stdin ends."""
    command = [*prefix, sys.executable, "-c", script, str(path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def held_by_another(
    path: Path, script: str = HOLD, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Let a separate process hold the lock."""
    with holding(path, script, prefix) as holder:
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


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="a process cannot be left as a zombie here")
def test_a_killed_holder_holds_nothing_while_nobody_has_asked_about_it(path: Path) -> None:
    with held_by_another(path) as holder:
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        assert_it_can_be_taken(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_killed_holder_holds_nothing_while_a_child_of_it_lives(path: Path) -> None:
    with held_by_another(path, HOLD_AND_FORK) as holder:
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert_it_can_be_taken(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_child_gives_nothing_back(path: Path) -> None:
    lock = Lock(path)
    lock.take()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(ConfigError, match="another run"):
        Lock(path).take()
    lock.release()
    assert_it_can_be_taken(path)


def test_containers_keep_each_other_out(path: Path) -> None:
    """Each has its own /proc, and the same process numbers."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    tried = subprocess.run([*SPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no process numbers of one's own here: {tried.stderr.strip()[-100:]}")
    with held_by_another(path, prefix=SPACE) as first:
        before = path.read_bytes()
        with holding(path, prefix=SPACE) as second:
            out, error = second.communicate(timeout=30)
        assert (out, second.returncode) == ("", 1)
        assert "ConfigError: another run (process 1) is using" in error
        assert path.read_bytes() == before
        with pytest.raises(ConfigError, match="another run"):
            Lock(path).take()
        first.kill()
        first.wait()
        assert first.stdout is not None
        assert first.stdout.read() == "", "its last process is gone"
        assert_it_can_be_taken(path)


def test_a_holder_on_another_machine_is_named(path: Path) -> None:
    lock = Lock(path)
    lock.take()
    path.write_text('{"pid": 7, "host": "elsewhere"}')
    with pytest.raises(ConfigError, match=r"another run \(process 7 on elsewhere\) is using"):
        Lock(path).take()
    lock.release()


@pytest.mark.parametrize(
    "text", ["", "garbage", "{}", "[]", '{"pid": "x"}', '{"pid": null}', '{"pid": 0}', "7"]
)
def test_a_lock_that_nobody_holds_does_not_stop_a_run_whatever_it_says(path: Path, text: str) -> None:
    path.write_text(text)
    assert_it_can_be_taken(path)


@pytest.mark.parametrize("text", ["", "garbage", "{}", "[]", '{"pid": "x", "host": 1}', "7"])
def test_a_lock_that_is_held_stops_a_run_whatever_it_says(path: Path, text: str) -> None:
    lock = Lock(path)
    lock.take()
    path.write_text(text)
    with pytest.raises(ConfigError, match="another run is using"):
        Lock(path).take()
    lock.release()


def test_nothing_is_written_through_a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("mine")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        Lock(path).take()
    assert target.read_text() == "mine"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock_module, "_lock_file", fail)
    with pytest.raises(ConfigError, match=rf"cannot be locked against other runs: {os.strerror(number)}"):
        Lock(path).take()


def test_a_disk_that_is_full_leaves_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(OSError, match="No space left"):
            Lock(path).take()
    assert list(path.parent.iterdir()) == []
    assert_it_can_be_taken(path)


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed there")
def test_a_file_that_was_removed_before_it_was_locked_is_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If two runs open the file of a third, one could lock the removed file, the other a new one."""
    first, second, third = Lock(path), Lock(path), Lock(path)
    first.take()
    lock_file = lock_module._lock_file
    calls: list[int] = []

    def meanwhile(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            first.release()
            third.take()
        lock_file(fd)

    monkeypatch.setattr(lock_module, "_lock_file", meanwhile)
    with pytest.raises(ConfigError, match="another run"):
        second.take()
    assert len(calls) == 3
    third.release()
    assert_it_can_be_taken(path)


def take_in_turns(path: Path, rounds: int) -> None:
    """Take the lock again and again, against others, and check that no other process holds it then."""
    inside = path.with_name("inside")
    for _ in range(rounds):
        lock = Lock(path)
        while True:
            try:
                lock.take()
            except ConfigError:
                continue
            break
        inside.touch(exist_ok=False)
        inside.unlink()
        lock.release()


@pytest.mark.slow
def test_one_run_holds_the_lock_when_several_try(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=take_in_turns, args=(path, 300)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert list(path.parent.iterdir()) == []
