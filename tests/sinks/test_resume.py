"""A run that broke off and is gone on with: nothing twice, nothing lost, and no other run mistaken for it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hurtle.cli.main import main
from hurtle.errors import ConfigError, SinkError
from hurtle.sinks import parts
from hurtle.sinks.folder import RunFolder
from hurtle.testing import Server
from tests.sinks.resuming import (
    AHEAD,
    IN_FLIGHT,
    OUTPUTS,
    ROWS,
    broken_off,
    indexes_in,
    names_in,
    run,
    urls_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_parts")]


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
        ({"headers": {"x-key": "secret"}}, "headers differ: x-key;"),
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


@pytest.mark.parametrize(
    "changed",
    [
        {"concurrency": 3},
        {"retries": 7},
        {"timeout": 5.0},
        {"headers": {"authorization": "Bearer second", "cookie": "a=2"}},
        {"auth": ("user", "second")},
    ],
    ids=str,
)
def test_how_fast_and_how_patiently_a_run_goes_and_its_credentials_may_change(
    tmp_path: Path, server: Server, changed: dict[str, Any]
) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(urls, out)
    assert run(urls, out, **changed).resumed >= 100


def test_an_ordered_run_is_gone_on_with_in_order(tmp_path: Path, server: Server) -> None:
    out, urls = tmp_path / "out.jsonl", urls_of(server)
    broken_off(urls, str(out), ordered=True)
    summary = run(urls, str(out), ordered=True)
    assert 0 < summary.resumed < ROWS
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["index"] for row in rows] == list(range(ROWS))


def test_a_run_with_gaps_cannot_be_gone_on_with_in_order(tmp_path: Path, server: Server) -> None:
    out, urls = str(tmp_path / "out.jsonl"), [server.url("/delay/20000"), *urls_of(server)]
    broken_off(urls, out)
    with pytest.raises(ConfigError, match="whose earlier ones are not"):
        run(urls, out, ordered=True)


def test_an_input_that_ends_before_what_is_done_is_another_one(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(iter(urls), out)
    with pytest.raises(
        ConfigError, match=r"the input ended after 20 rows, and the run has one of position \d+"
    ):
        run(iter(urls[:20]), out, resume=True)
    assert not Path(out).exists()
    run(iter(urls), out, resume=True)
    assert indexes_in(out) == list(range(ROWS))


def test_an_input_that_is_read_once_goes_on_when_the_caller_says_so(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(iter(urls), out)
    with pytest.raises(ConfigError, match="can be read once only"):
        run(iter(urls), out)
    assert run(iter(urls), out, resume=True).resumed >= 100
    assert indexes_in(out) == list(range(ROWS))


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
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
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


def test_a_run_whose_disk_fails_says_how_to_go_on(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "urls.txt").write_text("\n".join(urls_of(server)))
    words = ["fetch", f"{tmp_path}/urls.txt", "-o", f"{tmp_path}/out.jsonl", "--quiet"]
    committed: list[Path] = []
    commit = RunFolder.commit

    def fail_the_third(folder: RunFolder, part: Path, *rest: Any, **more: Any) -> None:
        if len(committed) == 2:
            raise SinkError(f"{part} could not be written: No space left on device")
        committed.append(part)
        commit(folder, part, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "PART_ROWS", 10)
        patch.setattr(RunFolder, "commit", fail_the_third)
        assert main(words) == 3
    said = capsys.readouterr().err
    assert f"what has come is in {tmp_path}/out.jsonl.run; to go on with it: hurtle fetch" in said
    assert said.endswith("No space left on device\n")
    assert main(words) == 0
    assert indexes_in(f"{tmp_path}/out.jsonl") == list(range(ROWS))
