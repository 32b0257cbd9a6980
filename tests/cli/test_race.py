"""`hurtle race` from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hurtle.cli.race import warn
from hurtle.race.target import Target
from hurtle.testing import Server

pytestmark = pytest.mark.slow

QUICK = ("--only", "hurtle,curl-parallel", "--requests", "6", "--latency", "0.01")


def race(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hurtle", "race", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_lines_table_bars_and_page(tmp_path: Path) -> None:
    run = race(*QUICK, "-o", "race.html", folder=tmp_path)
    assert run.returncode == 0, run.stdout
    assert run.stderr == ""
    assert "hurtle           download 6 links in 0." in run.stdout
    assert "times slower" in run.stdout
    assert "█" in run.stdout
    assert "</svg>" in (tmp_path / "race.html").read_text(encoding="utf-8")


def test_json_is_alone_on_stdout(tmp_path: Path) -> None:
    run = race(*QUICK, "--json", "--repeat", "2", "--http", folder=tmp_path)
    shown = json.loads(run.stdout)
    rows = {row["name"]: row for row in shown["results"]}
    assert rows["hurtle"]["bytes"] == 60_000
    assert len(rows["hurtle"]["rounds"]) == 2
    assert shown["versions"]["hurtle"]
    assert run.stderr.count("hurtle           download 6 links") == 2


def test_verbose_tells_every_body(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/bytes/321")
    run = race("--only", "hurtle", "--requests", "3", "--server", url, "--verbose", folder=tmp_path)
    assert run.stdout.count(f"Read 321 from {url}\n") == 3


@pytest.mark.parametrize(
    ("url", "connections", "warned"),
    [
        ("http://example.com/", 21, True),
        ("http://example.com/", 20, False),
        ("http://127.0.0.1:1/", 500, False),
        ("http://[::1]:1/", 500, False),
        ("https://some.localhost/", 500, False),
        ("http://127.0.0.1.example.com/", 21, True),
    ],
)
def test_only_many_connections_to_a_host_that_is_not_loopback_are_warned_about(
    capsys: pytest.CaptureFixture[str], url: str, connections: int, warned: bool
) -> None:
    warn(Target(urls=[url], expected=[None], ca_path=None, connections=connections, server="the host"))
    assert ("many sites answer floods with a ban" in capsys.readouterr().err) is warned


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nobody"], "there is no contestant 'nobody'"),
        (["--requests", "0"], "requests=0: must be at least 1"),
        (["--url-file", "missing.txt"], "missing.txt: no such file"),
        (["-o", "no/such/race.html"], "no/such/race.html cannot be written"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    run = race(*arguments, folder=tmp_path)
    assert run.returncode == 2
    assert words in run.stderr
    assert run.stderr.count("\n") == 1
