"""Two runs on one folder of an object store: the second is refused, and one that slept does no harm."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import hurtle
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.formats.registry import FORMATS
from hurtle.outputs import Identity, remote_lock
from hurtle.outputs.objects import Objects
from hurtle.outputs.remote import RemoteFolder
from hurtle.sinks import new_sink
from hurtle.testing import Server
from tests.outputs.s3_server import BUCKET, S3

pytestmark = pytest.mark.slow

IDENTITY = Identity(input={"rows": 1})


def urls(server: Server) -> list[str]:
    return [server.url(f"/bytes/{n}") for n in range(60)]


def opened(out: str) -> RemoteFolder:
    return RemoteFolder(Objects(out), "jsonl")


def add_part(folder: RemoteFolder, index: int) -> None:
    part = folder.new_part(".jsonl")
    part.write_text(f'{{"index":{index}}}\n')
    folder.commit(part, 1, [index])


def test_whoever_had_a_run_before_can_change_nothing_any_more(s3: S3, prefix: str, out: str) -> None:
    first, second = opened(out), opened(out)
    first.begin(IDENTITY, "auto")
    add_part(first, 0)
    s3.client().delete_object(Bucket=BUCKET, Key=f"{prefix}lock")  # as if it had slept for long
    done = second.begin(IDENTITY, "auto")
    assert list(done) == [0]
    with pytest.raises(JournalError, match="another run is using"):
        add_part(first, 1)
    with pytest.raises(SinkError, match="another run is using"):
        first.end(FORMATS["jsonl"])
    add_part(second, 2)
    first.release()
    assert second.release()
    third = opened(out)
    assert list(third.begin(IDENTITY, "auto")) == [0, 2]
    third.release()


def test_a_sleeper_does_not_drop_the_run_that_another_has_gone_on_with(s3: S3, prefix: str, out: str) -> None:
    first, second = opened(out), opened(out)
    first.begin(IDENTITY, "auto")
    s3.client().delete_object(Bucket=BUCKET, Key=f"{prefix}lock")
    second.begin(IDENTITY, "auto")
    first.release()
    add_part(second, 0)
    second.release()
    third = opened(out)
    assert list(third.begin(IDENTITY, "auto")) == [0]
    third.release()


def test_a_second_run_is_refused_while_the_first_one_lives(
    s3: S3, prefix: str, out: str, hurtle_server: Server
) -> None:
    first = new_sink(out)
    first.begin(IDENTITY, "auto")
    with pytest.raises(ConfigError, match=rf"another run \(process \d+ on .*If it is gone, delete {out}lock"):
        hurtle.run(urls(hurtle_server), out)
    assert hurtle_server.stats()["requests"] == 0
    first.abort()
    assert "lock" not in s3.objects(prefix)
    assert hurtle.run(urls(hurtle_server), out).ok == 60


@pytest.mark.parametrize(("stale_s", "refused"), [(180.0, True), (-1.0, False)])
def test_of_a_holder_on_another_machine_the_last_sign_of_life_counts(
    s3: S3,
    prefix: str,
    out: str,
    hurtle_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    stale_s: float,
    refused: bool,
) -> None:
    holder = {
        "pid": 1,
        "began": "1",
        "boot": "another",
        "host": "elsewhere",
        "space": "pid:[1]",
        "token": "x",
    }
    s3.put(f"{prefix}lock", json.dumps(holder).encode())
    monkeypatch.setattr(remote_lock, "STALE_SECONDS", stale_s)
    if refused:
        with pytest.raises(ConfigError, match=r"another run \(process 1 on elsewhere\)"):
            hurtle.run(urls(hurtle_server), out)
        assert list(s3.objects(prefix)) == ["lock"], "the clock was read and removed"
        s3.client().delete_object(Bucket=BUCKET, Key=f"{prefix}lock")
    assert hurtle.run(urls(hurtle_server), out).ok == 60


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are described by /proc")  # noqa: PTH112
@pytest.mark.parametrize("change", [{}, {"began": "1"}], ids=["killed", "its number is another's"])
def test_a_holder_on_this_machine_that_is_gone_holds_nothing(
    s3: S3, prefix: str, out: str, hurtle_server: Server, change: dict[str, str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pid = os.getpid() if change else process.pid
        holder = remote_lock._here() | remote_lock._process(pid)
        s3.put(f"{prefix}lock", json.dumps(holder).encode())
        with pytest.raises(ConfigError, match=rf"another run \(process {pid} on"):
            hurtle.run(urls(hurtle_server), out)
        s3.put(f"{prefix}lock", json.dumps(holder | change).encode())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and stays a zombie
        assert hurtle.run(urls(hurtle_server), out).ok == 60


@pytest.mark.parametrize("text", [b"", b"garbage", b"[]", b'{"pid": "x"}'])
def test_a_lock_that_is_none_does_not_stop_a_run(
    s3: S3, prefix: str, out: str, hurtle_server: Server, text: bytes
) -> None:
    s3.put(f"{prefix}lock", text)
    assert hurtle.run(urls(hurtle_server), out).ok == 60


def test_a_holder_gives_signs_of_life_and_notices_when_it_was_taken_for_dead(
    s3: S3, prefix: str, out: str, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_lock, "BEAT_SECONDS", 0.05)
    beats: set[int] = set()

    def look(_counters: Any) -> None:
        beats.add(json.loads(s3.objects(prefix)["lock"])["beat"])
        if len(beats) == 5:
            s3.put(f"{prefix}lock", b"another's")

    with pytest.raises(SinkError, match="another run has taken over"):
        hurtle.run([hurtle_server.url("/delay/3000")], out, progress=_until_taken(look, beats))
    assert len(beats) == 5
    assert s3.objects(prefix)["lock"] == b"another's", "what is not ours is not removed"


def _until_taken(look: Callable[[Any], None], beats: set[int]) -> Callable[[Any], None]:
    def progress(counters: Any) -> None:
        if len(beats) < 5:
            look(counters)

    return progress
