"""Runs with rows in the order of the input, interrupted and resumed."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.testing import Server
from tests.outputs.killed_posts import wait_until
from tests.outputs.resuming import ROWS, broken_off, run, urls_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_parts")]


def positions_in(out: Path) -> list[int]:
    """Return the positions of the rows, in the order of the output."""
    return [row["index"] for row in hurtle.open_run(out)]


@pytest.mark.parametrize("name", ["out.jsonl", "out.sqlite"])
def test_a_run_in_order_is_gone_on_with_in_order(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = tmp_path / name, urls_of(server)
    broken_off(urls, str(out), ordered=True)
    summary = run(urls, str(out), ordered=True)
    assert 0 < summary.resumed < ROWS
    assert positions_in(out) == list(range(ROWS))


@pytest.mark.parametrize("name", ["out.jsonl", "parts/", "out.sqlite", "out.duckdb"])
def test_rows_that_came_as_they_came_are_not_said_to_be_in_order(
    tmp_path: Path, server: Server, name: str
) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    broken_off(urls, out)
    sent = server.stats()["requests"]
    with pytest.raises(ConfigError, match="cannot be resumed with ordered"):
        run(urls, out, ordered=True)
    assert server.stats()["requests"] == sent
    assert run(urls, out).resumed >= 100


@pytest.mark.parametrize("name", ["parts/", "out.sqlite"])
def test_where_no_row_is_written_any_order_fits(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(server)
    run([], out)
    assert run([], out, ordered=True).requests == 0
    assert run(iter(urls), out, resume=True, ordered=True).requests == ROWS
    assert run(iter(urls), out, resume=True, ordered=True).requests == 0
    assert positions_in(Path(out)) == list(range(ROWS))


@pytest.mark.parametrize("name", ["out.jsonl", "out.sqlite"])
def test_who_goes_on_without_order_has_none_from_then_on(tmp_path: Path, server: Server, name: str) -> None:
    out, urls = tmp_path / name, urls_of(server)
    broken_off(urls, out, ordered=True)
    broken_off(urls, out, until=50)
    with pytest.raises(ConfigError, match="cannot be resumed with ordered"):
        run(urls, out, ordered=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_posts_that_came_too_early_are_kept_and_the_command_that_is_shown_goes_on(
    tmp_path: Path, hurtle_server: Server
) -> None:
    posts = [
        {"url": hurtle_server.url(path), "method": "POST", "content": path}
        for path in ("/delay/20000", *(f"/bytes/{n}" for n in range(4)))
    ]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(post) + "\n" for post in posts))
    command = ["fetch", "posts.jsonl", "-o", "out.jsonl", "--quiet", "--retries", "0", "--ordered"]
    with subprocess.Popen(
        [sys.executable, "-m", "hurtle", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: hurtle_server.stats()["requests"] == 5 and hurtle_server.stats()["in_flight"] == 1)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    _, mark, again = said.partition("to resume: hurtle ")
    assert mark, said
    words = shlex.split(again.splitlines()[0])
    gone_on = subprocess.run(
        [sys.executable, "-m", "hurtle", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert gone_on.returncode == 1, gone_on.stderr
    errors = {row["index"]: row["error"] for row in hurtle.open_run(tmp_path / "out.jsonl")}
    assert errors == {0: "local.sent_unknown"} | dict.fromkeys(range(1, 5))
    assert hurtle_server.stats()["requests"] == 5
