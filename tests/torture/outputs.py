"""Every output under torture, and how to read it without hurtle. A new format is one line in OUTPUTS."""

import base64
import gzip
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import fastwarc.warc
import pyarrow.parquet

from hurtle.options import BodyPlace
from tests.torture.workload import ROWS, body_of, urls_at


@dataclass(frozen=True, slots=True)
class Found:
    """One row of an output, as its format's own reader gives it."""

    index: int
    url: str
    ok: bool
    body: bytes


Read = Callable[[Path], Iterator[Found]]


def read_jsonl(path: Path) -> Iterator[Found]:
    """Yield the rows of a file of JSON lines; a cut line raises."""
    with path.open("rb") as file:
        yield from _rows_of(file)


def read_gzip(path: Path) -> Iterator[Found]:
    """Yield the rows of compressed JSON lines; a cut stream raises."""
    with gzip.open(path) as file:
        yield from _rows_of(file)


def _rows_of(lines: Iterable[bytes]) -> Iterator[Found]:
    for line in lines:
        row = json.loads(line)
        encoded = row.get("body_base64")
        body = base64.b64decode(encoded) if encoded is not None else (row["body"] or "").encode()
        yield Found(row["index"], row["url"], row["ok"], body)


def read_files(path: Path) -> Iterator[Found]:
    """Yield the rows of an index whose bodies are files; one that is not there raises."""
    with path.open("rb") as file:
        for row in map(json.loads, file):
            body = (path.parent / row["body_path"]).read_bytes() if row["body_path"] else b""
            yield Found(row["index"], row["url"], row["ok"], body)


def read_sqlite(path: Path) -> Iterator[Found]:
    """Yield the rows of an SQLite file that finds itself in order."""
    with closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise ValueError(verdict)
        for index, url, ok, body in connection.execute('SELECT "index", url, ok, body FROM results'):
            yield Found(index, url, bool(ok), body or b"")


def read_parquet(path: Path) -> Iterator[Found]:
    """Yield the rows of a Parquet file; one without its footer raises."""
    table = pyarrow.parquet.read_table(path, columns=["index", "url", "ok", "body"], use_threads=False)
    for row in table.to_pylist():
        yield Found(row["index"], row["url"], row["ok"], row["body"] or b"")


def read_parquet_apart(path: Path) -> Iterator[Found]:
    """Yield the rows of a Parquet file whose bodies are files; one that is not there raises."""
    columns = ["index", "url", "ok", "body_path"]
    table = pyarrow.parquet.read_table(path, columns=columns, use_threads=False)
    for row in table.to_pylist():
        body = (path.parent / row["body_path"]).read_bytes() if row["body_path"] else b""
        yield Found(row["index"], row["url"], row["ok"], body)


def read_warc(path: Path) -> Iterator[Found]:
    """Yield the rows of a web archive, whose bodies are in earlier records; a damaged record raises."""
    with gzip.open(path) as file:  # fastwarc ends where a file is cut off, without a word
        while file.read(1 << 20):
            pass
    bodies: dict[str | None, bytes] = {None: b""}
    with path.open("rb") as file:
        for record in fastwarc.warc.ArchiveIterator(file, verify_digests=True):
            content = record.reader.read()
            if record.record_type == fastwarc.warc.response:
                bodies[record.record_id] = content
            elif record.record_type == fastwarc.warc.metadata:
                row = json.loads(content)
                body = bodies[record.headers.get("WARC-Concurrent-To")]
                yield Found(row["index"], row["url"], row["ok"], body)


@dataclass(frozen=True, slots=True)
class Output:
    """One way to write a run.

    Attributes:
        name: What the table calls it.
        out: The output's name, as a user would write it.
        format: As of `hurtle.run`.
        read: Reads one file of it.
        files: What of the output holds rows, a pattern.
        others: What else may be there in the end, patterns.
        journal: Where the run's journal is while it has not ended; None: the format keeps its own.
        bodies: As of `hurtle.run`.
    """

    name: str
    out: str
    format: str
    read: Read
    files: str
    others: tuple[str, ...] = ()
    journal: str | None = None
    bodies: BodyPlace | None = None

    def rows(self, folder: Path) -> Iterator[Found]:
        """Yield every row that a reader of the output finds."""
        for path in sorted(folder.glob(self.files)):
            yield from self.read(path)

    def leftovers(self, folder: Path) -> list[str]:
        """Return what is there and belongs to no output that is complete."""
        own = (self.files, *self.others)
        there = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        return [name for name in there if not any(fnmatchcase(name, pattern) for pattern in own)]


def one_file(name: str, extension: str, read: Read) -> Output:
    """Describe an output that becomes one file, whose parts wait beside it until then."""
    out = f"out{extension}"
    return Output(f"{name}, one file", out, name, read, out, journal=f"{out}.run/journal.jsonl")


def in_parts(name: str, extension: str, read: Read, *, bodies: BodyPlace | None = None) -> Output:
    """Describe a folder of parts, with bodies beside them where they are apart."""
    others = ["out", "out/run.json", "out/journal.jsonl"]
    shown = name
    if bodies == "apart":
        others += ["out/bodies", "out/bodies/[0-9a-f][0-9a-f]*"]
        shown = name if name == "files" else f"{name} and bodies"
    files, journal = f"out/part-*{extension}", "out/journal.jsonl"
    return Output(f"{shown}, folder", "out/", name, read, files, tuple(others), journal, bodies)


OUTPUTS = (
    one_file("jsonl", ".jsonl", read_jsonl),
    one_file("parquet", ".parquet", read_parquet),
    in_parts("jsonl", ".jsonl", read_jsonl),
    in_parts("parquet", ".parquet", read_parquet),
    one_file("jsonl.gz", ".jsonl.gz", read_gzip),
    in_parts("files", ".jsonl", read_files, bodies="apart"),
    in_parts("parquet", ".parquet", read_parquet_apart, bodies="apart"),
    one_file("warc", ".warc.gz", read_warc),
    in_parts("warc", ".warc.gz", read_warc),
    Output("sqlite", "out.sqlite", "sqlite", read_sqlite, "out.sqlite"),
)


def faults_of(output: Output, folder: Path, base: str) -> list[str]:
    """Return what is wrong with a complete output; nothing when every row is there once, and right."""
    urls = urls_at(base)
    seen = [0] * ROWS
    faults = [f"left over: {name}" for name in output.leftovers(folder)]
    try:
        for row in output.rows(folder):
            seen[row.index] += 1
            if not row.ok or row.url != urls[row.index]:
                faults.append(f"row {row.index} is not what was asked: {row.url}")
            elif row.body != body_of(row.index):
                faults.append(f"row {row.index} has a wrong body")
    except Exception as error:  # noqa: BLE001 - whatever a reader says of a file, it is unreadable
        faults.append(f"unreadable: {error!r}")
    faults += [f"row {index} is lost" for index, count in enumerate(seen) if count == 0]
    faults += [f"row {index} is there {count} times" for index, count in enumerate(seen) if count > 1]
    return faults


def journal_faults(output: Output, folder: Path) -> list[str]:
    """Return what the journal of a run that broke calls done and is not."""
    journal = folder / output.journal if output.journal else None
    if journal is None or not journal.exists():
        return []
    faults: list[str] = []
    done: list[int] = []
    for line in journal.read_bytes().split(b"\n")[:-1]:  # a last line without its end is none
        entry = json.loads(line)
        part = journal.with_name(entry["part"])
        indexes = [index for first, last in entry["done"] for index in range(first, last + 1)]
        done += indexes
        if not part.exists() or sha256(part.read_bytes()).hexdigest() != entry["sha256"]:
            faults.append(f"{part.name} is gone or changed")
        elif sorted(row.index for row in output.read(part)) != sorted(indexes):
            faults.append(f"{part.name} does not hold the rows that are marked done")
        elif any(row.body != body_of(row.index) for row in output.read(part)):
            faults.append(f"{part.name} holds a wrong body")
    if len(done) != len(set(done)):
        faults.append("a row is marked done twice")
    return faults
