"""A retry: selected rows of a finished run, requested again to replace the old ones."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import hurtle
from hurtle import Retry
from hurtle.cli.main import main
from hurtle.errors import ConfigError, JournalError, SinkError
from hurtle.outputs.duckdb_file import DuckdbDatabase
from hurtle.outputs.postgres import PostgresDatabase
from hurtle.outputs.reruns import RerunLog
from hurtle.outputs.sqlite import SqliteDatabase
from hurtle.rerun import Rerun, recorded_options
from hurtle.sinks import parts
from hurtle.testing import Server
from tests.formats.raw_server import RawServer
from tests.runs.conftest import (
    DATABASES,
    FAILING,
    RETRIED,
    ROWS,
    MakeOut,
    MakeRun,
    rows_of,
    run_to,
    url_of,
)


def requests_at(server: Server) -> int:
    return server.stats()["requests"]


@pytest.mark.parametrize("name", RETRIED)
def test_newer_rows_take_the_place_of_failed_ones(
    make_run: MakeRun, hurtle_server: Server, name: str
) -> None:
    out = make_run(name)
    before, asked = rows_of(out), requests_at(hurtle_server)
    knows = name.endswith("/") or name in DATABASES
    summary = hurtle.retry(out, None if knows else out.parent / "urls.jsonl")
    assert (summary.requests, summary.ok, requests_at(hurtle_server) - asked) == (4, 4, 4)
    after = rows_of(out)
    assert {index for index in before if before[index] != after[index]} == set(FAILING)
    run = hurtle.open_run(out)
    assert (run.rows, run.failed) == (ROWS, 0)
    assert run.complete is not False
    assert json.loads(after[3]["meta"]) == {"n": 3}
    if name == "out.parquet":
        assert pyarrow.parquet.read_table(out).num_rows == ROWS
    if name == "out.jsonl":
        assert len(out.read_bytes().splitlines()) == ROWS
    assert not Path(f"{out}.run").exists()


def test_where_picks_the_rows(make_run: MakeRun, hurtle_server: Server) -> None:
    out = make_run("parts/")
    asked = requests_at(hurtle_server)
    summary = hurtle.retry(out, where="status = 503 and json_extract(meta, '$.n') < 10")
    assert (summary.requests, requests_at(hurtle_server) - asked) == (2, 2)
    assert sorted(hurtle.open_run(out).where("not ok")) == [17, 39]
    assert hurtle.retry(out, where='"index" = 17').requests == 1
    assert hurtle.retry(out).requests == 1
    assert hurtle.open_run(out).failed == 0


@pytest.mark.parametrize("name", [name for name in RETRIED if name not in DATABASES])
def test_nothing_is_written_when_no_row_is_picked(make_run: MakeRun, name: str) -> None:
    out = make_run(name)
    before = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    assert hurtle.retry(out, where="status = 999").requests == 0
    assert {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()} == before


def test_a_finished_run_stays_finished_when_it_is_run_again(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_run("parts/")
    hurtle.retry(out)
    summary = hurtle.run(tmp_path / "urls.jsonl", f"{out}/")
    assert (summary.requests, summary.resumed) == (0, ROWS)
    run = hurtle.open_run(out)
    assert (run.rows, run.failed, run.complete) == (ROWS, 0, True)


def test_requests_with_a_body_come_from_the_input(tmp_path: Path, hurtle_server: Server) -> None:
    url = hurtle_server.url("/flaky?times=2&status=503&key=post")
    requests = [{"url": url, "method": "POST", "content": "a"}, {"url": hurtle_server.url("/echo")}]
    out = tmp_path / "out.parquet"
    hurtle.run(requests, out, retries=0)
    with pytest.raises(ConfigError, match=r"row 0 of .* was a POST, and rows do not contain what was sent"):
        hurtle.retry(out)
    assert not Path(f"{out}.run").exists()
    hurtle.retry(out, requests, retries=0)
    assert rows_of(out)[0]["attempts"] == 1
    echo = [{"url": hurtle_server.url("/echo"), "method": "POST", "content": "again"}]
    hurtle.run(echo, out)
    hurtle.retry(out, echo, where="ok")
    assert json.loads(rows_of(out)[0]["body"])["body"] == "again"


def test_plain_gets_come_from_the_rows_when_the_input_is_gone(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_run("parts/")
    (tmp_path / "urls.jsonl").unlink()
    assert hurtle.retry(out).ok == len(FAILING)
    assert [json.loads(rows_of(out)[n]["meta"]) for n in FAILING] == [{"n": n} for n in FAILING]


def test_another_input_is_refused_and_the_difference_named(
    make_run: MakeRun, tmp_path: Path, hurtle_server: Server
) -> None:
    out, other = make_run("parts/"), tmp_path / "other.jsonl"
    lines = (tmp_path / "urls.jsonl").read_text().splitlines(keepends=True)
    other.write_text("".join(lines[1:]))
    asked = requests_at(hurtle_server)
    with pytest.raises(ConfigError, match=r"is not that of .*: it had \d+ bytes, and this one has"):
        hurtle.retry(out, other)
    (tmp_path / "urls.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(ConfigError, match="the input is not that of"):
        hurtle.retry(out)
    with pytest.raises(ConfigError, match="can be read only once"):
        hurtle.retry(out, iter([]))
    with pytest.raises(ConfigError, match="no such file"):
        hurtle.retry(out, tmp_path / "nowhere.jsonl")
    assert requests_at(hurtle_server) == asked


def test_an_input_is_compared_with_the_rows_of_a_file(
    make_run: MakeRun, tmp_path: Path, hurtle_server: Server
) -> None:
    out = make_run("out.jsonl")
    urls: list[Any] = [url_of(hurtle_server, n) for n in range(ROWS)]
    with pytest.raises(ConfigError, match=f"row 3 was GET .* and is GET {hurtle_server.url('/other')} now"):
        hurtle.retry(out, [*urls[:3], hurtle_server.url("/other"), *urls[4:]])
    with pytest.raises(ConfigError, match="row 3 was a GET and is a POST now"):
        hurtle.retry(out, [*urls[:3], {"url": urls[3], "method": "POST"}, *urls[4:]])
    with pytest.raises(ConfigError, match="row 3 had the id '3' and has 'x' now"):
        hurtle.retry(out, [*urls[:3], {"url": urls[3], "id": "x"}, *urls[4:]])
    with pytest.raises(ConfigError, match="ends before row 39"):
        hurtle.retry(out, urls[:-1])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".run"] == []
    assert hurtle.retry(out, urls).ok == 4


def test_a_request_that_may_have_been_sent_needs_consent(make_run: MakeRun) -> None:
    out = make_run("out.jsonl")
    records = [json.loads(line) for line in out.read_bytes().splitlines()]
    for record in records:
        if record["index"] in (3, 17):
            record |= {"error": "local.sent_unknown", "status": None, "body": None}
    out.write_text("".join(json.dumps(record) + "\n" for record in records))
    everything = "error like 'local.%' or 1"  # whatever the expression says
    assert hurtle.retry(out, where=everything).requests == ROWS - 2
    assert hurtle.retry(out, where="error like 'local.%'").requests == 0
    assert hurtle.retry(out, where="error like 'local.%'", resend_unknown=True).requests == 2


def test_a_run_that_has_not_ended_is_not_retried(tmp_path: Path, hurtle_server: Server) -> None:
    def stop(counters: object) -> None:
        if getattr(counters, "done") > 1:  # noqa: B009
            raise RuntimeError("enough")

    for name in RETRIED:
        with pytest.raises(RuntimeError):
            run_to(
                (hurtle_server.url("/status/404") for _ in range(10**5)), f"{tmp_path}/{name}", progress=stop
            )
        with pytest.raises(ConfigError, match="has not ended: the command that started it resumes it"):
            hurtle.retry(tmp_path / name)


def test_options_are_checked_before_the_output_is_touched(make_run: MakeRun) -> None:
    out = make_run("out.parquet")
    with pytest.raises(ConfigError, match="ordered does not work with a retry"):
        hurtle.retry(out, ordered=True)
    with pytest.raises(ConfigError, match="no such column: nonsense"):
        hurtle.retry(out, where="nonsense = 1")
    assert not Path(f"{out}.run").exists()


def interrupted(out: Path | str, where: str = "1", *, after: int = 2, **options: Any) -> None:
    """Retry, and interrupt the retry after some rows; each part has one row."""

    def stop(counters: object) -> None:
        if getattr(counters, "done") >= after:  # noqa: B009
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        hurtle.retry(out, where=where, progress=stop, concurrency_per_host=1, **options)


@pytest.fixture
def slow_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[Path, Server]]]:
    """Make a finished run with a slow server, so that a retry can be interrupted."""
    monkeypatch.setattr(parts, "PART_ROWS", 1)
    for database in (SqliteDatabase, DuckdbDatabase):
        monkeypatch.setattr(database, "commit_rows", 1)
    with Server(latency=0.02) as server:

        def make(name: str) -> tuple[Path, Server]:
            (tmp_path / "urls.txt").write_text("".join(server.url(f"/bytes/{n}\n") for n in range(30)))
            run_to(tmp_path / "urls.txt", f"{tmp_path}/{name}", concurrency_per_host=32)
            return tmp_path / name, server

        yield make


@pytest.mark.slow
@pytest.mark.parametrize("name", RETRIED)
def test_an_interrupted_retry_is_gone_on_with(
    slow_copy: Callable[[str], tuple[Path, Server]], name: str
) -> None:
    out, server = slow_copy(name)
    old = rows_of(out)
    raw = out.read_bytes() if out.is_file() and name not in DATABASES else b""
    interrupted(out)
    run = hurtle.open_run(out)
    middle = rows_of(out)
    done = {index for index in old if middle[index] != old[index]}
    assert (run.rows, run.complete) == (30, False)
    assert 2 <= len(done) < 30
    assert not raw or out.read_bytes() == raw  # the old file stays whole until the new one is
    with pytest.raises(ConfigError, match="where '1' has not ended: the same call resumes it"):
        hurtle.retry(out)
    asked = requests_at(server)
    summary = hurtle.retry(out, where="1", concurrency_per_host=32)
    assert (summary.requests, summary.resumed) == (30 - len(done), len(done))
    assert requests_at(server) - asked == 30 - len(done)
    new = rows_of(out)
    assert all(new[index] == middle[index] for index in done)
    assert all(new[index] != old[index] for index in old)
    assert hurtle.open_run(out).complete is not False
    assert not Path(f"{out}.run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", RETRIED)
def test_restart_picks_anew_and_keeps_what_has_come(
    slow_copy: Callable[[str], tuple[Path, Server]], name: str
) -> None:
    out, _ = slow_copy(name)
    old = rows_of(out)
    interrupted(out)
    middle = rows_of(out)
    assert hurtle.retry(out, where='"index" = 29', restart=True).requests == 1
    new = rows_of(out)
    assert new == middle | {29: new[29]}
    assert new[29] != old[29]


@pytest.mark.parametrize(
    ("name", "broken"),
    [("parts/", RerunLog), ("out.jsonl", RerunLog), ("out.sqlite", SqliteDatabase)],
)
def test_a_retry_that_could_not_be_recorded_lets_others_use_the_output(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, name: str, broken: type
) -> None:
    out = make_run(name)

    def full(*_: object) -> None:
        raise JournalError("the disk is full") if broken is RerunLog else sqlite3.OperationalError("full")

    with monkeypatch.context() as patched:
        patched.setattr(broken, "begin" if broken is RerunLog else "want", full)
        with pytest.raises((JournalError, SinkError), match="full") as held:
            hurtle.retry(out, out.parent / "urls.jsonl")
    assert hurtle.retry(out, out.parent / "urls.jsonl").requests == len(FAILING), held


@pytest.mark.slow
def test_a_fetch_does_not_take_a_retry_for_its_own(slow_copy: Callable[[str], tuple[Path, Server]]) -> None:
    out, _ = slow_copy("out.parquet")
    interrupted(out)
    with pytest.raises(ConfigError, match=r"a retry of .* has not ended"):
        hurtle.run(out.parent / "urls.txt", out)
    hurtle.run(out.parent / "urls.txt", out, restart=True, concurrency_per_host=32)
    assert hurtle.open_run(out).complete


@pytest.mark.slow
def test_a_retry_of_a_file_that_was_replaced_is_refused(
    slow_copy: Callable[[str], tuple[Path, Server]],
) -> None:
    out, _ = slow_copy("out.jsonl")
    interrupted(out)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:10]))
    assert hurtle.open_run(out).rows == 10
    with pytest.raises(ConfigError, match="is not the file whose retry was interrupted"):
        hurtle.retry(out, where="1")
    assert hurtle.retry(out, where="1", restart=True, concurrency_per_host=32).requests == 10


@pytest.mark.slow
def test_two_retries_of_one_run_do_not_meet(slow_copy: Callable[[str], tuple[Path, Server]]) -> None:
    for name in ("out.parquet", "out.sqlite", "parts/"):
        out, _ = slow_copy(name)
        refused: list[str] = []

        def try_another(counters: object, out: Path = out, refused: list[str] = refused) -> None:
            try:
                hurtle.retry(out, where="1")
            except ConfigError as error:
                refused.append(str(error))

        hurtle.retry(out, where="1", concurrency_per_host=32, progress=try_another)
        assert refused
        assert all("is using" in words for words in refused)
        if out.is_dir():
            shutil.rmtree(out)


@pytest.mark.slow
def test_an_interrupted_retry_in_postgres_is_gone_on_with(
    make_out: MakeOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresDatabase, "commit_rows", 1)
    out = make_out("postgres")
    with Server(latency=0.02) as server:
        hurtle.run([server.url(f"/bytes/{n}") for n in range(30)], out, concurrency_per_host=32)
        old = rows_of(out)
        interrupted(out, "status = 200")
        middle = rows_of(out)
        done = {index for index in old if middle[index] != old[index]}
        assert 2 <= len(done) < 30
        assert hurtle.open_run(out).complete is False
        with pytest.raises(ConfigError, match="where 'status = 200' has not ended"):
            hurtle.retry(out)
        summary = hurtle.retry(out, where="status = 200", concurrency_per_host=32)
        assert (summary.requests, summary.resumed) == (30 - len(done), len(done))
        new = rows_of(out)
        assert all(new[index] == middle[index] for index in done)
        assert all(new[index] != old[index] for index in old)
        assert hurtle.open_run(out).complete
        assert hurtle.retry(out).requests == 0


def test_a_database_stays_one_plain_file_when_no_row_is_picked(make_run: MakeRun) -> None:
    out = make_run("out.sqlite")
    assert hurtle.retry(out, where="status = 999").requests == 0
    assert [path.name for path in out.parent.glob("out.*")] == ["out.sqlite"]
    with closing(sqlite3.connect(out)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_restart_drops_the_retry_of_a_database(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_run("out.sqlite")
    with pytest.raises(RuntimeError):
        hurtle.retry(out, where="1", progress=_enough)
    assert not hurtle.open_run(out).complete
    hurtle.run(tmp_path / "urls.jsonl", out)
    assert not hurtle.open_run(out).complete
    hurtle.run(tmp_path / "urls.jsonl", out, restart=True)
    assert hurtle.open_run(out).complete
    assert hurtle.retry(out, where='"index" = 1').requests == 1


def _enough(counters: object) -> None:
    raise RuntimeError("enough")


@pytest.mark.parametrize("name", ["parts/", "out.sqlite"])
def test_options_of_the_run_are_recalled_but_for_secrets(
    tmp_path: Path, hurtle_server: Server, name: str
) -> None:
    urls = [
        hurtle_server.url("/redirect/3"),
        hurtle_server.url("/bytes/50"),
        hurtle_server.url("/status/501"),
    ]
    out = f"{tmp_path}/{name}"
    hurtle.run(
        urls, out, follow_redirects=False, max_body_size=20, on_oversize="truncate",
        retries=Retry(total=1, statuses=(501,), backoff=0.01), headers={"x-key": "secret"},
    )  # fmt: skip
    before = rows_of(out)
    hurtle.retry(out, urls, where="1", retries=3)
    after = rows_of(out)
    same = ("status", "final_url", "truncated", "bytes_body", "error")
    for index, row in before.items():
        assert [row[column] for column in same] == [after[index][column] for column in same]
    assert (before[2]["attempts"], after[2]["attempts"]) == (2, 4)
    hurtle.retry(out, urls, where='"index" < 2', allow_redirects=True, max_body_size=100)
    again = rows_of(out)
    assert (again[0]["status"], again[0]["final_url"]) == (200, hurtle_server.url("/redirect/0"))
    assert again[1]["bytes_body"] == 50
    for headers, unlike in (None, ["headers"]), ({"x-key": "secret"}, []):
        with hurtle.Client(**recorded_options(out, {"headers": headers})) as client:
            rerun = Rerun(client, out, urls)
            rerun.close()
            assert rerun.unlike == unlike


@pytest.mark.parametrize("has_list", [True, False])
def test_a_download_gets_the_files_that_failed(
    tmp_path: Path, has_list: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    good = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    bad = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
    pages = {"/a/data.csv": good + b"one1", "/b/data.csv": bad, "/c/data.csv": good + b"two2", "/d.bin": bad}
    out, urls = tmp_path / "files", tmp_path / "urls.txt"
    with RawServer(pages) as server:
        urls.write_text("".join(f"{server.base}{path}\n" for path in pages))
        assert hurtle.download(urls, out, retries=0, max_body_size="1 MB").failed == 2
        if not has_list:
            urls.unlink()
        pages["/b/data.csv"], pages["/d.bin"] = good + b"late", good + b"last"
        assert main(["retry", str(out), "--retries", "0"]) == 0
        assert "2 rows to retry" in capsys.readouterr().err
        assert hurtle.retry(out).requests == 0
    found = {row["url"].rpartition(":")[2][5:]: row["body_path"] for row in hurtle.open_run(out)}
    assert {(out / name).read_bytes() for name in found.values()} == {b"one1", b"late", b"two2", b"last"}
    names = {path.name for path in out.iterdir()} - {".hurtle"}
    assert names == set(found.values())
    assert names == {"data.csv", "data-1.csv", "data-2.csv", "d.bin"}
    if has_list:
        # With its list a retry knows the names that the download gave.
        assert (out / "data-1.csv").read_bytes() == b"late"
