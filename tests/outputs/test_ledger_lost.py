"""POSTs with a database file that was moved without its ledger, the only record of what may have gone out."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import LedgerError
from hurtle.outputs.database_file import LEDGER, DatabaseFile
from hurtle.runs import record_at
from hurtle.testing import Server
from tests.outputs.breaking import raise_at
from tests.outputs.killed_posts import kill_in_the_second

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

NAMES = ["out.sqlite", "out.duckdb"]


def errors(out: Path) -> list[tuple[int, str | None]]:
    return sorted((row["index"], row["error"]) for row in hurtle.open_run(out))


@pytest.fixture(params=NAMES)
def moved(request: pytest.FixtureRequest, tmp_path: Path, hurtle_server: Server, orders: Any) -> Path:
    """A run that was killed during its second POST and then moved; its ledger stayed behind."""
    out = tmp_path / "here" / request.param
    out.parent.mkdir()
    kill_in_the_second(str(out), orders, hurtle_server, tmp_path)
    there = tmp_path / "there"
    there.mkdir()
    for path in out.parent.iterdir():
        if not path.name.endswith((".ledger", ".lock")):
            shutil.move(path, there)
    return Path(there / out.name)


def test_nothing_is_sent_twice_without_the_ledger(
    moved: Path, hurtle_server: Server, orders: list[dict[str, Any]]
) -> None:
    words = (
        r"row [01] of the input must not be sent twice.*only in .*\.ledger, which is missing.*resend_unknown"
    )
    for _ in range(2):
        with pytest.raises(LedgerError, match=words):
            hurtle.run(orders, moved, retries=0)
    assert hurtle_server.stats()["requests"] == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_killed_before_its_ledger_was_there_has_one_when_it_goes_on(
    tmp_path: Path, hurtle_server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, posts = tmp_path / name, [{"url": hurtle_server.url("/bytes/1"), "method": "POST"}] * 3

    def killed(_: DatabaseFile) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DatabaseFile, "begin_ledger", killed)
        with pytest.raises(KeyboardInterrupt):
            hurtle.run(posts, out)
    assert LEDGER not in record_at(out)
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(posts, out, progress=raise_at(0, KeyboardInterrupt))
    assert record_at(out)[LEDGER] is True


def test_with_the_ledger_back_it_is_known_what_was_sent(
    moved: Path, hurtle_server: Server, orders: list[dict[str, Any]], tmp_path: Path
) -> None:
    shutil.move(tmp_path / "here" / f"{moved.name}.ledger", moved.parent)
    committed = errors(moved)
    hurtle.run(orders, moved, retries=0)
    unknown = [(index, "local.sent_unknown") for index in range(len(committed), 2)]
    assert unknown
    assert errors(moved) == committed + unknown
    assert hurtle_server.stats()["requests"] == 2
    assert [path.name for path in moved.parent.iterdir()] == [moved.name]


def test_consent_sends_it_again_and_begins_a_ledger(
    moved: Path, hurtle_server: Server, orders: list[dict[str, Any]]
) -> None:
    committed = errors(moved)
    hurtle.run(orders, moved, retries=0, timeout=0.5, resend_unknown=True)
    assert errors(moved) == [(0, None), (1, "timeout.first_byte")]
    assert hurtle_server.stats()["requests"] == 4 - len(committed)
    assert [path.name for path in moved.parent.iterdir()] == [moved.name]


def test_a_run_begun_anew_needs_no_older_ledger(
    moved: Path, hurtle_server: Server, orders: list[dict[str, Any]]
) -> None:
    hurtle.run(orders, moved, retries=0, timeout=0.5, restart=True)
    assert errors(moved) == [(0, None), (1, "timeout.first_byte")]


@pytest.mark.parametrize("name", NAMES)
def test_what_may_be_repeated_needs_no_ledger(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out, urls = tmp_path / name, [hurtle_server.url(f"/delay/{n % 9}") for n in range(200)]
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, concurrency=2, progress=raise_at(20, KeyboardInterrupt))
    Path(f"{out}.ledger").unlink()
    assert 20 <= hurtle.run(urls, out).resumed < 200
    assert errors(out) == [(n, None) for n in range(200)]


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_begins_a_ledger_too(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    posts = [{"url": hurtle_server.url("/delay/3"), "method": "POST", "content": "x"} for _ in range(200)]
    hurtle.run(posts, out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(KeyboardInterrupt):
        hurtle.retry(out, posts, where="ok", concurrency=2, progress=raise_at(20, KeyboardInterrupt))
    sent = hurtle_server.stats()["requests"]
    Path(f"{out}.ledger").unlink()
    with pytest.raises(LedgerError, match="which is missing"):
        hurtle.retry(out, posts, where="ok")
    with pytest.raises(hurtle.ConfigError, match="which is missing: put it back"):
        hurtle.retry(out, posts, where="ok", restart=True)
    assert hurtle_server.stats()["requests"] == sent
    hurtle.retry(out, posts, where="ok", resend_unknown=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
