"""Results on disk: other programs can read every row, and a file is complete under its name, or not there."""

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow.parquet
import pytest

import hurtle
from hurtle.errors import ConfigError, MissingExtraError, SinkError
from hurtle.formats import parquet as parquet_module
from hurtle.formats.registry import FORMATS
from hurtle.outputs import Identity
from hurtle.sinks import Sink, new_sink
from hurtle.testing import Server


def open_sink(out: Any, format: str | None = None) -> Sink:  # noqa: A002
    sink = new_sink(out, format)
    sink.begin(Identity(), "auto")
    return sink


def test_parquet_and_jsonl_hold_the_same_rows(tmp_path: Path, hurtle_server: Server) -> None:
    requests: list[dict[str, Any]] = [
        {"url": hurtle_server.url("/status/200?body=text"), "id": "a", "meta": {"k": [1, None]}},
        {"url": hurtle_server.url("/bytes/1000"), "method": "POST", "json": {}},
        {"url": hurtle_server.url("/redirect/2")},
        {"url": "http://name.invalid/"},
        {"url": "nonsense"},
    ]
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in ("out.parquet", "out.jsonl"):
        summary = hurtle.run(requests, tmp_path / name)
        assert (summary.requests, summary.ok) == (5, 3)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    rows["jsonl"] = sorted(map(json.loads, lines), key=lambda row: row["index"])
    rows["parquet"] = pyarrow.parquet.read_table(tmp_path / "out.parquet").sort_by("index").to_pylist()
    for written, table in zip(rows["jsonl"], rows["parquet"], strict=True):
        for key in (
            "index",
            "id",
            "method",
            "url",
            "final_url",
            "redirects",
            "ok",
            "status",
            "error",
            "bytes_body",
        ):
            assert written[key] == table[key], key
        body = written.get("body")
        if written.get("body_base64") is not None:
            assert base64.b64decode(written["body_base64"]) == table["body"]
        else:
            assert (None if body is None else body.encode()) == table["body"]
    assert json.loads(rows["parquet"][0]["meta"]) == {"k": [1, None]}
    assert len(rows["parquet"][2]["redirects"]) == 2
    assert rows["parquet"][3]["error"] == "dns.not_found"


def test_an_empty_list_gives_an_empty_valid_file(tmp_path: Path) -> None:
    for name in ("out.parquet", "out.jsonl"):
        assert hurtle.run([], tmp_path / name).requests == 0
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_row_groups_are_bounded(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_module, "GROUP_BYTES", 20_000)
    out = tmp_path / "out.parquet"
    hurtle.run([hurtle_server.url(f"/bytes/1000?{n}") for n in range(400)], out)
    metadata = pyarrow.parquet.ParquetFile(out).metadata
    assert metadata.num_rows == 400
    assert metadata.num_row_groups > 1
    sizes = "min(octet_length(body)), max(octet_length(body))"
    query = f"select count(*), count(distinct url), {sizes} from read_parquet(?)"
    with duckdb.connect() as connection:
        assert connection.execute(query, [str(out)]).fetchall() == [(400, 400, 1000, 1000)]


@pytest.mark.parametrize(
    "out", ["run:1/", "mailto:x/", "s3:x/", "file:x.parquet", "a:b.duckdb", "a:b.sqlite"]
)
def test_a_name_that_looks_like_an_address_is_a_name(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = [hurtle_server.url(f"/bytes/{n}") for n in range(5)]
    hurtle.run(urls, out)
    run = hurtle.open_run(out)
    assert sorted(len(row["body"]) for row in run) == [*range(5)]
    hurtle.retry(out, urls, where='"index" = 3')
    assert run.rows == hurtle.open_run(out).rows == 5


def test_a_list_whose_name_looks_like_an_address_is_read(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pyarrow.table({"url": [hurtle_server.url(f"/bytes/{n}") for n in range(5)]})
    with Path("list:1.parquet").open("wb") as file:
        pyarrow.parquet.write_table(table, file)
    assert hurtle.run("list:1.parquet", "out.jsonl").ok == 5


@pytest.mark.parametrize("out", ["out/", "out.parquet", "out.csv"])
def test_a_part_that_cannot_be_read_back_is_told(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """A disk that loses what was written: nothing of the part is committed."""
    name = "csv" if out.endswith("csv") else "parquet"
    writer = FORMATS[name].writer

    def forgetful(path: str) -> Any:
        made = writer(path)
        close = made.close

        def forget() -> None:
            close()
            Path(path).write_bytes(b"\xff" * 20)

        monkeypatch.setattr(made, "close", forget)
        return made

    monkeypatch.setattr(FORMATS[name], "writer", forgetful)
    with pytest.raises(SinkError, match=r"part-000001\.\w+ cannot be read back"):
        hurtle.run([hurtle_server.url("/bytes/1")], f"{tmp_path}/{out}")


def test_a_part_that_is_damaged_when_it_is_joined_is_told(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"no Parquet" * 10)
    with pytest.raises(SinkError, match=r"part cannot be read back: Parquet error: Invalid Parquet file"):
        FORMATS["parquet"].join([tmp_path / "part"], str(tmp_path / "out.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_an_output_appears_when_it_is_complete(tmp_path: Path, name: str) -> None:
    sink = open_sink(tmp_path / name)
    assert not (tmp_path / name).exists()
    sink.close()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_nothing_is_left_when_a_run_is_aborted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("before")
    sink = open_sink(tmp_path / name)
    sink.abort()
    sink.abort()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "real" / "file.jsonl")
    open_sink(tmp_path / "out.jsonl").close()
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "real" / "file.jsonl").exists()


def test_a_device_is_written_to_and_not_replaced() -> None:
    open_sink("/dev/null", "jsonl").close()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("out", "format", "words"),
    [
        ("out.xml", None, "unknown output format '.xml'"),
        ("out", None, r"unknown output format ''.*format="),
        ("out.jsonl", "xml", "must be one of"),
        ("no/such/folder/out.jsonl", None, "cannot be written"),
        ("no/such/folder/out.parquet", None, "cannot be written"),
        ("/", None, "is a folder with files not created by hurtle"),
        ("/", "jsonl", "is a folder with files not created by hurtle"),
        ("-", "parquet", "stdout"),
        ("", None, "must be a path"),
        (3, None, "must be a path"),
    ],
)
def test_s7_an_output_that_cannot_be_is_refused(out: Any, format: str | None, words: str) -> None:  # noqa: A002
    with pytest.raises(ConfigError, match=words):
        open_sink(out, format)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    out = tmp_path / "out.parquet"
    hurtle.run([], out=out)
    with pytest.raises(MissingExtraError, match=r"hurtle\[parquet\]"):
        list(hurtle.open_run(out).batches())


class FullDisk:
    """A file on a disk that is full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.closed = False

    def write(self, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_full_disk_stops_the_run_and_leaves_nothing(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from hurtle.formats.writer import OutputFile

    opened = OutputFile._opened
    monkeypatch.setattr(OutputFile, "_opened", lambda self: FullDisk(opened(self)))
    with pytest.raises((SinkError, ConfigError), match="No space left on device"):
        hurtle.run([hurtle_server.url("/bytes/10")] * 10, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


class InterruptedFile:
    """A file with something that happens in the middle of a write."""

    def __init__(self, file: IO[bytes], happens: Callable[[], None]) -> None:
        self._file = file
        self._happens = happens
        self.closed = False

    def write(self, data: bytes) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        if self._file.tell() > 1000:  # past the head: inside a row group
            self._happens()
        self._file.write(data[half:])
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def interrupt(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    from hurtle.formats.writer import OutputFile

    opened = OutputFile._opened
    monkeypatch.setattr(OutputFile, "_opened", lambda self: InterruptedFile(opened(self), happens))


def rows_in(path: Path) -> int:
    if path.suffix == ".parquet":
        return int(pyarrow.parquet.read_table(path).num_rows)
    return len([json.loads(line) for line in path.read_bytes().splitlines()])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_ctrl_c_inside_a_write_waits_for_its_end(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(parquet_module, "GROUP_ROWS", 5)
    interrupt(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        hurtle.run([hurtle_server.url(f"/bytes/{1000 + n}") for n in range(100)], tmp_path / name)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"{name}.run"
    assert sum(rows_in(part) for part in folder.glob("part-*")) > 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_write_that_broke_off_never_leaves_a_file(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet_module, "GROUP_ROWS", 5)
    interrupt(monkeypatch, fail)
    with pytest.raises(KeyboardInterrupt):
        hurtle.run([hurtle_server.url(f"/bytes/{1000 + n}") for n in range(100)], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jsonl", "jsonl.gz", "csv", "parquet", "warc"])
def test_files_that_are_not_joined_to_the_end_leave_nothing(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    made = FORMATS[name]
    part, out = tmp_path / f"part{made.extension}", tmp_path / f"out{made.extension}"
    hurtle.run([hurtle_server.url(f"/bytes/{1000 + n}?seed={n}") for n in range(100)], part)
    interrupt(monkeypatch, fail)
    with pytest.raises(KeyboardInterrupt):
        made.join([part, part], str(out))
    assert list(tmp_path.iterdir()) == [part]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_a_second_run_to_one_output_is_refused(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    started = threading.Event()
    ended = threading.Event()

    def urls() -> Iterator[str]:
        for n in range(20):
            yield hurtle_server.url(f"/bytes/{n}")
        started.set()
        ended.wait(20)

    first = threading.Thread(target=hurtle.run, args=(urls(), tmp_path / name))
    first.start()
    assert started.wait(20)
    with pytest.raises(ConfigError, match="another run"):
        hurtle.run([hurtle_server.url("/bytes/1")] * 5, tmp_path / name)
    ended.set()
    first.join(20)
    assert rows_in(tmp_path / name) == 20
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_input_is_no_output(tmp_path: Path, hurtle_server: Server) -> None:
    (tmp_path / "rows.jsonl").write_text(f'"{hurtle_server.url("/bytes/1")}"\n')
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rows.jsonl")
    before = (tmp_path / "rows.jsonl").read_bytes()
    for source, out in (("rows", "rows"), ("rows", "link"), ("link", "rows")):
        with pytest.raises(ConfigError, match="is the input"):
            hurtle.run(tmp_path / f"{source}.jsonl", tmp_path / f"{out}.jsonl")
    assert (tmp_path / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_ordered_rows_are_written_in_input_order(tmp_path: Path, hurtle_server: Server, name: str) -> None:
    urls = [hurtle_server.url(f"/delay/{20 if n % 100 == 0 else 0}") for n in range(3000)]
    summary = hurtle.run(urls, tmp_path / name, ordered=True, concurrency_per_host=64)
    assert summary.ok == 3000
    if name == "out.parquet":
        table = pyarrow.parquet.read_table(tmp_path / name)
        assert table["index"].to_pylist() == list(range(3000))
        assert table["url"].to_pylist() == urls
    else:
        rows = [json.loads(line) for line in (tmp_path / name).read_bytes().splitlines()]
        assert [row["index"] for row in rows] == list(range(3000))
        assert [row["url"] for row in rows] == urls


def test_an_interrupted_ordered_run_keeps_what_has_no_gap(tmp_path: Path, hurtle_server: Server) -> None:
    def urls() -> Iterator[str]:
        yield hurtle_server.url("/bytes/1")
        yield hurtle_server.url("/delay/30000")
        yield hurtle_server.url("/bytes/1")

    def stop(counters: Any) -> None:
        if counters.done == 2:
            raise KeyError("mine")

    with pytest.raises(KeyError):
        hurtle.run(urls(), tmp_path / "out.jsonl", ordered=True, progress=stop)
    (part,) = (tmp_path / "out.jsonl.run").glob("part-*.jsonl")
    assert [json.loads(line)["index"] for line in part.read_bytes().splitlines()] == [0]


@pytest.mark.slow
def test_a_whole_response_keeps_what_it_leaves_to_say(tmp_path: Path, hurtle_server: Server) -> None:
    for name in ("out.parquet", "out.jsonl"):
        url = hurtle_server.url(f"/retry-after?value=999999999&status=429&times=9&key={name}")
        retries = hurtle.Retry(total=1, max_retry_after=0.05)
        hurtle.run([url, hurtle_server.url("/bytes/1")], tmp_path / name, ordered=True, retries=retries)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    for rows in (
        list(map(json.loads, lines)),
        pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist(),
    ):
        told = [(row["status"], row["error"], row["error_detail"]) for row in rows]
        assert told == [(429, None, "Retry-After: 999999999"), (200, None, None)]


def test_what_writes_to_stores_and_databases_is_not_imported_for_a_file(tmp_path: Path) -> None:
    code = (
        "import sys; from hurtle.sinks import new_sink; new_sink(sys.argv[1]); print(*sys.modules, sep='\\n')"
    )
    elsewhere = {"hurtle.outputs.remote", "hurtle.outputs.database", "hurtle.sinks.database_sink"}
    for name, imported in (("out.jsonl", set()), ("out.db", elsewhere - {"hurtle.outputs.remote"})):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        assert elsewhere & set(found.stdout.splitlines()) == imported
