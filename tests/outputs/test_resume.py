"""An interrupted run is resumed: nothing twice, nothing lost, and no other run mistaken for it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError, SinkError
from hurtle.outputs import record as recorded
from hurtle.outputs.folder import RunFolder
from hurtle.sinks import parts
from hurtle.testing import Server
from tests.outputs.resuming import (
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
        (
            {"rows": 299},
            r"its input is not the same: it had 300 rows, and this one has 299 rows; use --restart \(",
        ),
        ({"max_redirects": 3}, "max_redirects was 10 and is now 3"),
        ({"headers": {"x-key": "secret"}}, "headers differ: x-key;"),
        ({"user_agent": "secret/1"}, "headers differ: user-agent;"),
        ({"format": "parquet"}, "it writes jsonl, and this one writes parquet"),
        ({"resume": False}, r"holds a run already; use --restart \(restart=True\) to drop it and start over"),
    ],
    ids=["input", "option", "headers", "user agent", "format", "no resume"],
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


def test_a_list_as_long_as_the_other_is_told_from_it(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/jsonl/", urls_of(server)
    broken_off(urls, out)
    with pytest.raises(ConfigError, match="not the same: it also had 300 rows, but different ones;"):
        run(urls[::-1], out)
    broken_off(iter(urls), other := f"{tmp_path}/other/")
    with pytest.raises(ConfigError, match="it could be read only once, so it cannot be compared;"):
        run(urls, other)


NEWER = """
import sys, hurtle.version
hurtle.version.__version__ = "9.9.9"
from hurtle.cli.main import main
from hurtle.options import USER_AGENT
assert USER_AGENT == "hurtle/9.9.9"
sys.exit(main(sys.argv[1:]))
"""


def test_a_newer_version_goes_on_with_a_run_and_retries_it(tmp_path: Path, server: Server) -> None:
    out, listed, own = tmp_path / "parts", tmp_path / "urls.txt", ["-A", "me/1"]
    listed.write_text("\n".join(urls_of(server)))
    for options, chosen in ([], {}), (own, {"user_agent": "me/1"}):
        broken_off(listed, f"{out}/", **chosen)  # type: ignore[arg-type]  # a path is an input as well
        for words in (
            ["fetch", listed, "-o", f"{out}/", *options],
            ["retry", out, "--where", '"index" < 5', *options],
        ):
            newer = [sys.executable, "-c", NEWER, *map(str, words)]
            done = subprocess.run(newer, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            assert "headers" not in done.stderr, "they are those of the run"
        assert hurtle.open_run(out).rows == ROWS
        shutil.rmtree(out)


def test_the_run_of_another_version_is_refused_and_the_version_named(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/parts/", urls_of(server)
    broken_off(urls, out)
    of_run = tmp_path / "parts" / "run.json"
    record = json.loads(of_run.read_bytes())
    for left_out, whose in ((), f"hurtle {hurtle.__version__}"), (("hurtle",), "another version of hurtle"):
        other = {name: value for name, value in record.items() if name not in left_out} | {"schema": 99}
        of_run.write_text(json.dumps(other))
        for refused in (lambda: run(urls, out), lambda: hurtle.open_run(out)):
            with pytest.raises(
                ConfigError, match=f"parts/ holds a run of {whose}, which alone can read and resume it"
            ):
                refused()
    assert run(urls, out, restart=True).requests == ROWS
    assert indexes_in(out) == list(range(ROWS))


@pytest.mark.parametrize("name", ["out.sqlite", "out.duckdb"])
def test_the_run_of_another_version_in_a_database_can_be_dropped(
    tmp_path: Path, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, urls = tmp_path / name, urls_of(server)
    with monkeypatch.context() as patch:
        patch.setattr(recorded, "SCHEMA", 99)
        broken_off(urls, out)
    for refused in (lambda: run(urls, out), lambda: hurtle.open_run(out)):
        with pytest.raises(ConfigError, match="which alone can read and resume it"):
            refused()
    assert run(urls, out, restart=True).requests == ROWS
    assert sorted(row["index"] for row in hurtle.open_run(out)) == list(range(ROWS))


def test_a_list_that_is_read_as_something_else_is_another_one(tmp_path: Path, server: Server) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text("url\n" + "\n".join(urls_of(server)))
    out = f"{tmp_path}/out.jsonl"
    broken_off(str(listed), out)
    listed.rename(tmp_path / "urls.csv")
    with pytest.raises(ConfigError, match="it was read as text, and this one is read as csv"):
        run(str(tmp_path / "urls.csv"), out)


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


def test_an_input_that_ends_before_what_is_done_is_another_one(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(iter(urls), out)
    with pytest.raises(
        ConfigError, match=r"the input ended after 20 rows, but the run has a row at position \d+"
    ):
        run(iter(urls[:20]), out, resume=True)
    assert not Path(out).exists()
    run(iter(urls), out, resume=True)
    assert indexes_in(out) == list(range(ROWS))


def test_an_input_that_is_read_once_goes_on_when_the_caller_says_so(tmp_path: Path, server: Server) -> None:
    out, urls = f"{tmp_path}/out.jsonl", urls_of(server)
    broken_off(iter(urls), out)
    with pytest.raises(ConfigError, match="can be read only once"):
        run(iter(urls), out)
    assert run(iter(urls), out, resume=True).resumed >= 100
    assert indexes_in(out) == list(range(ROWS))


@pytest.mark.parametrize("name", ["parts/", "out.sqlite", "out.duckdb"])
def test_a_run_that_is_made_longer_has_not_ended_before_its_new_rows_are_there(
    tmp_path: Path, server: Server, name: str
) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    run(iter(urls[:50]), out)
    broken_off(iter(urls), out, until=100, resume=True)
    assert hurtle.open_run(out).complete is False
    with pytest.raises(ConfigError, match="has not ended"):
        hurtle.retry(out, urls, where='"index" = 0')
    run(iter(urls), out, resume=True)
    assert sorted(row["index"] for row in hurtle.open_run(out)) == list(range(ROWS))
    assert hurtle.open_run(out).complete


def fetch(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-X", "dev", "-m", "hurtle", "fetch", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    with process:
        _, said = process.communicate(timeout=seconds)
    return process.returncode, said


@contextmanager
def hanging(tmp_path: Path, server: Server) -> Iterator[subprocess.Popen[str]]:
    """Run `hurtle fetch` until its list is done except for one row that never ends."""
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
    assert f"to resume: hurtle fetch {tmp_path}/urls.txt -o {tmp_path}/out.jsonl" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.jsonl").exists()
    sent = server.stats()["requests"]
    # The hanging request ends as a failure this time.
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
    # A killed run holds no lock.
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
    assert f"the rows so far are in {tmp_path}/out.jsonl.run; to resume: hurtle fetch" in said
    assert said.endswith("No space left on device\n")
    assert main(words) == 0
    assert indexes_in(f"{tmp_path}/out.jsonl") == list(range(ROWS))
