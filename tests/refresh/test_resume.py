"""A refresh that is interrupted, resumed, refused, or retried."""

import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import hurtle
from hurtle.errors import ConfigError
from tests.refresh.test_refresh import rows_of
from tests.refresh.validating_server import WAIT_SECONDS, Page, ValidatingServer

pytestmark = pytest.mark.slow


def write_urls(site: ValidatingServer, folder: Path) -> Path:
    urls = folder / "urls.txt"
    urls.write_text("".join(site.url(path) + "\n" for path in site.pages), encoding="ascii")
    return urls


def changes_of(out: str | Path) -> list[tuple[str, Any, Any]]:
    return [(row["change"], row["body_run"], row["body_index"]) for row in rows_of(Path(out))]


def stop_when_all_have_come(site: ValidatingServer, arguments: list[str]) -> bytes:
    """Run `hurtle fetch` until each page was requested, then stop it; return its output."""
    site.taken()
    fast = ["-q", "--concurrency-per-host", "40", "--timeout", "60"]
    command = [sys.executable, "-m", "hurtle", "fetch", *arguments, *fast]
    victim = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        assert site.wait_for(len(site.pages))
        victim.send_signal(signal.SIGTERM)
        _, words = victim.communicate(timeout=WAIT_SECONDS)
    finally:
        victim.kill()
        victim.communicate()
    assert victim.returncode == 143
    return words


@pytest.mark.parametrize("name", ["new/", "new.sqlite"])
def test_a_refresh_that_was_interrupted_is_gone_on_with(
    tmp_path: Path, site: ValidatingServer, name: str
) -> None:
    site.pages = {f"/{n}": Page(b"%d" % n, etag=f'"{n}"') for n in range(40)}
    urls, old, new = write_urls(site, tmp_path), tmp_path / "old.jsonl", f"{tmp_path}/{name}"
    hurtle.run(urls, old)
    site.pages |= {"/3": Page(b"new", etag='"new"')}
    gate = site.pages["/39"].gate = Event()
    words = stop_when_all_have_come(site, [str(urls), "-o", new, "--since", str(old)])
    assert b"--since" in words
    gate.set()
    site.taken()
    summary = hurtle.run(urls, new, since=old)
    assert 0 < summary.resumed < 40
    assert len(site.taken()) == 40 - summary.resumed
    expected: list[tuple[str, Any, Any]] = [("unchanged", str(old), n) for n in range(40)]
    expected[3] = ("changed", None, None)
    assert changes_of(new) == expected


def make_refresh(site: ValidatingServer, folder: Path, name: str) -> tuple[Path, Path, str]:
    """Refresh five pages, one of which fails; return their list, the earlier run and the output."""
    site.pages = {f"/{n}": Page(b"%d" % n, etag=f'"{n}"') for n in range(5)}
    urls, old, new = write_urls(site, folder), folder / "old.jsonl", f"{folder}/{name}"
    hurtle.run(urls, old)
    site.pages["/2"].status = 500
    hurtle.run(urls, new, since=old, retries=0)
    assert [row[0] for row in changes_of(new)] == ["unchanged", "unchanged", "error", *["unchanged"] * 2]
    site.pages["/2"].status = 200
    site.taken()
    return urls, old, new


@pytest.mark.parametrize("name", ["new/", "new.sqlite"])
def test_a_refresh_is_not_gone_on_with_since_another_run(
    tmp_path: Path, site: ValidatingServer, name: str
) -> None:
    urls, old, new = make_refresh(site, tmp_path, name)
    lines = old.read_text(encoding="utf-8").splitlines(keepends=True)
    old.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"another run: since was .*old.jsonl \(5 rows, .* \(4 rows"):
        hurtle.run(urls, new, since=old)
    with pytest.raises(ConfigError, match=r"since was .*old\.jsonl .* and is now no run"):
        hurtle.run(urls, new)
    assert site.taken() == []
    old.write_text("".join(reversed(lines)), encoding="utf-8")  # the same rows in another order
    assert hurtle.run(urls, new, since=old).resumed == 5


@pytest.mark.parametrize("name", ["new/", "new.sqlite", "new.duckdb"])
def test_a_retry_compares_with_the_run_that_is_recorded(
    tmp_path: Path, site: ValidatingServer, name: str
) -> None:
    _, old, new = make_refresh(site, tmp_path, name)
    summary = hurtle.retry(new)
    assert (summary.requests, summary.ok) == (1, 1)
    assert [one.conditions for one in site.taken()] == [{"if-none-match": '"2"'}]
    assert changes_of(new) == [("unchanged", str(old), n) for n in range(5)]


@pytest.mark.parametrize("name", ["new.jsonl", "new.parquet", "new.csv"])
def test_a_retry_of_a_file_is_told_what_to_compare_with(
    tmp_path: Path, site: ValidatingServer, name: str
) -> None:
    _, old, new = make_refresh(site, tmp_path, name)
    with pytest.raises(ConfigError, match="a file does not record of which run") as caught:
        hurtle.retry(new)
    assert caught.value.option == "since"
    assert site.taken() == []
    command = [sys.executable, "-m", "hurtle", "retry", new, "--since", str(old), "-q"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert [one.conditions for one in site.taken()] == [{"if-none-match": '"2"'}]
    assert changes_of(new) == [("unchanged", str(old), n) for n in range(5)]


def test_a_retry_does_not_compare_with_another_run(tmp_path: Path, site: ValidatingServer) -> None:
    urls, old, new = make_refresh(site, tmp_path, "new/")
    hurtle.run(urls, old, restart=True)
    site.taken()
    with pytest.raises(
        ConfigError, match=r"is a refresh of .* \(5 rows\), but .* is another run, or has changed"
    ):
        hurtle.retry(new)
    with pytest.raises(ConfigError, match="is not a refresh"):
        hurtle.retry(old, since=new)
    assert site.taken() == []


def test_rows_in_order_have_the_columns_too(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {f"/{n}": Page(b"%d" % n, etag=f'"{n}"') for n in range(40)}
    urls, old, new = write_urls(site, tmp_path), tmp_path / "old.jsonl", f"{tmp_path}/new/"
    hurtle.run(urls, old)
    site.pages["/20"].gate = Event()
    stop_when_all_have_come(site, [str(urls), "-o", new, "--since", str(old), "--ordered"])
    rows = [(row["change"], row["index"], row["body_index"]) for row in rows_of(Path(new))]
    assert rows == [("unchanged", index, index) for index in range(20)]
