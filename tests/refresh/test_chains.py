"""A refresh of a refresh: bodies are one step away, however long the chain is."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import ConfigError
from tests.refresh.test_refresh import MONDAY, TUESDAY, rows_of, summary_of
from tests.refresh.validating_server import Page, ValidatingServer


def make_chain(site: ValidatingServer, folder: Path, length: int, **options: Any) -> list[Path]:
    """Run all pages, then refresh this often, each time since the previous run."""
    urls = [site.url(path) for path in site.pages]
    outs = [folder / f"{number}.jsonl" for number in range(length + 1)]
    hurtle.run(urls, outs[0], **options)
    for before, out in pairwise(outs):
        hurtle.run(urls, out, since=before, **options)
    return outs


@pytest.mark.parametrize("repeats_validators", [True, False])
def test_references_lead_to_the_body_in_one_step(
    tmp_path: Path, site: ValidatingServer, repeats_validators: bool
) -> None:
    """Without validators in the 304, those of the row it refers to are used."""
    site.pages = {
        "/tag": Page(b"tag", etag='"1"', repeats_validators=repeats_validators),
        "/date": Page(b"date", modified=MONDAY, repeats_validators=repeats_validators),
        "/none": Page(b"none"),
    }
    outs = make_chain(site, tmp_path, 3)
    for out in outs[1:]:
        assert [summary_of(row)[:2] for row in rows_of(out)] == [
            ("unchanged", 304), ("unchanged", 304), ("unchanged", 200),
        ]  # fmt: skip
        assert [summary_of(row)[2:] for row in rows_of(out)] == [(None, str(outs[0]), n) for n in range(3)]
    site.taken()
    site.pages |= {"/tag": Page(b"new tag", etag='"2"'), "/date": Page(b"new date", modified=TUESDAY)}
    urls = [site.url(path) for path in site.pages]
    hurtle.run(urls, tmp_path / "last.jsonl", since=outs[-1])
    assert {one.path: one.conditions for one in site.taken()} == {
        "/tag": {"if-none-match": '"1"'}, "/date": {"if-modified-since": MONDAY}, "/none": {},
    }  # fmt: skip
    assert [row["change"] for row in rows_of(tmp_path / "last.jsonl")] == ["changed", "changed", "unchanged"]
    # A changed body is in the run where it changed; an unchanged one is where it was.
    hurtle.run(urls, tmp_path / "behind.jsonl", since=tmp_path / "last.jsonl")
    assert [summary_of(row)[3:] for row in rows_of(tmp_path / "behind.jsonl")] == [
        (str(tmp_path / "last.jsonl"), 0), (str(tmp_path / "last.jsonl"), 1), (str(outs[0]), 2),
    ]  # fmt: skip


def test_new_validators_of_a_304_take_the_place_of_the_old(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"', modified=MONDAY)}
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    hurtle.run([site.url("/a")], old)
    site.pages = {"/a": Page(b"a", etag='W/"1"')}
    hurtle.run([site.url("/a")], new, since=old)
    site.taken()
    hurtle.run([site.url("/a")], tmp_path / "newer.jsonl", since=new)
    assert [one.conditions for one in site.taken()] == [
        {"if-none-match": 'W/"1"', "if-modified-since": MONDAY}
    ]


def test_a_status_other_than_before_is_told_through_the_chain(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    outs = make_chain(site, tmp_path, 1)
    site.pages = {"/a": Page(b"", status=404)}
    hurtle.run([site.url("/a")], tmp_path / "last.jsonl", since=outs[-1])
    assert rows_of(tmp_path / "last.jsonl")[0]["change"] == "gone"


def test_names_lead_from_the_folder_of_the_run(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    outs = make_chain(site, Path(), 1)
    assert rows_of(outs[1])[0]["body_run"] == "0.jsonl"
    monkeypatch.chdir(tmp_path)
    hurtle.run([site.url("/a")], "last.jsonl", since="runs/1.jsonl")
    row = rows_of(Path("last.jsonl"))[0]
    assert (row["change"], row["body_run"], row["body_index"]) == ("unchanged", "runs/0.jsonl", 0)


def test_a_run_that_is_referred_to_must_be_there(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    outs = make_chain(site, tmp_path, 1)
    outs[0].rename(tmp_path / "elsewhere.jsonl")
    site.taken()
    with pytest.raises(ConfigError, match=r"refers to bodies in .*0\.jsonl, which cannot be read"):
        hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=outs[1])
    assert site.taken() == []
    assert not list(tmp_path.glob("new*"))


def test_a_run_that_was_replaced_is_not_the_one_that_is_referred_to(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"'), "/b": Page(b"b")}
    outs = make_chain(site, tmp_path, 1)
    hurtle.run([site.url("/b"), site.url("/a")], outs[0], restart=True)
    with pytest.raises(ConfigError, match="it is another run now"):
        hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=outs[1])


def test_a_run_whose_bodies_are_referred_to_is_not_overwritten(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    outs = make_chain(site, tmp_path, 1)
    before = outs[0].read_bytes()
    with pytest.raises(ConfigError, match=r"holds bodies that .* refers to"):
        hurtle.run([site.url("/a")], outs[0], since=outs[1], restart=True)
    assert outs[0].read_bytes() == before
