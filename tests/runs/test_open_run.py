"""A run read back, finished or not: the committed rows, the newest one for each request."""

import json
import os
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow.parquet
import pytest

import hurtle
from hurtle.errors import ConfigError, JournalError
from hurtle.runs.run import superseded
from hurtle.sinks import parts
from hurtle.testing import Server
from tests.runs.conftest import FAILING, IN_PARTS, OUTPUTS, ROWS, MakeRun, run_to, url_of


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_finished_run_gives_every_row(make_run: MakeRun, hurtle_server: Server, name: str) -> None:
    run = hurtle.open_run(make_run(name))
    assert (run.rows, run.failed) == (ROWS, len(FAILING))
    assert run.complete is (None if ".jsonl" in name or name.endswith(".csv") else True)
    rows = sorted(run, key=lambda row: int(row["index"]))
    assert [row["url"] for row in rows] == [url_of(hurtle_server, n) for n in range(ROWS)]
    assert [json.loads(row["meta"]) for row in rows] == [{"n": n} for n in range(ROWS)]
    for row in rows:
        if row["index"] not in FAILING:
            body = run.body(row)
            assert row["bytes_body"] == row["index"] + 1000
            assert body is None if name == "out.csv" else body is not None and len(body) == row["bytes_body"]
    assert sorted(run.where("status = 503")) == list(FAILING)
    assert sorted(row["index"] for row in run.select("not ok")) == list(FAILING)


@pytest.mark.parametrize("name", OUTPUTS)
def test_other_libraries_read_a_run_as_a_table(make_run: MakeRun, name: str) -> None:
    run = hurtle.open_run(make_run(name))
    table = run.to_arrow()
    assert table["index"].to_pylist() == list(range(ROWS))
    assert polars.DataFrame(run).sort("index")["status"].to_list() == table["status"].to_pylist()
    frame = pandas.DataFrame.from_arrow(run)
    assert frame.sort_values("index")["bytes_body"].to_list() == table["bytes_body"].to_pylist()
    with duckdb.connect() as connection:
        counts = connection.execute('select count(*), count(distinct "index"), sum(bytes_body) from run')
        assert counts.fetchall() == [(ROWS, ROWS, sum(table["bytes_body"].to_pylist()))]


@pytest.mark.parametrize("name", IN_PARTS)
def test_only_what_is_committed_is_shown_while_a_run_goes_on(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    out = f"{tmp_path}/{name}"

    def stop(counters: object) -> None:
        if getattr(counters, "done") >= 25:  # noqa: B009
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run_to(
            (hurtle_server.url(f"/bytes/{n}") for n in range(10**6)),
            out,
            progress=stop,
            concurrency_per_host=2,
        )
    folder = Path(out) if name.endswith("/") else Path(f"{out}.run")
    extension = next(folder.glob("part-000001.*")).suffix
    (folder / f"part-999999{extension}").write_bytes(b"not committed")
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    with (folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"part":"part-999999')  # cut off by a crash
    run = hurtle.open_run(out)
    assert run.complete is False
    assert run.rows == sum(entry["rows"] for entry in entries) >= 25
    indexes = sorted(row["index"] for row in run)
    assert indexes == sorted(
        n for entry in entries for first, last in entry["done"] for n in range(first, last + 1)
    )
    assert sorted(row["index"] for row in hurtle.open_run(folder)) == indexes


def test_a_file_is_read_whatever_its_name(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("out.parquet").rename(tmp_path / "renamed")
    assert hurtle.open_run(tmp_path / "renamed").rows == ROWS


def test_a_line_that_was_cut_off_is_no_row(make_run: MakeRun) -> None:
    out = make_run("out.jsonl")
    os.truncate(out, out.stat().st_size - 5)
    run = hurtle.open_run(out)
    assert run.rows == len(list(run)) == ROWS - 1


def test_an_empty_run_has_no_rows(tmp_path: Path) -> None:
    for name in OUTPUTS:
        run_to([], f"{tmp_path}/{name}")
        run = hurtle.open_run(tmp_path / name)
        assert (run.rows, run.failed, list(run), run.to_arrow().num_rows) == (0, 0, [], 0)


def test_a_part_is_missed_when_the_journal_knows_it(make_run: MakeRun) -> None:
    out = make_run("parts/")
    os.truncate(out / "part-000001.parquet", 100)
    with pytest.raises(JournalError, match=r"part-000001\.parquet has 100 bytes, but the journal says"):
        hurtle.open_run(out)


def test_a_damaged_file_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    out = make_run("out.parquet")
    os.truncate(out, 1000)
    with pytest.raises(JournalError, match=r"out\.parquet is damaged"):
        _ = hurtle.open_run(out).rows
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(JournalError, match=r"other\.jsonl is damaged"):
        list(hurtle.open_run(tmp_path / "other.jsonl"))


def test_what_cannot_be_read_back_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        hurtle.open_run(tmp_path / "nothing.parquet")
    with pytest.raises(ConfigError, match="a folder without a run"):
        hurtle.open_run(tmp_path)
    with pytest.raises(ConfigError, match="must be the path"):
        hurtle.open_run("-")
    (tmp_path / "out.csv").write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"hurtle can read .*parquet"):
        hurtle.open_run(tmp_path / "out.csv")
    for name in ("out", "out.txt", "out.csv", "out.jsonl.gz", "out.warc.gz", "out.parquet"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(
            ConfigError, match=r"is empty: a run without requests leaves an empty file only if it is \.jsonl"
        ):
            hurtle.open_run(tmp_path / name)
    record = make_run("parts/") / "run.json"
    record.write_text(record.read_text().replace('"parquet"', '"clay"'))
    with pytest.raises(ConfigError, match="written as clay; hurtle can read"):
        hurtle.open_run(tmp_path / "parts")


def test_later_parts_hide_the_rows_they_have_anew() -> None:
    hidden, again = superseded([[(0, 3)], [(4, 6)], [(2, 4)], [(3, 3)]], first_again=2)
    assert [list(part) for part in hidden] == [[2, 3], [4], [3], []]
    assert list(again) == [2, 3, 4]


def test_a_run_is_one_of_pyarrows_tables(make_run: MakeRun, tmp_path: Path) -> None:
    run = hurtle.open_run(make_run("out.jsonl"))
    pyarrow.parquet.write_table(run.to_arrow(), tmp_path / "copy.parquet")
    copy = {row["index"]: row for row in hurtle.open_run(tmp_path / "copy.parquet")}
    assert copy == {row["index"]: row for row in run}
