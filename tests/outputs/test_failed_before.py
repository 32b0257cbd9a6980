"""A run that is resumed, or found complete: the failures among its earlier rows count, too."""

import json
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.outputs.layout import JOURNAL
from hurtle.positions import Done
from hurtle.testing import Server
from tests.outputs.breaking import raise_at

OUTPUTS = ["parts/", "out.sqlite", "out.duckdb"]
IN_ONE_FILE = ["out.jsonl", "out.parquet"]


def urls_of(server: Server) -> list[str]:
    paths = ["/status/503", "/status/500", *(f"/bytes/{n}" for n in range(60)), *["/delay/20"] * 60]
    return [server.url(path) for path in paths]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_complete_run_says_at_every_call_what_failed(
    tmp_path: Path, hurtle_server: Server, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "list.txt").write_text("\n".join(urls_of(hurtle_server)[:10]))
    command = ["fetch", str(tmp_path / "list.txt"), "-o", f"{tmp_path}/{name}", "--retries", "0"]
    assert main(command) == 1
    assert "already" not in capsys.readouterr().err
    for _ in range(2):
        assert main(command) == 1
        assert "10 rows were already there, 2 of them failed" in capsys.readouterr().err


@pytest.mark.parametrize("name", OUTPUTS + IN_ONE_FILE)
def test_failures_of_an_interrupted_run_count_when_it_is_gone_on_with(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(hurtle_server)
    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls, out, retries=0, concurrency=2, progress=raise_at(20, KeyboardInterrupt))
    summary = hurtle.run(urls, out, retries=0)
    assert 20 <= summary.resumed < len(urls)
    assert (summary.failed, summary.resumed_failed, summary.all_ok) == (0, 2, False)


def test_a_journal_without_that_count_counts_none(tmp_path: Path, hurtle_server: Server) -> None:
    out, urls = tmp_path / "parts", urls_of(hurtle_server)[:5]
    hurtle.run(urls, f"{out}/", retries=0)
    lines = [json.loads(line) for line in (out / JOURNAL).read_bytes().splitlines()]
    for line in lines:
        assert line.pop("failed") == [[0, 1]]
        del line["sum"]
    (out / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = hurtle.run(urls, f"{out}/", retries=0)
    assert (summary.resumed, summary.resumed_failed) == (5, 0)


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_a_retry_has_mended_is_no_failure_any_more(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    paths = ["/flaky?times=1&status=503&key=a", "/status/500", "/bytes/1"]
    urls = [hurtle_server.url(path) for path in paths]
    out = f"{tmp_path}/{name}"
    assert hurtle.run(urls, out, retries=0).failed == 2
    assert hurtle.retry(out, urls, retries=0).failed == 1
    summary = hurtle.run(urls, out, retries=0)
    assert (summary.resumed, summary.resumed_failed) == (3, 1)


@pytest.mark.parametrize("name", ["parts/", "out.sqlite", "out.duckdb", "out.jsonl"])
def test_failures_of_an_interrupted_retry_count(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out, urls = f"{tmp_path}/{name}", urls_of(hurtle_server)
    hurtle.run(urls, out, retries=0)
    more: dict[str, Any] = {"where": "status > 0", "retries": 0}
    with pytest.raises(KeyboardInterrupt):
        hurtle.retry(out, urls, concurrency=2, progress=raise_at(20, KeyboardInterrupt), **more)
    summary = hurtle.retry(out, urls, **more)
    assert 20 <= summary.resumed < len(urls)
    assert (summary.failed, summary.resumed_failed) == (0, 2)


def test_the_newest_row_of_a_position_counts() -> None:
    done = Done()
    done.add_spans([(0, 9)], [(2, 4)])
    done.add_spans([(3, 3), (12, 12)], [(12, 12)])
    assert (len(done), done.failed, list(done.spans())) == (11, 3, [(0, 9), (12, 12)])
    done.add_spans([(2, 4)])
    assert done.failed == 1
