"""Validators belong to one URL: they are sent there, wherever redirects lead, and nowhere else."""

from pathlib import Path
from typing import Any

import hurtle
from tests.refresh.test_refresh import MONDAY, TUESDAY, rows_of, summary_of
from tests.refresh.validating_server import Page, ValidatingServer


def refresh(site: ValidatingServer, folder: Path, url: str) -> dict[str, Any]:
    hurtle.run([url], folder / "new.jsonl", since=folder / "old.jsonl")
    (row,) = rows_of(folder / "new.jsonl")
    return row


def conditions(site: ValidatingServer) -> dict[str, dict[str, str]]:
    return {one.path: one.conditions for one in site.taken()}


def test_the_end_of_a_redirect_is_asked_on_condition(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/start": Page(b"", status=302, location="/end", etag='"start"'),
        "/end": Page(b"the end", etag='"end"', modified=MONDAY),
    }
    hurtle.run([site.url("/start")], tmp_path / "old.jsonl")
    site.taken()
    row = refresh(site, tmp_path, site.url("/start"))
    assert conditions(site) == {
        "/start": {}, "/end": {"if-none-match": '"end"', "if-modified-since": MONDAY},
    }  # fmt: skip
    assert summary_of(row) == ("unchanged", 304, None, str(tmp_path / "old.jsonl"), 0)
    assert row["final_url"] == site.url("/end")


def test_another_origin_is_asked_for_what_it_said_itself(tmp_path: Path, site: ValidatingServer) -> None:
    with ValidatingServer() as other:
        other.pages = {"/end": Page(b"the end", etag='"end"')}
        site.pages = {"/start": Page(b"", status=301, location=other.url("/end"))}
        hurtle.run([site.url("/start")], tmp_path / "old.jsonl")
        site.taken(), other.taken()
        row = refresh(site, tmp_path, site.url("/start"))
        assert conditions(site) == {"/start": {}}
        assert conditions(other) == {"/end": {"if-none-match": '"end"'}}
    assert row["change"] == "unchanged"


def test_a_page_that_redirects_now_does_not_take_its_validators_along(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/page": Page(b"page", etag='"1"', modified=TUESDAY)}
    hurtle.run([site.url("/page")], tmp_path / "old.jsonl")
    # Older than the page, but with the same tag: under these conditions the server would never send its body.
    site.pages = {
        "/page": Page(b"", status=301, location="/other"),
        "/other": Page(b"other", etag='"1"', modified=MONDAY),
    }
    site.taken()
    row = refresh(site, tmp_path, site.url("/page"))
    assert conditions(site) == {"/page": {"if-none-match": '"1"', "if-modified-since": TUESDAY}, "/other": {}}
    assert summary_of(row) == ("changed", 200, b"other", None, None)


def test_a_redirect_that_has_become_a_page_is_fetched(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/page": Page(b"", status=301, location="/other"),
        "/other": Page(b"other", etag='"1"', modified=TUESDAY),
    }
    hurtle.run([site.url("/page")], tmp_path / "old.jsonl")
    site.pages = {"/page": Page(b"page", etag='"1"', modified=MONDAY)}
    site.taken()
    row = refresh(site, tmp_path, site.url("/page"))
    assert conditions(site) == {"/page": {}}
    assert summary_of(row) == ("changed", 200, b"page", None, None)


def test_a_redirect_to_elsewhere_is_fetched(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/page": Page(b"", status=302, location="/one"),
        "/one": Page(b"one", etag='"1"', modified=TUESDAY),
        "/two": Page(b"two", etag='"1"', modified=MONDAY),
    }
    hurtle.run([site.url("/page")], tmp_path / "old.jsonl")
    site.pages["/page"] = Page(b"", status=302, location="/two")
    site.taken()
    row = refresh(site, tmp_path, site.url("/page"))
    assert conditions(site) == {"/page": {}, "/two": {}}
    assert summary_of(row) == ("changed", 200, b"two", None, None)


def test_a_url_with_credentials_and_a_fragment_is_found_again(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a?q=1": Page(b"a", etag='"1"')}
    url = site.url("/a?q=1#part").replace("http://", "HTTP://me:secret@")
    hurtle.run([url], tmp_path / "old.jsonl")
    site.taken()
    assert refresh(site, tmp_path, url)["change"] == "unchanged"
    assert [one.conditions for one in site.taken()] == [{"if-none-match": '"1"'}]


def test_parameters_leave_dates_out(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {f"/a?page={n}": Page(b"%d" % n, etag=f'"{n}"', modified=MONDAY) for n in (1, 2)}
    requests = [{"url": site.url("/a"), "params": {"page": n}} for n in (1, 2)]
    hurtle.run(requests[:1], tmp_path / "old.jsonl")
    site.taken()
    hurtle.run(requests, tmp_path / "new.jsonl", since=tmp_path / "old.jsonl")
    # Both have the URL /a in the table: the date of one would hide the body of the other.
    assert {one.path: one.conditions for one in site.taken()} == {
        "/a?page=1": {"if-none-match": '"1"'}, "/a?page=2": {"if-none-match": '"1"'},
    }  # fmt: skip
    rows = rows_of(tmp_path / "new.jsonl")
    assert [(row["change"], row["body"]) for row in rows] == [("unchanged", None), ("changed", b"2")]


def test_a_304_that_nobody_asked_for_is_no_answer_to_the_condition(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/page": Page(b"page", etag='"1"')}
    hurtle.run([site.url("/page")], tmp_path / "old.jsonl")
    site.pages = {
        "/page": Page(b"", status=301, location="/other"),
        "/other": Page(b"", status=304),
    }
    row = refresh(site, tmp_path, site.url("/page"))
    assert summary_of(row) == ("changed", 304, b"", None, None)
