"""A list is fetched again: what is sent, what each row says, and where the bodies are."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import ConfigError
from tests.refresh.validating_server import Page, ValidatingServer

MONDAY = "Mon, 05 Oct 2026 07:28:00 GMT"
TUESDAY = "Tue, 06 Oct 2026 07:28:00 GMT"


def rows_of(out: Path) -> list[dict[str, Any]]:
    return sorted(hurtle.open_run(out), key=lambda row: row["index"])


def summary_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["change"], row["status"], row["body"], row["body_run"], row["body_index"]


def run_twice(
    site: ValidatingServer, folder: Path, requests: list[Any], then: dict[str, Page] | None = None
) -> tuple[list[dict[str, Any]], Path]:
    """Run a list, change pages, and refresh; return the refresh's rows and the earlier run."""
    old, new = folder / "old.jsonl", folder / "new.jsonl"
    hurtle.run(requests, old, retries=0)
    site.taken()
    site.pages |= then or {}
    hurtle.run(requests, new, since=old, retries=0)
    return rows_of(new), old


def test_f2_a_page_that_apache_compressed_is_not_sent_again(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/same": Page(b"same" * 100, etag='"a-1"', deflated=True),
        "/weak": Page(b"weak" * 100, etag='W/"a-1"', deflated=True),
        "/edited": Page(b"old" * 100, etag='"b-1"', deflated=True),
        "/plain": Page(b"plain", etag='"gzip"'),
    }
    requests = [site.url(path) for path in site.pages]
    then = {"/edited": Page(b"new" * 100, etag='"b-2"', deflated=True)}
    rows, _ = run_twice(site, tmp_path, requests, then)
    assert [(row["change"], row["status"]) for row in rows] == [
        ("unchanged", 304), ("unchanged", 304), ("changed", 200), ("unchanged", 304),
    ]  # fmt: skip
    asked = {one.path: one.headers["if-none-match"] for one in site.taken()}
    assert asked == {
        "/same": '"a-1-gzip", "a-1"', "/weak": 'W/"a-1-gzip", W/"a-1"', "/edited": '"b-1-gzip", "b-1"',
        "/plain": '"gzip"',
    }  # fmt: skip
    # Its 304 has the tag of the page itself, which is then all that is asked with.
    hurtle.run(requests, tmp_path / "third.jsonl", since=tmp_path / "new.jsonl", retries=0)
    assert {one.path: one.headers["if-none-match"] for one in site.taken()}["/same"] == '"a-1"'
    third = rows_of(tmp_path / "third.jsonl")
    assert [(row["change"], row["status"]) for row in third] == [("unchanged", 304)] * 4
    assert hurtle.open_run(tmp_path / "third.jsonl").body(third[0]) == b"same" * 100


def test_each_change_is_told(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/same": Page(b"same", etag='"1"'),
        "/edited": Page(b"old", etag='"1"'),
        "/removed": Page(b"removed", etag='"1"'),
        "/broken": Page(b"broken", etag='"1"'),
        "/plain": Page(b"no validators"),
        "/touched": Page(b"touched", etag='"1"'),
        "/moved": Page(b"moved", etag='"1"'),
        "/never": Page(b"never there", status=404),
        "/appears": Page(b"", status=404),
        "/in-trouble": Page(b"busy", status=503),
    }
    requests = [site.url(path) for path in site.pages]
    then = {
        "/edited": Page(b"new", etag='"2"'),
        "/removed": Page(b"gone", status=410),
        "/broken": Page(b"oops", status=500),
        "/touched": Page(b"touched", etag='"2"'),
        "/moved": Page(b"moved", status=403),
        "/appears": Page(b"here"),
        "/in-trouble": Page(b"well"),
    }
    rows, old = run_twice(site, tmp_path, requests, then)
    run = str(old)
    assert [summary_of(row) for row in rows] == [
        ("unchanged", 304, None, run, 0),
        ("changed", 200, b"new", None, None),
        ("gone", 410, b"gone", None, None),
        ("error", 500, b"oops", None, None),
        ("unchanged", 200, None, run, 4),
        ("unchanged", 200, None, run, 5),
        ("changed", 403, b"moved", None, None),
        ("unchanged", 404, None, run, 7),
        ("changed", 200, b"here", None, None),
        ("new", 200, b"well", None, None),
    ]
    assert [row["ok"] for row in rows] == [True, True, False, False, True, True, False, False, True, True]
    # A body that is not downloaded again is found where the row says.
    bodies = {row["index"]: row["body"] for row in hurtle.open_run(run)}
    assert [bodies[row["body_index"]] for row in rows if row["body_run"]] == [
        b"same", b"no validators", b"touched", b"never there",
    ]  # fmt: skip


def test_both_validators_are_sent_as_they_came(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/both": Page(b"1", etag='W/"a,b"', modified=MONDAY),
        "/etag": Page(b"2", etag='"x"'),
        "/date": Page(b"3", modified=MONDAY),
        "/none": Page(b"4"),
        "/star": Page(b"5", etag="*"),
        "/words": Page(b"6", modified="yesterday"),
    }
    rows, _ = run_twice(site, tmp_path, [site.url(path) for path in site.pages])
    sent = {one.path: one.conditions for one in site.taken()}
    assert sent == {
        "/both": {"if-none-match": 'W/"a,b"', "if-modified-since": MONDAY},
        "/etag": {"if-none-match": '"x"'},
        "/date": {"if-modified-since": MONDAY},
        "/none": {},
        # Each would have another meaning: any existing representation, or no date at all.
        "/star": {},
        "/words": {},
    }
    assert {row["change"] for row in rows} == {"unchanged"}
    assert [row["status"] for row in rows] == [304, 304, 304, 200, 200, 200]


@pytest.mark.parametrize(
    "more",
    [
        {"method": "POST", "content": b"a"},
        {"content": b"a"},
        {"headers": {"If-None-Match": '"mine"'}},
        {"headers": {"range": "bytes=0-"}},
        {"headers": {"If-Match": '"1"'}},
    ],
    ids=lambda more: "-".join(map(str, more.values())),
)
def test_a_request_that_is_no_plain_question_is_left_alone(
    tmp_path: Path, site: ValidatingServer, more: dict[str, Any]
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"', modified=MONDAY)}
    (row,), old = run_twice(site, tmp_path, [{"url": site.url("/a")} | more])
    (asked,) = site.taken()
    assert asked.conditions == {
        name.lower(): value for name, value in more.get("headers", {}).items() if name.lower() != "range"
    }
    # It is compared by its content.
    assert summary_of(row) == ("unchanged", 200, None, str(old), 0)


def test_conditions_among_the_options_leave_every_request_alone(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    hurtle.run([site.url("/a")], tmp_path / "old.jsonl")
    site.taken()
    own = {"if-none-match": '"1"'}
    hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=tmp_path / "old.jsonl", headers=own)
    assert [one.conditions for one in site.taken()] == [own]
    # The 304 is the caller's: the caller knows where that body is.
    (row,) = rows_of(tmp_path / "new.jsonl")
    assert summary_of(row) == ("unchanged", 304, b"", None, None)


def test_head_is_compared_by_its_fields(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {
        "/same": Page(b"same", etag='"1"'),
        "/ignorant": Page(b"same", etag='"1"', heeds=False),
        "/longer": Page(b"short"),
    }
    requests = [{"url": site.url(path), "method": "HEAD"} for path in site.pages]
    rows, _ = run_twice(site, tmp_path, requests, {"/longer": Page(b"longer")})
    assert [one.conditions for one in sorted(site.taken(), key=lambda one: one.path)] == [
        {"if-none-match": '"1"'}, {}, {"if-none-match": '"1"'},
    ]  # fmt: skip
    assert [(row["change"], row["status"]) for row in rows] == [
        ("unchanged", 304), ("unchanged", 200), ("changed", 200),
    ]  # fmt: skip


def test_a_get_and_a_head_of_one_url_are_two_requests(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    hurtle.run([{"url": site.url("/a"), "method": "HEAD"}], tmp_path / "old.jsonl")
    hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=tmp_path / "old.jsonl")
    (row,) = rows_of(tmp_path / "new.jsonl")
    assert summary_of(row) == ("new", 200, b"a", None, None)


def test_the_newest_whole_answer_of_a_url_counts(tmp_path: Path, site: ValidatingServer) -> None:
    old = tmp_path / "old.jsonl"
    lines = []
    for number, (etag, body) in enumerate([('"1"', b"first"), ('"2"', b"second"), ('"3"', b"")]):
        site.pages = {"/a": Page(body, etag=etag, modified=MONDAY, status=200 if body else 503)}
        hurtle.run([site.url("/a")], tmp_path / "one.jsonl", retries=0)
        line = (tmp_path / "one.jsonl").read_text(encoding="utf-8")
        lines.append(line.replace('"index":0', f'"index":{number}'))
    # In any order, fetched_at says which is the newest; the 503 does not count.
    old.write_text("".join(reversed(lines)), encoding="utf-8")
    site.pages = {"/a": Page(b"second", etag='"2"')}
    site.taken()
    hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=old)
    (row,) = rows_of(tmp_path / "new.jsonl")
    assert summary_of(row) == ("unchanged", 304, None, str(old), 1)
    # The URL has had several bodies: a date does not say which one it means.
    assert [one.conditions for one in site.taken()] == [{"if-none-match": '"2"'}]


def test_a_truncated_body_is_nothing_to_compare_with(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a" * 100, etag='"1"')}
    hurtle.run([site.url("/a")], tmp_path / "old.jsonl", max_body_size=50, on_oversize="truncate")
    site.taken()
    new = tmp_path / "new.jsonl"
    hurtle.run([site.url("/a")], new, since=tmp_path / "old.jsonl")
    assert [one.conditions for one in site.taken()] == [{}]
    (row,) = rows_of(new)
    assert row["change"] == "new"
    hurtle.run([site.url("/a"), site.url("/a")], tmp_path / "third.jsonl", since=new, max_body_size=50)
    # For a conditional request, the server need not send the body that would be too large.
    assert {row["change"] for row in rows_of(tmp_path / "third.jsonl")} == {"unchanged"}
    site.pages["/a"] = Page(b"b" * 100, etag='"2"')
    limited = hurtle.Client(max_body_size=50), hurtle.Client(max_body_size=50, on_oversize="truncate")
    for number, client in enumerate(limited):
        with client:
            client.run([site.url("/a")], tmp_path / f"{number}.jsonl", since=new)
        assert rows_of(tmp_path / f"{number}.jsonl")[0]["change"] == "error"


def test_identical_requests_and_ids(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"'), "/b": Page(b"b", etag='"1"')}
    requests = [
        {"url": site.url(path), "id": f"row {number}"} for number, path in enumerate(["/a", "/b", "/a", "/a"])
    ]
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    hurtle.run(requests, old)
    site.taken()
    site.pages["/b"] = Page(b"c", etag='"2"')
    hurtle.run(requests, new, since=old, dedupe=True)
    assert len(site.taken()) == 2
    rows = rows_of(new)
    assert [(row["id"], row["change"]) for row in rows] == [
        ("row 0", "unchanged"), ("row 1", "changed"), ("row 2", "unchanged"), ("row 3", "unchanged"),
    ]  # fmt: skip
    bodies = {row["index"]: row["body"] for row in hurtle.open_run(old)}
    assert {bodies[row["body_index"]] for row in rows if row["change"] == "unchanged"} == {b"a"}


def test_one_url_written_in_two_ways(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a", etag='"1"')}
    plain = site.url("/a")
    urls = [plain, plain.replace("http://", "HTTP://me:secret@"), plain + "#part"]
    outs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    hurtle.run([plain], outs[0])
    for before, out in pairwise(outs):
        hurtle.run(urls, out, since=before, dedupe=True)
        assert [summary_of(row) for row in rows_of(out)] == [("unchanged", 304, None, str(outs[0]), 0)] * 3


def test_rows_that_are_no_requests_and_failures_are_errors(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/a": Page(b"a")}
    requests = ["nonsense", site.url("/a"), "http://127.0.0.1:1/"]
    rows, _ = run_twice(site, tmp_path, requests)
    assert [row["change"] for row in rows] == ["error", "unchanged", "error"]


@pytest.mark.parametrize("ordered", [False, True])
def test_the_other_verbs_do_the_same(tmp_path: Path, site: ValidatingServer, ordered: bool) -> None:
    site.pages = {f"/{number}": Page(b"%d" % number, etag='"1"') for number in range(300)}
    urls = [site.url(path) for path in site.pages]

    async def refreshed() -> None:
        async with hurtle.Client() as client:
            await client.arun(urls, tmp_path / "new.jsonl", since=tmp_path / "old.jsonl", ordered=ordered)
        await hurtle.arun(urls, tmp_path / "newer.jsonl", since=tmp_path / "new.jsonl")

    with hurtle.Client() as client:
        client.run(urls, tmp_path / "old.jsonl")
    asyncio.run(refreshed())
    for name in ("new.jsonl", "newer.jsonl"):
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == 300
        assert {row["change"] for row in rows} == {"unchanged"}
        assert {row["body_run"] for row in rows} == {str(tmp_path / "old.jsonl")}
        assert all(row["body_index"] == row["index"] for row in rows)
        assert not ordered or name == "newer.jsonl" or [row["index"] for row in rows] == [*range(300)]


def test_a_body_that_looks_like_a_row_stays_what_it_is(tmp_path: Path, site: ValidatingServer) -> None:
    trap = b'","body":"x","truncated":null,"body_base64":"'
    site.pages = {"/a": Page(trap, etag='"1"'), "/b": Page(trap), "/c": Page(b"\xff" + trap)}
    requests: list[Any] = [
        {"url": site.url(path), "meta": {"a": 1, "body": "mine", "truncated": 0}} for path in site.pages
    ]
    rows, _ = run_twice(site, tmp_path, requests)
    assert [(row["change"], row["body"]) for row in rows] == [("unchanged", None)] * 3
    assert {row["meta"] for row in rows} == {'{"a":1,"body":"mine","truncated":0}'}
    site.pages |= {"/b": Page(b"new" + trap), "/c": Page(b"\xffnew" + trap)}
    hurtle.run(requests, tmp_path / "third.jsonl", since=tmp_path / "old.jsonl")
    assert [row["body"] for row in rows_of(tmp_path / "third.jsonl")] == [
        None, b"new" + trap, b"\xffnew" + trap,
    ]  # fmt: skip


@pytest.mark.parametrize("out", ["old.jsonl", "./old.jsonl"])
def test_the_output_cannot_be_its_own_past(
    tmp_path: Path, site: ValidatingServer, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    site.pages = {"/a": Page(b"a")}
    hurtle.run([site.url("/a")], "old.jsonl")
    before = (tmp_path / "old.jsonl").read_bytes()
    site.taken()
    with pytest.raises(ConfigError, match="is the output"):
        hurtle.run([site.url("/a")], out, since="old.jsonl", restart=True)
    assert (tmp_path / "old.jsonl").read_bytes() == before
    assert site.taken() == []


def test_an_earlier_run_that_is_not_there_is_refused_before_anything_is_sent(
    tmp_path: Path, site: ValidatingServer
) -> None:
    site.pages = {"/a": Page(b"a")}
    with pytest.raises(ConfigError, match=r"since: .*nowhere\.jsonl") as caught:
        hurtle.run([site.url("/a")], tmp_path / "new.jsonl", since=tmp_path / "nowhere.jsonl")
    assert caught.value.option == "since"
    assert site.taken() == []
    assert list(tmp_path.iterdir()) == []


def test_f1_a_304_that_names_a_later_change_is_asked_again(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/": Page(b"old", etag='"kept"', modified=MONDAY)}
    then = {"/": Page(b"new", etag='"kept"', modified=TUESDAY)}
    (row,), _ = run_twice(site, tmp_path, [site.url("/")], then)
    assert summary_of(row) == ("changed", 200, b"new", None, None)
    assert row["attempts"] == 1
    first, second = site.taken()
    assert (len(first.conditions), second.conditions) == (2, {})


def test_f1_a_304_without_conditions_is_not_unchanged(tmp_path: Path, site: ValidatingServer) -> None:
    site.pages = {"/": Page(b"old", etag='"kept"', modified=MONDAY)}
    then = {"/": Page(status=304, modified=TUESDAY)}
    (row,), _ = run_twice(site, tmp_path, [site.url("/")], then)
    assert (row["change"], row["status"]) == ("changed", 304)
