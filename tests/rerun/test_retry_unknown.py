"""A retry that is killed while a POST is in flight: it may have arrived, so consent is needed."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hurtle
from hurtle.errors import ConfigError
from hurtle.testing import Server

pytestmark = pytest.mark.slow

VICTIM = "import sys, hurtle; hurtle.retry(sys.argv[1], sys.argv[2], where='ok', concurrency_per_host=1)"


@pytest.fixture
def killed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, Path, Server]]:
    """Kill a retry of three POSTs while the second is being answered."""
    with Server() as server:
        paths = ("/echo", "/delay/600", "/echo?last")
        rows = [{"url": server.url(path), "method": "POST", "content": path} for path in paths]
        (tmp_path / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        hurtle.run(tmp_path / "posts.jsonl", f"{tmp_path}/{request.param}")
        out = tmp_path / str(request.param)
        asked = server.stats()["requests"]
        with subprocess.Popen([sys.executable, "-c", VICTIM, out, tmp_path / "posts.jsonl"]) as victim:
            while server.stats()["requests"] < asked + 2 or not server.stats()["in_flight"]:
                assert victim.poll() is None
                time.sleep(0.005)
            victim.kill()
        yield out, tmp_path / "posts.jsonl", server


def errors_of(out: Path) -> dict[int, str | None]:
    return {row["index"]: row["error"] for row in hurtle.open_run(out)}


@pytest.mark.parametrize("killed", ["out.jsonl", "out.sqlite", "parts/"], indirect=True)
def test_what_may_have_been_sent_is_not_sent_again_without_consent(killed: tuple[Path, Path, Server]) -> None:
    out, posts, server = killed
    asked = server.stats()["requests"]
    hurtle.retry(out, posts, where="ok")
    unknown = [index for index, error in errors_of(out).items() if error == "local.sent_unknown"]
    assert 1 in unknown
    assert 2 not in unknown
    assert server.stats()["requests"] - asked == 1, "the third; the answer to the first is kept, or unknown"
    asked = server.stats()["requests"]
    assert hurtle.retry(out, posts).requests == 0
    assert server.stats()["requests"] == asked
    assert hurtle.retry(out, posts, resend_unknown=True).ok == len(unknown)
    assert server.stats()["requests"] - asked == len(unknown)
    assert set(errors_of(out).values()) == {None}


@pytest.mark.parametrize("killed", ["out.parquet", "out.duckdb", "parts/"], indirect=True)
def test_what_may_have_been_sent_stays_known_when_the_rows_are_picked_anew(
    killed: tuple[Path, Path, Server],
) -> None:
    out, posts, server = killed
    asked = server.stats()["requests"]
    hurtle.retry(out, posts, where='"index" = 2', restart=True)
    unknown = [index for index, error in errors_of(out).items() if error == "local.sent_unknown"]
    assert 1 in unknown
    assert server.stats()["requests"] - asked == 1


@pytest.mark.parametrize("killed", ["parts/", "out.sqlite", "out.duckdb"], indirect=True)
def test_what_may_have_been_sent_stays_known_when_the_run_is_found_complete(
    killed: tuple[Path, Path, Server],
) -> None:
    out, posts, server = killed
    asked = server.stats()["requests"]
    assert hurtle.run(posts, out).requests == 0
    with pytest.raises(ConfigError, match=r"a retry of .* has not ended"):
        hurtle.run(posts, out, resume=True)
    hurtle.retry(out, posts, where="ok")
    unknown = [index for index, error in errors_of(out).items() if error == "local.sent_unknown"]
    assert 1 in unknown
    assert server.stats()["requests"] - asked == 1, "the third; the answer to the first is kept, or unknown"


@pytest.mark.parametrize("killed", ["parts/"], indirect=True)
def test_consent_sends_what_may_have_been_sent(killed: tuple[Path, Path, Server]) -> None:
    out, posts, _ = killed
    summary = hurtle.retry(out, posts, where="ok", resend_unknown=True)
    assert summary.ok == summary.requests >= 2
    assert set(errors_of(out).values()) == {None}
