"""`run.body(row)` of a refresh: the body is found in the run that downloaded it, in every format."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import JournalError
from hurtle.runs import opened
from tests.refresh.test_chains import make_chain
from tests.refresh.test_outputs import OUTPUTS, edit, pages
from tests.refresh.test_refresh import rows_of
from tests.refresh.validating_server import Page, ValidatingServer

BEFORE = [b"tag", b"date", b"none \xff", b"old", b"removed"]
AFTER = [*BEFORE[:3], b"new", b""]
EXTENSIONS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".sqlite", ".duckdb", ".warc.gz", "/")


def bodies_of(out: str | Path) -> list[bytes | None]:
    """Return the body that a run finds for each of its rows, in the order of the input."""
    run = hurtle.open_run(out)
    return [run.body(row) for row in sorted(run, key=lambda row: int(row["index"]))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "format"), OUTPUTS)
def test_bodies_are_found_through_a_chain_in_every_format(
    tmp_path: Path,
    site: ValidatingServer,
    name: str,
    format: str | None,  # noqa: A002
) -> None:
    site.pages = pages()
    urls = [site.url(path) for path in site.pages]
    outs = [f"{tmp_path}/{name.replace('new', str(number))}" for number in range(4)]
    hurtle.run(urls, outs[0], format=format)
    edit(site)
    for before, out in pairwise(outs):
        hurtle.run(urls, out, format=format, since=before)
    assert [row["change"] for row in rows_of(Path(outs[-1]))][:2] == ["unchanged"] * 2
    has_bodies = not name.endswith("csv")
    assert bodies_of(outs[0]) == (BEFORE if has_bodies else [None] * 5)
    for out in outs[1:]:
        assert bodies_of(out) == (AFTER if has_bodies else [None] * 5), out


@pytest.mark.slow
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_bodies_are_found_in_any_order_among_many_parts(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    for module in ("stored", "warc"):
        monkeypatch.setattr(f"hurtle.formats.{module}.CHUNK_BYTES", 2_000)
    monkeypatch.setattr("hurtle.sinks.parts.PART_ROWS", 40)
    monkeypatch.setattr("hurtle.formats.parquet.GROUP_ROWS", 16)
    site.pages = {f"/{n}": Page(b"%d" % n * 9, etag=f'"{n}"') for n in range(150)}
    old, new = f"{tmp_path}/old{extension}", tmp_path / "new.jsonl"
    hurtle.run([site.url(path) for path in site.pages], old)
    hurtle.run([site.url(path) for path in reversed(site.pages)], new, since=old)
    run = hurtle.open_run(new)
    rows = sorted(run, key=lambda row: int(row["index"]))
    assert {row["change"] for row in rows} == {"unchanged"}
    for order in (rows, rows[::-1], rows[::7] + rows[1::11]):
        assert [run.body(row) for row in order] == [b"%d" % row["body_index"] * 9 for row in order]


def test_the_newest_row_counts_where_a_run_was_retried(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"", status=503), "/b": Page(b"b", etag='"1"')}
    urls, old = [site.url(path) for path in site.pages], f"{tmp_path}/old/"
    hurtle.run(urls, old, retries=0)
    site.pages["/a"] = Page(b"a", etag='"1"')
    hurtle.retry(old)
    hurtle.run(urls, tmp_path / "new.jsonl", since=old)
    assert [row["change"] for row in rows_of(tmp_path / "new.jsonl")] == ["unchanged"] * 2
    assert bodies_of(tmp_path / "new.jsonl") == [b"a", b"b"]


def test_an_earlier_run_is_opened_once(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {f"/{n}": Page(b"%d" % n, etag=f'"{n}"') for n in range(20)}
    outs = make_chain(site, tmp_path, 1)
    names: list[str] = []
    open_referred = opened.open_referred

    def counted(name: str, folder: Path, named: Sequence[str]) -> Any:
        names.append(name)
        return open_referred(name, folder, named)

    monkeypatch.setattr(opened, "open_referred", counted)
    assert bodies_of(outs[1]) == [b"%d" % n for n in range(20)]
    assert names == [str(outs[0])]


def test_names_lead_from_where_the_run_is_wherever_the_process_is(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    for folder in ("runs", "away"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    make_chain(site, Path(), 1)
    monkeypatch.chdir(tmp_path)
    run = hurtle.open_run("runs/1.jsonl")
    monkeypatch.chdir(tmp_path / "away")
    assert [run.body(row) for row in run] == bodies_of("../runs/1.jsonl") == [b"a"]


def test_a_run_that_is_gone_is_named(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"'), "/b": Page(b"b")}
    outs = make_chain(site, tmp_path, 1)
    site.pages["/b"] = Page(b"new b")
    hurtle.run([site.url(path) for path in site.pages], tmp_path / "last.jsonl", since=outs[1])
    outs[0].unlink()
    run = hurtle.open_run(tmp_path / "last.jsonl")
    unchanged, changed = sorted(run, key=lambda row: int(row["index"]))
    assert run.body(changed) == b"new b"
    with pytest.raises(JournalError, match=r"bodies are in .*0\.jsonl, which cannot be read: .*no such file"):
        run.body(unchanged)


@pytest.mark.parametrize("extension", [".jsonl", ".parquet", ".sqlite", ".duckdb", ".warc.gz"])
def test_a_run_that_is_another_one_now_is_named(
    tmp_path: Path, site: ValidatingServer, extension: str
) -> None:
    """Never the body of another request, nor a later one."""
    site.pages = {"/a": Page(b"a", etag='"1"'), "/b": Page(b"b")}
    urls = [site.url(path) for path in site.pages]
    old, new = tmp_path / f"old{extension}", tmp_path / "new.jsonl"
    hurtle.run(urls, old)
    hurtle.run(urls, new, since=old)
    hurtle.run(urls[::-1], old, restart=True)
    with pytest.raises(
        JournalError, match=r"was in .*old\S+, which is another run now: it has another request"
    ):
        bodies_of(new)
    hurtle.run([], old, restart=True)
    with pytest.raises(JournalError, match=r"another run now: it has no row 0"):
        bodies_of(new)
    site.pages["/a"] = Page(b"new a", etag='"2"')
    hurtle.run(urls, old, restart=True)
    with pytest.raises(JournalError, match=r"another run now: it has requested row 0 again since"):
        bodies_of(new)


def test_a_refresh_is_refused_where_the_body_was_asked_for_again(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    outs = make_chain(site, tmp_path, 1)
    hurtle.run([site.url("/a")], outs[0], restart=True)
    with pytest.raises(hurtle.ConfigError, match="it is another run now"):
        hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=outs[1])
