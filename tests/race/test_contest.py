"""The race with contestants made for the test: right, wrong, crashing, hanging and missing ones."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.race import RaceResult, Settings, run_race
from hurtle.race.method import METHODS, Method
from hurtle.testing import Server

pytestmark = pytest.mark.slow

HEAD = "import sys, time, urllib.request\n"
READ = "urllib.request.urlopen(url, timeout=10).read()"
RIGHT = f"""{HEAD}
def fetch(job, got):
    print("a library's own words")
    for index, url in enumerate(job.urls):
        got(index, len({READ}))
"""
CONTESTANTS = {
    "right": RIGHT,
    "crashing": "def fetch(job, got):\n    raise ValueError('no way')\n",
    "quitting": "import os\ndef fetch(job, got):\n    os.abort()\n",
    "hanging": "import subprocess\ndef fetch(job, got):\n    subprocess.run(['sleep', '600'])\n",
    "short": "def fetch(job, got):\n    for index in range(len(job.urls)):\n        got(index, 99)\n",
    "forgetful": "def fetch(job, got):\n    got(0, 100)\n",
    "miscounting": "def fetch(job, got):\n    return len(job.urls) - 1\n",
    "counting": "def fetch(job, got):\n    return len(job.urls)\n",
    "declining": "def fetch(job, got):\n    job.refuse('not my kind of server')\n",
    "boxed": f"""{HEAD}
def fetch(job, got):
    raise ExceptionGroup("tasks", [OSError("the cause")])
""",
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a file for each contestant."""
    for name, source in CONTESTANTS.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    return tmp_path


def own_race(folder: Path, *names: str, limit: float = 20.0, repeat: int = 1) -> RaceResult:
    """Race contestants of this file on the built-in server: 4 URLs of 100 bytes."""
    settings = Settings(requests=4, latency=0.0, body_bytes=100, http=True, limit=limit, repeat=repeat)
    return run_race(settings, methods=[Method(name=name, what=name, folder=folder) for name in names])


def errors_of(result: RaceResult) -> dict[str, str | None]:
    return {row.name: row.error for row in result.rows}


def test_a_contestant_that_fetches_everything_has_all_figures(made: Path) -> None:
    (row,) = own_race(made, "right").rows
    assert row.error is None
    assert row.bytes == 400
    assert row.seconds is not None
    assert row.requests_per_s == pytest.approx(4 / row.seconds)
    assert row.cpu_us_per_request is not None
    assert 0 < row.cpu_us_per_request * 4 < 20e6
    assert row.peak_rss_bytes is None or row.peak_rss_bytes > 1_000_000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crashing", "ValueError: no way"),
        ("quitting", "ended by SIGABRT"),
        ("short", "4 of 4 bodies have a wrong size: http://127.0.0.1:"),
        ("short", "returned 99 bytes instead of 100"),
        ("forgetful", "3 of 4 URLs returned nothing"),
        ("miscounting", "3 answers to 4 requests"),
        ("declining", "skipped: not my kind of server"),
        ("boxed", "OSError: the cause"),
    ],
)
def test_a_contestant_that_fails_has_an_error_and_the_race_goes_on(made: Path, name: str, words: str) -> None:
    result = own_race(made, name, "right")
    errors = errors_of(result)
    assert words in (errors[name] or "")
    assert errors["right"] is None
    assert result.winner is not None
    assert result.winner.name == "right"


def test_a_contestant_that_hangs_is_killed_with_all_that_it_started(made: Path) -> None:
    clock = time.monotonic()
    result = own_race(made, "hanging", "right", limit=1.5)
    assert errors_of(result) == {"hanging": "killed after 1.5 seconds", "right": None}
    assert time.monotonic() - clock < 30


def test_a_tool_that_keeps_no_bodies_is_counted(made: Path) -> None:
    (row,) = own_race(made, "counting").rows
    assert row.error is None
    assert row.bytes is None


def test_an_unreachable_server_is_an_error_of_every_row(made: Path) -> None:
    with Server() as server:
        url = server.url("/bytes/100")
    settings = Settings(requests=2, server=url)
    names = ("right", "counting")
    result = run_race(settings, methods=[Method(name=name, what=name, folder=made) for name in names])
    assert "Connection refused" in (errors_of(result)["right"] or "")
    assert errors_of(result)["counting"] is None


def test_a_missing_package_is_a_skipped_row(made: Path) -> None:
    method = Method(
        name="right", what="", needs=("no-such-package",), install="pip install no-such-package", folder=made
    )
    (row,) = run_race(Settings(requests=1, latency=0), methods=[method]).rows
    assert row.error == "skipped: no-such-package not found (pip install no-such-package, or make race)"


def test_a_missing_node_is_a_skipped_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = hurtle.race(requests=1, latency=0, only=["node-undici", "wrk"], tools=tmp_path)
    assert errors_of(result) == {
        "node-undici": "skipped: node not found (install Node.js ≥ 18)",
        "wrk": "skipped: wrk not found (apt-get install wrk, or make race)",
    }
    assert result.winner is None
    assert "A race without a winner" in result.to_html()


def test_rounds_take_turns_and_a_failed_contestant_does_not_start_again(made: Path) -> None:
    started: list[str] = []
    settings = Settings(requests=2, latency=0, body_bytes=100, http=True, repeat=3)
    methods = [Method(name=name, what="", folder=made) for name in ("right", "crashing", "counting")]
    result = run_race(settings, methods=methods, ended=lambda method, _n, _run: started.append(method.name))
    assert started == ["right", "crashing", "counting", "right", "counting", "right", "counting"]
    assert [len(row.rounds) for row in result.rows] == [3, 0, 3]
    assert result.rows[0].seconds == sorted(result.rows[0].rounds)[1]


def test_every_body_is_told_as_it_arrives(made: Path) -> None:
    told: list[tuple[str, int]] = []
    settings = Settings(requests=3, latency=0, body_bytes=100, http=True)
    run_race(
        settings,
        methods=[Method(name="right", what="", folder=made)],
        arrived=lambda url, size: told.append((url.partition("?")[2], size)),
    )
    assert told == [("seed=1", 100), ("seed=2", 100), ("seed=1", 100)]


def test_a_url_file_is_checked_against_a_look_at_it(
    made: Path, tmp_path: Path, hurtle_server: Server
) -> None:
    listed = tmp_path / "urls.txt"
    urls = [hurtle_server.url("/bytes/5"), hurtle_server.url("/bytes/77")]
    listed.write_text("\n".join(urls) + "\n", encoding="ascii")
    methods = [Method(name=name, what="", folder=made) for name in ("right", "short")]
    result = run_race(Settings(url_file=str(listed)), methods=methods)
    assert result.rows[0].bytes == 82
    assert "returned 99 bytes instead of 5" in (result.rows[1].error or "")
    assert result.method["requests"] == 2


def test_hurtle_itself_runs_inside_a_running_event_loop() -> None:
    async def cell() -> RaceResult:
        return hurtle.race(requests=6, latency=0.01, only=["hurtle"])

    result = asyncio.run(cell())
    assert errors_of(result) == {"hurtle": None}
    assert result.rows[0].bytes == 60_000
    shown = json.loads(result.to_json())
    assert set(shown) == {"machine", "versions", "method", "results"}
    assert shown["results"][0].keys() >= {
        "name", "seconds", "requests_per_s", "cpu_us_per_request", "peak_rss_bytes", "bytes", "error",
    }  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_real_contestant_delivers_every_body_where_it_is_installed(method: Method) -> None:
    result = hurtle.race(
        requests=12, connections=3, latency=0.01, body_bytes=1234, http=True, only=[method.name]
    )
    (row,) = result.rows
    if row.error is not None and row.error.startswith("skipped: "):
        pytest.skip(row.error)
    assert row.error is None
    assert row.bytes == (12 * 1234 if method.keeps_bodies else None)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_contestant_is_one_short_file(method: Method) -> None:
    assert method.path.read_text(encoding="utf-8").count("\n") <= 80


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"requests": 0}, "requests=0: must be at least 1"),
        ({"connections": 0}, "connections=0"),
        ({"latency": float("nan")}, "latency=nan"),
        ({"limit": 0}, "limit=0"),
        ({"server": "ftp://example.com"}, "must start with http"),
        ({"server": "http://127.0.0.1/", "url_file": "x"}, "url_file and server are given"),
        ({"only": ("nobody",)}, "there is no contestant 'nobody'"),
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_an_error_status_is_an_error_of_every_contestant(method: Method) -> None:
    with Server() as server:
        result = hurtle.race(requests=4, server=server.url("/status/404"), only=[method.name], limit=20)
    (row,) = result.rows
    if row.error is not None and row.error.startswith("skipped: "):
        pytest.skip(row.error)
    assert row.error is not None


@pytest.mark.parametrize("name", ["hurtle", "node-undici"])
def test_the_limit_holds_over_all_hosts(name: str, tmp_path: Path) -> None:
    with Server(all_loopback=True) as server:
        hosts = [f"127.0.0.{number}" for number in range(1, 7)]
        urls = [server.url("/delay/20").replace("127.0.0.1", host) for host in hosts for _ in range(5)]
        (listed := tmp_path / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
        (row,) = hurtle.race(url_file=str(listed), connections=4, only=[name]).rows
        if row.error is not None and row.error.startswith("skipped: "):
            pytest.skip(row.error)
        assert (row.error, server.stats()["max_in_flight"]) == (None, 4)


def test_a_server_that_never_answers_ends_at_the_limit() -> None:
    began = time.monotonic()
    with Server() as server:
        (row,) = hurtle.race(requests=2, server=server.url("/hang"), only=["hurtle"], limit=1).rows
    assert row.error is not None
    assert time.monotonic() - began < 10
