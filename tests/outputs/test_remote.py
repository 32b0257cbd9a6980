"""A run in a folder of an object store: moto's S3 in a separate process, read back by boto3 and pyarrow."""

import asyncio
import gzip
import io
import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import hurtle
from hurtle.cli.main import main
from hurtle.errors import ConfigError, JournalError, MissingExtraError, SinkError
from hurtle.outputs import Identity, objects
from hurtle.sinks import parts
from hurtle.testing import Server
from tests.outputs.breaking import Found, check_killed, check_read_back, check_resumed
from tests.outputs.s3_server import BUCKET, S3

pytestmark = pytest.mark.slow

NUMBERS = count(1)
IDENTITY = Identity(input={"rows": 1})


def committed(s3: S3, prefix: str) -> list[bytes]:
    """Return the parts that the journal lists, as stored on the server."""
    found = s3.objects(prefix)
    run = json.loads(found["run.json"])["run"]
    entries = [json.loads(found[name]) for name in sorted(found) if name.startswith(f"journal/{run}/")]
    return [found[entry["part"]] for entry in entries if "part" in entry]


def read_parquet(data: bytes) -> list[tuple[int, Found]]:
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    columns = [table[name].to_pylist() for name in ("index", "url", "status", "body", "error")]
    return [(index, Found(*row)) for index, *row in zip(*columns, strict=True)]


def read_lines(data: bytes) -> list[tuple[int, Found]]:
    rows = []
    for line in data.splitlines():
        row = json.loads(line)
        body = b64decode(row["body_base64"]) if "body_base64" in row else row["body"]
        body = body.encode() if isinstance(body, str) else body
        rows.append((row["index"], Found(row["url"], row["status"], body, row["error"])))
    return rows


def unzstd(data: bytes) -> bytes:
    stream = pyarrow.CompressedInputStream(pyarrow.BufferReader(data), "zstd")
    return bytes(stream.read())


READERS: dict[str, Callable[[bytes], list[tuple[int, Found]]]] = {
    "parquet": read_parquet,
    "jsonl": read_lines,
    "jsonl.gz": lambda data: read_lines(gzip.decompress(data)),
    "jsonl.zst": lambda data: read_lines(unzstd(data)),
}


def reader(s3: S3, prefix: str, form: str = "parquet") -> Callable[[], list[tuple[int, Found]]]:
    return lambda: [row for part in committed(s3, prefix) for row in READERS[form](part)]


def indexes(s3: S3, prefix: str) -> list[int]:
    return sorted(index for index, _ in reader(s3, prefix)())


def parts_in(s3: S3, prefix: str) -> set[str]:
    return {name for name in s3.objects(prefix) if name.startswith("part-")}


def urls(server: Server, rows: int = 60) -> list[str]:
    return [server.url(f"/bytes/{n}") for n in range(rows)]


@pytest.mark.parametrize("form", READERS)
def test_every_row_is_read_back(s3: S3, prefix: str, out: str, hurtle_server: Server, form: str) -> None:
    check_read_back(hurtle_server, out, reader(s3, prefix, form), format=form)
    assert sorted(name.partition("/")[0].partition("-")[0] for name in s3.objects(prefix)) == [
        "journal", "part", "run.json",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "warc"])
def test_other_formats_of_parts_are_read_back(out: str, hurtle_server: Server, form: str) -> None:
    hurtle.run(urls(hurtle_server), out, format=form)
    rows = {row["index"]: (row["status"], row["bytes_body"]) for row in hurtle.open_run(out)}
    assert rows == {n: (200, n) for n in range(60)}


def test_a_scheme_in_capitals_is_the_same(
    s3: S3, prefix: str, out: str, hurtle_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source: RFC 3986, section 3.1."""
    monkeypatch.chdir(tmp_path)
    hurtle.run(urls(hurtle_server), out.replace("s3://", "S3://"))
    assert indexes(s3, prefix) == [*range(60)]
    assert hurtle.open_run(out.replace("s3://", "S3://")).rows == 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz", "warc"])
def test_unchanged_bodies_are_found_there(
    out: str, hurtle_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 25)
    hurtle.run(urls(hurtle_server), out, format=form)
    hurtle.run(urls(hurtle_server), tmp_path / "new.jsonl", since=out)
    run, first = hurtle.open_run(tmp_path / "new.jsonl", since=out), hurtle.open_run(out)
    bodies = {row["index"]: first.body(row) for row in first}
    rows = list(run)
    assert {row["change"] for row in rows} == {"unchanged"}
    assert [run.body(row) for row in rows] == [bodies[row["index"]] for row in rows]
    assert all(len(bodies[n] or b"") == n for n in range(60))


def test_an_interrupted_run_is_gone_on_with(s3: S3, prefix: str, out: str, hurtle_server: Server) -> None:
    check_resumed(hurtle_server, out, reader(s3, prefix))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_is_gone_on_with(
    s3: S3, prefix: str, out: str, tmp_path: Path, hurtle_server: Server
) -> None:
    check_killed(hurtle_server, tmp_path, out, reader(s3, prefix))


VICTIM = """
import os, signal
import obstore
import hurtle
from hurtle.sinks import parts

parts.PART_ROWS = 20
steps = 0

def killed(call):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == {step} and {before}:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if steps == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return step

obstore.put, obstore.delete = killed(obstore.put), killed(obstore.delete)
hurtle.run({urls!r}, {out!r}, rate_limit="200/s")
"""
LEAST_STEPS = 2 + 2 * 2 + 2
"""Lock, run.json, two parts with their entries, the run's end and the lock's."""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_is_killed_at_any_step_loses_and_doubles_nothing(
    s3: S3, prefix: str, out: str, hurtle_server: Server, before: bool
) -> None:
    whole = prefix
    sent, step, status = urls(hurtle_server), 0, -9
    while status:
        step += 1
        prefix, address = f"{whole}{step}/", f"{out}{step}/"
        script = VICTIM.format(step=step, before=before, urls=sent, out=address)
        status = subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode
        assert status in (-9, 0)
        hurtle.run(sent, address)
        assert indexes(s3, prefix) == list(range(60)), step
        assert len(parts_in(s3, prefix)) == len(committed(s3, prefix)), "what is not committed is removed"
        assert "lock" not in s3.objects(prefix)
    assert step > LEAST_STEPS, "it was killed at every step there is"


@pytest.mark.parametrize(
    ("what", "error"), [("PUT", SinkError), ("/part-", SinkError), ("/journal/", JournalError)]
)
def test_a_server_that_goes_away_stops_the_run_and_what_is_committed_stays(
    s3: S3,
    prefix: str,
    out: str,
    hurtle_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 20)

    s3.fail(what, commits=1)
    with pytest.raises(error, match=f"{out}.*could not be written"):
        hurtle.run(urls(hurtle_server), out, rate_limit="200/s")
    s3.fail()
    before = indexes(s3, prefix)
    assert before
    summary = hurtle.run(urls(hurtle_server), out)
    assert summary.resumed == len(before)
    assert indexes(s3, prefix) == list(range(60))
    assert len(parts_in(s3, prefix)) == len(committed(s3, prefix))


@pytest.mark.parametrize("what", ["/lock", "/run.json", "/journal/", "/part-"])
def test_an_answer_that_was_lost_is_no_failure(
    s3: S3, prefix: str, out: str, hurtle_server: Server, what: str
) -> None:
    s3.lose(f"PUT /{BUCKET}/{prefix}{what[1:]}")
    hurtle.run(urls(hurtle_server), out)
    assert indexes(s3, prefix) == list(range(60))


def test_a_store_that_cannot_be_reached_is_named_before_anything_is_sent(
    out: str, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=f"{out}run.json cannot be read"):
        hurtle.run(urls(hurtle_server), out)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ConfigError, match="set AWS_ALLOW_HTTP=true"):
        hurtle.run(urls(hurtle_server), out)
    assert hurtle_server.stats()["requests"] == 0


def test_a_large_part_is_whole(s3: S3, prefix: str, out: str, hurtle_server: Server) -> None:
    hurtle.run([hurtle_server.url("/bytes/12000000?seed=1")], out, format="jsonl")
    (part,) = committed(s3, prefix)
    assert len(part) > 2 * objects.PIECE_BYTES, "it was uploaded in pieces"
    (index, found), *_ = read_lines(part)
    (row,) = hurtle.fetch([hurtle_server.url("/bytes/12000000?seed=1")])
    assert (index, found.body) == (0, row.content)


def test_another_run_is_refused_and_a_restart_drops_it(
    s3: S3, prefix: str, out: str, hurtle_server: Server
) -> None:
    hurtle.run(urls(hurtle_server), out)
    before = s3.objects(prefix)
    for changed, words in (
        ({"requests": urls(hurtle_server, 9)}, "its input is not the same"),
        ({"format": "jsonl"}, "it writes parquet, and this one writes jsonl"),
        ({"max_redirects": 3}, "max_redirects was 10 and is now 3"),
        ({"resume": False}, "holds a run already"),
    ):
        given: dict[str, Any] = {"requests": urls(hurtle_server)} | changed
        with pytest.raises(ConfigError, match=words):
            hurtle.run(out=out, **given)
    assert s3.objects(prefix) == before
    assert hurtle.run(urls(hurtle_server, 9), out, restart=True).resumed == 0
    assert indexes(s3, prefix) == list(range(9))
    assert not set(before) - {"run.json"} & set(s3.objects(prefix))


def test_a_run_of_which_nothing_came_does_not_stand_in_the_way(out: str, hurtle_server: Server) -> None:
    def stop(_counters: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hurtle.run([hurtle_server.url("/delay/20000")], out, progress=stop)
    with pytest.raises(ConfigError, match="holds no run"):
        hurtle.open_run(out)
    assert hurtle.run(urls(hurtle_server, 2), out).ok == 2


def test_somebodys_objects_are_left_alone(s3: S3, prefix: str, out: str, hurtle_server: Server) -> None:
    s3.put(f"{prefix}part-000001.parquet", b"mine")
    with pytest.raises(ConfigError, match=r"holds objects not created by hurtle \(part-000001.parquet\)"):
        hurtle.run(urls(hurtle_server), out, restart=True)
    assert s3.objects(prefix) == {"part-000001.parquet": b"mine"}


def test_what_a_crash_left_is_removed_and_what_somebody_put_there_stays(
    s3: S3, prefix: str, out: str, hurtle_server: Server
) -> None:
    hurtle.run(urls(hurtle_server), out)
    kept = ("notes.txt", "part-of-mine", "journal/mine.txt")
    left = ("part-000009-01234567.parquet", "journal/01234567/000001.json", f"clock-{'0' * 32}")
    for name in (*kept, *left):
        s3.put(prefix + name, b"there")
    hurtle.run(urls(hurtle_server), out)
    found = s3.objects(prefix)
    assert all(name in found for name in kept)
    assert not any(name in found for name in left)


@pytest.fixture
def half(s3: S3, prefix: str, out: str, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An interrupted run with three committed parts."""
    monkeypatch.setattr(parts, "PART_ROWS", 20)

    def stop(counters: Any) -> None:
        if counters.done >= 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hurtle.run(urls(hurtle_server, 300), out, progress=stop, rate_limit="300/s")
    return out


def test_only_what_is_committed_is_shown(s3: S3, prefix: str, half: str) -> None:
    run = hurtle.open_run(half.rstrip("/"))
    assert run.complete is False
    assert sorted(row["index"] for row in run) == indexes(s3, prefix)
    assert run.rows == len(indexes(s3, prefix))
    assert run.to_arrow()["bytes_body"].to_pylist() == run.to_arrow()["index"].to_pylist()
    assert run.where("status = 200 and bytes_body < 3") == [0, 1, 2]


def test_cat_writes_the_rows(half: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["cat", half, "--where", "bytes_body < 3"]) == 0
    told = capfdbinary.readouterr()
    assert [json.loads(line)["index"] for line in told.out.splitlines()] == [0, 1, 2]
    assert b"is not complete" in told.err


@pytest.mark.parametrize("again", [hurtle.open_run, hurtle.run])
def test_a_part_or_an_entry_that_is_gone_is_named(
    s3: S3, prefix: str, half: str, hurtle_server: Server, again: Callable[..., Any]
) -> None:
    def read() -> None:
        if again is hurtle.run:
            hurtle.run(urls(hurtle_server, 300), half)
        else:
            list(hurtle.open_run(half))

    client = s3.client()
    entry = min(name for name in s3.objects(prefix) if name.startswith("journal/"))
    whole = s3.objects(prefix)[entry]
    s3.put(prefix + entry, whole.replace(b'"rows"', b'"Rows"'))
    with pytest.raises(JournalError, match=f"{entry} is damaged: the checksum"):
        read()
    s3.put(prefix + entry, whole)
    part = str(json.loads(s3.objects(prefix)[entry])["part"])
    for name in (part, entry):
        client.delete_object(Bucket=BUCKET, Key=prefix + name)
        with pytest.raises(JournalError, match=f"{name}.*(is gone|not found)"):
            read()
    s3.put(prefix + entry, b'{"part": 7}')
    with pytest.raises(JournalError, match=f"{entry} is damaged"):
        read()
    s3.put(f"{prefix}run.json", b"{")
    with pytest.raises(JournalError, match=r"run\.json is damaged"):
        read()


def test_a_retry_is_refused(half: str, hurtle_server: Server) -> None:
    with pytest.raises(ConfigError, match="cannot be retried"):
        hurtle.retry(half, urls(hurtle_server, 300))


def test_it_works_on_an_event_loop(s3: S3, prefix: str, out: str, hurtle_server: Server) -> None:
    asyncio.run(hurtle.arun(urls(hurtle_server), out))
    assert indexes(s3, prefix) == list(range(60))


def test_no_secret_is_stored_or_told(
    s3: S3, prefix: str, out: str, hurtle_server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    hurtle.run(urls(hurtle_server), out, headers={"authorization": "Bearer hidden"})
    stored = s3.objects(prefix)["run.json"].decode()
    s3.fail("PUT")
    assert main(["fetch", hurtle_server.url("/bytes/1"), "-o", f"{out}another/"]) == 2
    told = capfd.readouterr()
    for secret in ("the-key-id", "the-secret-key", "hidden"):
        assert secret not in stored + told.err + told.out


@pytest.mark.parametrize(
    "address",
    ["s3://id:secret@bucket/x/", "s3://secret@bucket/x/", "az://box/x/?sig=secret", "gs://bucket/x/#secret"],
)
def test_credentials_in_an_address_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(ConfigError, match="credentials come from the environment") as refused:
        hurtle.run([], address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "form", "words"),
    [
        ("s3://", None, "must be s3://BUCKET/PREFIX/"),
        ("s3:///x/", None, "must be s3://BUCKET/PREFIX/"),
        ("s3://bucket/a%20b/", None, "must be s3://BUCKET/PREFIX/"),
        ("s3://bucket/../x/", None, "must be s3://BUCKET/PREFIX/"),
        ("s3://bucket/out.parquet", None, 'folder of parts; end its name with "/"'),
        ("gs://bucket/x/", "files", "must be one of jsonl, "),
        ("az://box/x/", "sqlite", "must be one of jsonl, "),
    ],
)
def test_what_cannot_be_an_output_is_refused(address: str, form: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        hurtle.run([], address, format=form)


def test_the_missing_package_is_named(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtraError, match=r"hurtle\[remote\]"):
        hurtle.run([], out)
