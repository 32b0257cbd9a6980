"""Bodies as files, for every format that has them: found through the rows by DuckDB and the file system."""

import asyncio
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError, SinkError
from hurtle.formats import FORMATS
from hurtle.formats import bodies as bodies_module
from hurtle.formats.registry import bodies_apart
from hurtle.options import BODY_PLACES, BodyPlace
from hurtle.sinks import new_sink
from hurtle.testing import Server
from tests.outputs.breaking import (
    Found,
    body_of,
    check_killed,
    check_parts,
    check_read_back,
    check_resumed,
)

READERS = {
    "jsonl": "read_json({}, format='newline_delimited')",
    "jsonl.gz": "read_json({}, format='newline_delimited')",
    "jsonl.zst": "read_json({}, format='newline_delimited')",
    "csv": "read_csv({}, header=true, all_varchar=true, null_padding=true)",
    "parquet": "read_parquet({})",
}
"""DuckDB's own reader of each format."""

each_format = pytest.mark.parametrize("format", READERS)


def apart(format: str) -> dict[str, Any]:  # noqa: A002
    return {"format": format, "bodies": "apart"}


def rows_in(part: Path) -> list[tuple[int, Found]]:
    reader = READERS[part.name.partition(".")[2]].format("$part")
    with duckdb.connect() as connection:
        query = f"SELECT index, url, status, body_path, error FROM {reader}"
        found = connection.execute(query, {"part": str(part)}).fetchall()
        if part.suffix != ".csv":
            query = f"SELECT count(*) FROM {reader} WHERE body IS NOT NULL"
            assert connection.execute(query, {"part": str(part)}).fetchone() == (0,)
    return [
        (
            int(index),
            Found(
                url,
                None if status is None else int(status),
                None if path is None else (part.parent / path).read_bytes(),
                error,
            ),
        )
        for index, url, status, path, error in found
    ]


def rows_of(folder: Path) -> list[tuple[int, Found]]:
    return [row for part in sorted(folder.glob("part-*")) for row in rows_in(part)]


def bodies_in(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


def check_bodies(folder: Path) -> None:
    """Every file has the hash of its content as its name, and a row that names it; `open_run` finds it."""
    for path in bodies_in(folder):
        assert path.parent.name + path.stem == sha256(path.read_bytes()).hexdigest()
    run = hurtle.open_run(folder)
    assert {index: found.body for index, found in rows_of(folder)} == {
        row["index"]: run.body(row) for row in run
    }
    named = {row["body_path"] for row in run} - {None}
    assert {path.relative_to(folder).as_posix() for path in bodies_in(folder)} == named
    assert not (folder / "bodies" / ".new").exists()


def test_every_format_is_here() -> None:
    assert set(READERS) == {name for name in FORMATS if bodies_apart(name)}


@each_format
def test_every_body_is_read_back(tmp_path: Path, hurtle_server: Server, format: str) -> None:  # noqa: A002
    out = tmp_path / "out"
    check_read_back(hurtle_server, f"{out}/", lambda: rows_of(out), **apart(format))
    check_bodies(out)
    assert {path.suffix for path in bodies_in(out)} == {".bin", ".txt"}
    schema = hurtle.open_run(out).schema()
    assert schema.names[-1] == "body_path"
    assert str(schema.field("body_path").type) == "string"


@pytest.mark.slow
@each_format
def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server, format: str) -> None:  # noqa: A002
    out = tmp_path / "out"
    check_resumed(hurtle_server, f"{out}/", lambda: rows_of(out), **apart(format))
    check_bodies(out)


@pytest.mark.slow
@each_format
def test_every_part_names_its_bodies(tmp_path: Path, hurtle_server: Server, format: str) -> None:  # noqa: A002
    check_parts(hurtle_server, tmp_path / "out", format, rows_in, bodies="apart")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@each_format
def test_a_killed_run_is_gone_on_with(tmp_path: Path, hurtle_server: Server, format: str) -> None:  # noqa: A002
    out = tmp_path / "out"
    check_killed(hurtle_server, tmp_path, f"{out}/", lambda: rows_of(out), **apart(format))
    check_bodies(out)


@pytest.mark.slow
@each_format
def test_a_retry_writes_the_same_way(tmp_path: Path, hurtle_server: Server, format: str) -> None:  # noqa: A002
    out = tmp_path / "out"
    urls = [hurtle_server.url(f"/flaky?times=1&status=503&key={n}") for n in range(5)]
    urls += [hurtle_server.url(f"/bytes/{n}") for n in range(5)]
    hurtle.run(urls, f"{out}/", **apart(format), retries=0)
    before = {row["index"]: row["body_path"] for row in hurtle.open_run(out)}
    assert hurtle.retry(out, urls, where="status = 503").ok == 5
    run = hurtle.open_run(out)
    assert (run.rows, run.failed) == (10, 0)
    assert all((row["body_path"] != before[row["index"]]) == (row["index"] < 5) for row in run)
    newest = dict(rows_of(out))  # a later part has the newer row
    assert [newest[n].status for n in range(10)] == [200] * 10
    assert {row["index"]: run.body(row) for row in run} == {n: newest[n].body for n in newest}
    newer = max(out.glob("part-*"))
    assert len(rows_in(newer)) == 5


@pytest.mark.slow
def test_rows_in_order_have_their_own_bodies(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    urls = [hurtle_server.url(f"/bytes/{n % 200}?seed={n}") for n in range(300)]
    hurtle.run(urls, f"{out}/", **apart("parquet"), ordered=True, concurrency_per_host=64)
    assert [(index, found.body) for index, found in rows_of(out)] == [(n, body_of(n)) for n in range(300)]


def test_the_command_and_asyncio_know_it(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url("/bytes/100")]
    words = ["fetch", *urls, "-o", f"{tmp_path}/command/", "--format", "csv", "--bodies", "apart", "-q"]
    assert main(words) == 0
    asyncio.run(hurtle.arun(urls, f"{tmp_path}/asyncio/", **apart("parquet")))
    for folder in (tmp_path / "command", tmp_path / "asyncio"):
        assert len(bodies_in(folder)) == 1
        check_bodies(folder)


def test_all_other_columns_are_as_ever(tmp_path: Path, hurtle_server: Server) -> None:
    urls = [hurtle_server.url(path) for path in ("/bytes/100", "/redirect/2", "/headers/30", "/truncate/10")]
    urls += ["nonsense"]
    tables = []
    for place in ("inline", "apart"):
        hurtle.run(urls, f"{tmp_path}/{place}/", bodies=place, retries=0, concurrency=1)
        tables.append(pyarrow.parquet.read_table(tmp_path / place / "part-000001.parquet"))
    inline, apart = (table.sort_by("index") for table in tables)
    assert apart.schema.remove(apart.schema.get_field_index("body_path")) == inline.schema
    assert apart.schema.metadata == inline.schema.metadata
    for name in set(inline.schema.names) - {"body", "fetched_at", "conn_reused", "headers"}:
        if not name.startswith("t_"):
            assert apart[name].equals(inline[name]), name
    names = [[[field["name"] for field in row] for row in table["headers"].to_pylist()] for table in tables]
    assert sorted(names[0]) == sorted(names[1])
    assert apart["body"].null_count == len(urls)
    bodies = [
        None if path is None else (tmp_path / "apart" / path).read_bytes()
        for path in apart["body_path"].to_pylist()
    ]
    assert bodies == inline["body"].to_pylist()


def test_equal_bodies_are_there_once(tmp_path: Path, hurtle_server: Server) -> None:
    out = tmp_path / "out"
    hurtle.run([hurtle_server.url(f"/bytes/100?n={n}") for n in range(50)], f"{out}/", **apart("csv"))
    assert len(rows_of(out)) == 50
    assert len(bodies_in(out)) == 1


def test_files_are_json_lines_with_bodies_apart(tmp_path: Path, hurtle_server: Server) -> None:
    """One format, under both of its names."""
    urls, out = [hurtle_server.url("/bytes/100")], tmp_path / "out"
    hurtle.run(urls, f"{out}/", format="files")
    assert hurtle.run(urls, f"{out}/", **apart("jsonl")).resumed == 1
    assert hurtle.run(urls, f"{out}/", format="files", bodies="apart").resumed == 1
    check_bodies(out)
    with pytest.raises(ConfigError, match="it writes files, and this one writes parquet"):
        hurtle.run(urls, f"{out}/", **apart("parquet"))


_KILLED = """
import os, signal, sys
import hurtle
from hurtle.outputs import folder

def kill(*_args):
    os.kill(os.getpid(), signal.SIGKILL)

{patched} = kill
hurtle.run({urls!r}, {out!r}, format="parquet", bodies="apart", retries=0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("patched", "resumed"), [("folder.RunFolder.commit", 0), ("folder.settle", 5)], ids=["before", "after"]
)
def test_a_run_that_is_killed_around_a_commit_leaves_no_body_that_no_row_has(
    tmp_path: Path, hurtle_server: Server, patched: str, resumed: int
) -> None:
    out = f"{tmp_path}/out/"
    urls = [hurtle_server.url(f"/flaky?times=1&status=503&key={n}") for n in range(5)]
    script = _KILLED.format(patched=patched, urls=urls, out=out)
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(bodies_in(Path(out))) > 0
    # Requests that are sent again have other bodies now.
    summary = hurtle.run(urls, out, **apart("parquet"), retries=0)
    assert summary.resumed == resumed
    check_bodies(Path(out))


@pytest.mark.parametrize(
    "more", [{"format": "files"}, apart("parquet"), {"format": "parquet"}, {"format": "warc"}]
)
def test_a_restart_drops_the_bodies(tmp_path: Path, hurtle_server: Server, more: dict[str, Any]) -> None:
    out = tmp_path / "out"
    hurtle.run([hurtle_server.url(f"/bytes/{n}") for n in range(600)], f"{out}/", format="files")
    assert len(bodies_in(out)) == 600
    (out / "bodies" / "notes.txt").write_text("mine")
    hurtle.run([hurtle_server.url(f"/bytes/{n}") for n in range(10)], f"{out}/", restart=True, **more)
    (out / "bodies" / "notes.txt").unlink()
    assert len(bodies_in(out)) == (0 if len(more) == 1 and more["format"] != "files" else 10)
    assert hurtle.open_run(out).rows == 10


def test_a_restart_leaves_a_folder_alone_that_is_none_of_the_run(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out, urls = tmp_path / "out", [hurtle_server.url("/bytes/100")]
    hurtle.run(urls, f"{out}/")
    theirs = out / "bodies" / "ab" / ("0" * 62 + ".txt")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    hurtle.run(urls, f"{out}/", restart=True)
    assert theirs.exists()


def test_a_restart_that_is_killed_is_gone_on_with(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, urls = tmp_path / "out", [hurtle_server.url("/bytes/100")]
    hurtle.run(urls, f"{out}/", format="files")
    with monkeypatch.context() as patched:
        patched.setattr("hurtle.outputs.layout.remove_bodies", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            hurtle.run(urls, f"{out}/", format="parquet", restart=True)
    assert len(bodies_in(out)) == 1
    hurtle.run(urls, f"{out}/", format="parquet")
    assert not (out / "bodies").exists()


def _interrupted(*_args: object) -> None:
    raise KeyboardInterrupt


def test_bodies_are_fsynced_before_the_part_is_there(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    synced: list[int] = []
    sync_file = bodies_module._sync_file

    def noted(path: str) -> None:
        assert not list(out.glob("part-*"))
        if not path.endswith(bodies_module.PUBLISHED):
            synced.append(Path(path).stat().st_size)
        sync_file(path)

    monkeypatch.setattr(bodies_module, "_sync_file", noted)
    hurtle.run([hurtle_server.url(f"/bytes/{n}") for n in range(10)], f"{out}/", **apart("parquet"))
    assert sorted(synced) == list(range(10))


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_stops_the_run_and_marks_nothing_done(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    out = tmp_path / "out"
    hurtle.run([], f"{out}/", format="files")  # the run's own files are there before the disk is full

    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    urls = [hurtle_server.url("/bytes/10")] * 3
    name = "write_file" if call == "write" else "_sync_file"
    with monkeypatch.context() as patched:
        patched.setattr(bodies_module, name, full)
        with pytest.raises(SinkError, match="bodies could not be written: No space left on device"):
            hurtle.run(urls, f"{out}/", format="files", restart=True)
    assert rows_of(out) == []
    assert bodies_in(out) == []
    assert hurtle.run(urls, f"{out}/", format="files").resumed == 0
    assert len(rows_of(out)) == 3


@pytest.mark.parametrize(
    ("out", "format", "bodies", "words"),
    [
        ("-", None, "apart", "bodies apart need a file or a folder"),
        ("-", "files", None, "bodies apart need a file or a folder"),
        (os.devnull, "jsonl", "apart", "bodies apart need a file or a folder"),
        ("out.warc.gz", None, "apart", "what went over the wire; it needs a file or a folder on this disk"),
        ("out/", "warc", "apart", "what went over the wire"),
        ("postgresql://host/x", None, "apart", "a database on a server has them in its table"),
        ("s3://bucket/x/", None, "apart", "an object store gets only the parts"),
        ("out/", "files", "inline", "use jsonl"),
        ("out.csv", None, "inline", "has no column for them"),
        ("s3://bucket/x/", "csv", "inline", "has no column for them"),
        ("out/", None, "beside", "bodies='beside': must be one of inline, apart"),
        ("out/", None, True, "bodies=True: must be one of inline, apart"),
        ("out/", "parquet+bodies", None, "format='parquet\\+bodies': must be one of"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    format: str | None,  # noqa: A002
    bodies: Any,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        hurtle.run([], out, format=format, bodies=bodies)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bodies", BODY_PLACES)
def test_bodies_are_inline_where_nothing_is_said(
    tmp_path: Path, hurtle_server: Server, bodies: BodyPlace
) -> None:
    urls = [hurtle_server.url("/bytes/100")]
    hurtle.run(urls, f"{tmp_path}/out/", bodies=bodies)
    (row,) = hurtle.open_run(tmp_path / "out")
    assert (row["body"] is None) == ("body_path" in row) == (bodies == "apart")
    new_sink(f"{tmp_path}/other/", "warc", "inline")
