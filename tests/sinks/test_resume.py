"""A run that broke off and is gone on with: nothing twice, nothing lost, and no other run mistaken for it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import hurtle
from hurtle.errors import ConfigError, JournalError
from hurtle.sinks import parts
from hurtle.testing import Server

pytestmark = pytest.mark.slow

ROWS = 300
IN_FLIGHT = 8
AHEAD = 64
"""Rows that were answered and not in the sink's hands yet, at most."""
OUTPUTS = ["out.jsonl", "out.parquet", "jsonl/", "parquet/"]


class Broken(Exception):
    """What breaks a run off in these tests."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 20)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(latency=0.01) as server:
        yield server


def urls_of(server: Server) -> list[str]:
    return [server.url(f"/bytes/{number}") for number in range(ROWS)]


def run(urls: Iterable[str], out: Path | str, *, until: int | None = None, **options: Any) -> hurtle.Summary:
    """Run, and break off once so many rows have come."""

    def watch(counters: object) -> None:
        if until is not None and getattr(counters, "done") >= until:  # noqa: B009
            raise Broken

    name = str(out)
    given = {"format": "jsonl"} if name.endswith("jsonl/") else {}
    limits = {"concurrency": IN_FLIGHT, "concurrency_per_host": IN_FLIGHT}
    return hurtle.run(urls, name, **(given | limits | {"progress": watch} | options))


def broken_off(urls: Iterable[str], out: Path | str, until: int = 100, **options: Any) -> None:
    with pytest.raises(Broken):
        run(urls, out, until=until, **options)


def indexes_in(out: str) -> list[int]:
    """Return the positions of the rows that a reader finds, sorted."""
    path = Path(out)
    files = sorted(path.glob("part-??????.*")) if path.is_dir() else [path]
    found: list[int] = []
    for file in files:
        if file.suffix == ".jsonl":
            found += [json.loads(line)["index"] for line in file.read_bytes().splitlines()]
        else:
            found += pyarrow.parquet.read_table(file)["index"].to_pylist()
    return sorted(found)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", OUTPUTS)
def test_only_what_is_not_done_is_sent_when_a_run_goes_on(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    broken_off(urls, out)
    sent = server.stats()["requests"]
    assert 100 <= sent < ROWS, "it broke off in the middle"
    assert not (tmp_path / name).is_file()

    summary = run(urls, out)
    assert indexes_in(out) == list(range(ROWS))
    assert summary.resumed >= 100
    assert summary.requests + summary.resumed == ROWS
    assert server.stats()["requests"] == sent + summary.requests
    assert sent - summary.resumed <= IN_FLIGHT + AHEAD
    assert names_in(tmp_path) == [name.rstrip("/")]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_run_may_break_off_again_and_again(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    for _ in range(3):
        broken_off(urls, out, until=40, concurrency=2)
    assert run(urls, out).resumed >= 120
    assert indexes_in(out) == list(range(ROWS))


def test_a_folder_that_is_complete_asks_nobody(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out/", urls_of(server)
    run(urls, out)
    before = server.stats()["requests"], names_in(tmp_path / "out")
    summary = run(urls, out)
    assert (summary.requests, summary.resumed) == (0, ROWS)
    assert (server.stats()["requests"], names_in(tmp_path / "out")) == before


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_restart_begins_again(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    broken_off(urls, out)
    summary = run(urls[:50], out, restart=True)
    assert (summary.requests, summary.resumed) == (50, 0)
    assert indexes_in(out) == list(range(50))
    assert names_in(tmp_path) == [name.rstrip("/")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rows": 299}, "its input is not the same .*rows 300.*now rows 299"),
        ({"max_redirects": 3}, "max_redirects was 10 and is now 3"),
        ({"headers": {"x-key": "secret"}}, "headers was 'sha256 .*' and is now 'sha256 "),
        ({"format": "parquet"}, "it writes jsonl, this one parquet"),
        ({"resume": False}, "holds a run that has begun"),
    ],
    ids=["input", "option", "headers", "format", "no resume"],
)
def test_s13_another_run_is_refused_and_the_difference_named(
    tmp_path: Path, server: Server, changed: dict[str, Any], words: str
) -> None:
    out, urls = f"{tmp_path}/jsonl/", urls_of(server)
    broken_off(urls, out)
    before = names_in(tmp_path / "jsonl"), server.stats()["requests"]
    options = {name: value for name, value in changed.items() if name != "rows"}
    with pytest.raises(ConfigError, match=words) as refused:
        run(urls[: changed.get("rows", ROWS)], out, **options)
    assert "secret" not in str(refused.value)
    assert (names_in(tmp_path / "jsonl"), server.stats()["requests"]) == before
    run(urls, out)
    assert indexes_in(out) == list(range(ROWS)), "who was refused left it as it was"


@pytest.mark.parametrize("changed", [{"concurrency": 3}, {"retries": 7}, {"timeout": 5.0}])
def test_how_fast_and_how_patiently_a_run_goes_may_change(
    tmp_path: Path, server: Server, changed: dict[str, Any]
) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(urls, out)
    assert run(urls, out, **changed).resumed >= 100


def test_an_input_that_is_read_once_goes_on_when_the_caller_says_so(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(iter(urls), out)
    with pytest.raises(ConfigError, match="can be read once only"):
        run(iter(urls), out)
    assert run(iter(urls), out, resume=True).resumed >= 100
    assert indexes_in(out) == list(range(ROWS))


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Path:
    """A run that broke off, with parts that are committed."""
    broken_off(urls_of(server), f"{tmp_path}/jsonl/")
    return tmp_path / "jsonl"


def committed(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]


def test_a_part_without_its_line_is_asked_again(folder: Path, server: Server) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))


@pytest.mark.parametrize("torn", [1, 40, -1])
def test_a_torn_line_of_the_journal_is_asked_again(folder: Path, server: Server, torn: int) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:torn])
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))
    assert sum(int(str(entry["rows"])) for entry in committed(folder)) == ROWS


def lose(part: Path) -> None:
    part.unlink()


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


@pytest.mark.parametrize(("damage", "words"), [(lose, "is gone"), (cut, "bytes, and the journal says")])
def test_a_part_that_is_not_as_the_journal_says_is_named(
    folder: Path, server: Server, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder / "part-000002.jsonl")
    with pytest.raises(JournalError, match=rf"part-000002\.jsonl.*{words}"):
        run(urls_of(server), f"{folder.parent}/jsonl/")
    assert "lock" not in names_in(folder)


@pytest.mark.parametrize(
    "line",
    [b"{", b"{}", b"7", b'{"part":"x","bytes":1,"done":[]}', b'{"part":"part-1","bytes":1,"done":[3]}'],
)
def test_a_damaged_journal_is_named(folder: Path, server: Server, line: bytes) -> None:
    journal = folder / "journal.jsonl"
    journal.write_bytes(line + b"\n" + journal.read_bytes())
    with pytest.raises(JournalError, match=r"journal\.jsonl is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


def test_a_damaged_record_is_named(folder: Path, server: Server) -> None:
    (folder / "run.json").write_bytes(b"{")
    with pytest.raises(JournalError, match=r"run\.json is damaged"):
        run(urls_of(server), f"{folder.parent}/jsonl/")


def test_what_a_crash_left_is_removed_and_what_somebody_put_there_stays(folder: Path, server: Server) -> None:
    for name in (".part-000009.jsonl.0123.tmp", ".run.json.tmp", "part-000099.jsonl", ".joined.tmp"):
        (folder / name).write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    (folder / "part-of-mine").mkdir()
    run(urls_of(server), f"{folder.parent}/jsonl/")
    assert indexes_in(str(folder)) == list(range(ROWS))
    others = [name for name in names_in(folder) if not name.startswith("part-0")]
    assert others == ["journal.jsonl", "notes.txt", "part-of-mine", "run.json"]
    assert "part-000099.jsonl" not in names_in(folder)


@pytest.mark.parametrize(
    "left", [("part-000003.jsonl",), ("part-000001.jsonl", "journal.jsonl"), ("journal.jsonl",), ()]
)
def test_a_run_begins_where_a_crash_left_one_half_dropped(
    folder: Path, server: Server, left: tuple[str, ...]
) -> None:
    (folder / "run.json").rename(folder / "dropped")
    for path in folder.iterdir():
        if path.name not in ("dropped", *left):
            path.unlink()
    assert run(urls_of(server), f"{folder.parent}/jsonl/").resumed == 0
    assert indexes_in(str(folder)) == list(range(ROWS))
    assert "dropped" not in names_in(folder)


@pytest.mark.parametrize(
    "name", ["part-00000-abc.snappy.parquet", "part-000001.jsonl", "journal.jsonl", "data"]
)
def test_a_folder_of_somebodys_files_is_left_alone(tmp_path: Path, server: Server, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    for restart in (False, True):
        with pytest.raises(ConfigError, match=f"files of no run .{name}"):
            run(urls_of(server), f"{tmp_path}/out/", restart=restart)
    assert names_in(tmp_path / "out") == [name]
    assert server.stats()["requests"] == 0


def fetch(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-X", "dev", "-m", "hurtle", "fetch", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    with process:
        _, said = process.communicate(timeout=seconds)
    return process.returncode, said


@contextmanager
def hanging(tmp_path: Path, server: Server) -> Iterator[subprocess.Popen[str]]:
    """Run `hurtle fetch` until all of its list has come but one row that never will."""
    listed = [*urls_of(server), server.url("/hang")]
    (tmp_path / "urls.txt").write_text("\n".join(listed))
    with fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--retries", "0") as process:
        try:
            end = time.monotonic() + 30
            while server.stats()["requests"] <= ROWS and time.monotonic() < end:
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_s1_a_signal_ends_the_run_in_time_and_says_how_to_go_on(
    tmp_path: Path, server: Server, number: signal.Signals, status: int
) -> None:
    with hanging(tmp_path, server) as process:
        start = time.monotonic()
        process.send_signal(number)
        returned, said = ended(process)
        assert time.monotonic() - start < 10, "the grace time is five seconds"
    assert returned == status
    assert f"to go on with it: hurtle fetch {tmp_path}/urls.txt -o {tmp_path}/out.jsonl" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.jsonl").exists()
    sent = server.stats()["requests"]
    # The row that hangs ends as a failure this time.
    returned, said = ended(
        fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--retries", "0", "--timeout", "0.5")
    )
    assert returned == 1, said
    assert indexes_in(f"{tmp_path}/out.jsonl") == list(range(ROWS + 1))
    assert server.stats()["requests"] == sent + 1
    assert names_in(tmp_path) == ["out.jsonl", "urls.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_s2_a_second_ctrl_c_ends_at_once_and_keeps_what_is_committed(tmp_path: Path, server: Server) -> None:
    with hanging(tmp_path, server) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "the first one waits for what is in flight"
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        returned, said = ended(process)
        assert time.monotonic() - start < 2
    assert returned == 130
    assert "Traceback" not in said
    sent = server.stats()["requests"]
    ended(fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--retries", "0", "--timeout", "0.5"))
    assert indexes_in(f"{tmp_path}/out.jsonl") == list(range(ROWS + 1))
    assert server.stats()["requests"] - sent <= ROWS + 1


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_s12_two_runs_on_one_output_do_not_meet(tmp_path: Path, server: Server) -> None:
    with hanging(tmp_path, server) as first:
        before = server.stats()["requests"]
        status, said = ended(fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl"))
        assert (status, server.stats()["requests"]) == (2, before)
        assert f"another run (process {first.pid}) is using" in said
        restarting = fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--restart")
        assert ended(restarting)[0] == 2
        assert first.poll() is None
        first.kill()
        first.wait()
    # A killed run holds nothing.
    status, said = ended(
        fetch(tmp_path / "urls.txt", "-o", tmp_path / "out.jsonl", "--retries", "0", "--timeout", "0.5")
    )
    assert status == 1, said
    assert indexes_in(f"{tmp_path}/out.jsonl") == list(range(ROWS + 1))


@pytest.mark.parametrize("text", [b"", b"garbage", b'{"pid": 1, "began": "0", "boot": "another"}'])
def test_a_stale_lock_does_not_stop_a_run(folder: Path, server: Server, text: bytes) -> None:
    (folder / "lock").write_bytes(text)
    assert run(urls_of(server), f"{folder.parent}/jsonl/").resumed >= 100
    assert "lock" not in names_in(folder)
