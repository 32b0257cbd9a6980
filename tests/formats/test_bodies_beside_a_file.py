"""Bodies apart from the rows of one file: in a folder of that name beside it, from its appearance on."""

from pathlib import Path
from typing import Any

import pytest

import hurtle
from hurtle.errors import SinkError
from hurtle.outputs.body_bundles import BodyBundles
from hurtle.outputs.folder import RunFolder
from hurtle.testing import Server

OUTPUTS = ("out.jsonl", "out.jsonl.gz", "out.csv", "out.parquet")
each_output = pytest.mark.parametrize("name", OUTPUTS)


def bodies_of(out: Path) -> set[str]:
    folder = out.with_name(out.name + ".bodies")
    return {path.relative_to(out.parent).as_posix() for path in folder.rglob("*") if path.is_file()}


def check(out: Path, server: Server, urls: list[str]) -> None:
    """Every row has the body that the server sends, where the row says, and nothing else is there."""
    run = hurtle.open_run(out)
    rows = {row["index"]: row for row in run}
    expected = {response.index: response.content for response in hurtle.fetch(urls)}
    assert {index: run.body(row) for index, row in rows.items()} == expected
    named = {row["body_path"] for row in rows.values()}
    assert {name.partition("/")[0] for name in named} == {f"{out.name}.bodies"}
    assert bodies_of(out) == named
    beside = {out.name, f"{out.name}.bodies", f"{out.name}.lock"}
    assert {path.name for path in out.parent.iterdir()} <= beside


def urls_at(server: Server, seed: int) -> list[str]:
    return [server.url(f"/bytes/{size}?seed={seed}") for size in (0, 100, 400_000)]


@each_output
def test_a_file_and_its_bodies_appear_together(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    for seed in (1, 2):  # the second replaces the file, and its bodies
        urls = urls_at(hurtle_server, seed)
        hurtle.run(urls, out, bodies="apart")
        check(out, hurtle_server, urls)
    hurtle.run(urls_at(hurtle_server, 3), out, bodies=None)
    assert bodies_of(out) == set()


@each_output
def test_an_interrupted_run_leaves_the_file_before_it_alone(
    tmp_path: Path, hurtle_server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before, urls = tmp_path / name, urls_at(hurtle_server, 1), urls_at(hurtle_server, 2)
    hurtle.run(before, out, bodies="apart")

    def broken(*_: Any) -> None:
        raise SinkError("broken")

    for method in ("join", "publish"):
        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, method, broken)
            with pytest.raises(SinkError, match="broken"):
                hurtle.run(urls, out, bodies="apart")
        run = hurtle.open_run(out)
        assert {row["url"] for row in run} == set(before)
        assert [len(run.body(row) or b"") for row in run] == [row["bytes_body"] for row in run]
        under_way = hurtle.open_run(f"{out}.run")
        assert {len(under_way.body(row) or b"") for row in under_way} == {0, 100, 400_000}
    assert hurtle.run(urls, out, bodies="apart").resumed == 3
    check(out, hurtle_server, urls)


@pytest.mark.parametrize("step", ["joined.replace", "clear"])
def test_a_crash_while_the_file_is_put_in_place_loses_no_body(
    tmp_path: Path, hurtle_server: Server, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    hurtle.run(urls_at(hurtle_server, 1), out, bodies="apart")
    urls = urls_at(hurtle_server, 2)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    name = {"clear": "clear_run", "joined.replace": "sync_folder"}[step]
    with monkeypatch.context() as patched:
        patched.setattr(f"hurtle.outputs.folder.{name}", killed)
        with pytest.raises(KeyboardInterrupt):
            hurtle.run(urls, out, bodies="apart")
    asked = hurtle_server.stats()["requests"]
    hurtle.run(urls, out, bodies="apart")
    assert hurtle_server.stats()["requests"] == asked
    check(out, hurtle_server, urls)


@each_output
def test_a_retry_adds_the_bodies_of_its_rows(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    urls = [hurtle_server.url(f"/flaky?times=1&status=503&key={name}"), hurtle_server.url("/bytes/400000")]
    hurtle.run(urls, out, bodies="apart", retries=0)
    before = {row["index"]: row["body_path"] for row in hurtle.open_run(out)}
    assert hurtle.retry(out, urls, where="status = 503").ok == 1
    run = hurtle.open_run(out)
    rows = {row["index"]: row for row in run}
    assert {index: len(run.body(row) or b"") for index, row in rows.items()} == {0: 10, 1: 400_000}
    assert rows[0]["body_path"] != before[0]
    assert rows[1]["body_path"] == before[1]
    assert {row["body_path"] for row in rows.values()} <= bodies_of(out)


each_database = pytest.mark.parametrize("name", ["out.sqlite", "out.duckdb"])


@each_database
def test_a_database_has_its_bodies_beside_it(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    for seed in (1, 2):
        urls = urls_at(hurtle_server, seed)
        hurtle.run(urls, out, bodies="apart", restart=True)
        check(out, hurtle_server, urls)
    hurtle.run(urls_at(hurtle_server, 2), out, restart=True)
    assert bodies_of(out) == set()


@each_database
def test_a_database_keeps_the_bodies_of_what_is_committed(
    tmp_path: Path, hurtle_server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, publish = tmp_path / name, BodyBundles.publish

    def killed(_: BodyBundles) -> None:
        raise KeyboardInterrupt

    def published_and_killed(bundles: BodyBundles) -> None:
        publish(bundles)
        raise KeyboardInterrupt

    for seed, call, end in ((1, "settle", killed), (2, "publish", published_and_killed)):
        # After the commit of the rows; then, for other rows, between their bodies and the commit.
        with monkeypatch.context() as patched:
            patched.setattr("hurtle.formats.bodies.Bodies.drop", lambda _: None)
            patched.setattr(BodyBundles, call, end)
            with pytest.raises(KeyboardInterrupt):
                hurtle.run(urls_at(hurtle_server, seed), out, bodies="apart", restart=True)
        if call == "settle":
            assert len(bodies_of(out)) > 3, "and the list of new names"
            assert hurtle.run(urls_at(hurtle_server, seed), out, bodies="apart").resumed == 3
            check(out, hurtle_server, urls_at(hurtle_server, seed))
    assert hurtle.open_run(out).rows == 0
    urls = urls_at(hurtle_server, 2)
    summary = hurtle.run(urls, out, bodies="apart")
    assert summary.ok + summary.resumed == 3
    check(out, hurtle_server, urls)


@each_database
def test_a_retry_of_a_database_adds_bodies(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    out = tmp_path / name
    urls = [hurtle_server.url(f"/flaky?times=1&status=503&key={name}"), hurtle_server.url("/bytes/400000")]
    hurtle.run(urls, out, bodies="apart", retries=0)
    assert hurtle.retry(out, urls, where="status = 503").ok == 1
    run = hurtle.open_run(out)
    assert {row["index"]: len(run.body(row) or b"") for row in run} == {0: 10, 1: 400_000}
