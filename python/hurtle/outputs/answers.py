"""Logs the answers to requests that must not be sent again at once, until their part is committed.

Closing a part for each answer would take milliseconds and leave a file. A line of the log takes microseconds.
"""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from hurtle.disk import sync_folder
from hurtle.errors import JournalError, SinkError
from hurtle.formats import Format
from hurtle.formats.columns import batch_of, table_schema
from hurtle.formats.row_json import harmless, row_of
from hurtle.formats.table import body_of
from hurtle.positions import Done
from hurtle.rows import Exchange, Rows

if TYPE_CHECKING:
    from hurtle._engine import Response

ANSWERS = "answers.jsonl"

UNREPEATABLE_SECONDS = 0.08
"""Rows of requests that must not be sent again are fsynced at once, or this long after the previous fsync.

Nothing but the row tells how such a request ended.
"""

_EXCHANGE = ("url", "started_us", "remote_ip", "http_version", "body_at", "truncated")


class AnswerLog:
    """The rows of an open part that must survive a crash. Not thread-safe.

    When `append` returns, the operating system has the rows, so they survive the process. They are fsynced
    then, or by the first `tick` that is UNREPEATABLE_SECONDS after the previous fsync.

    Args:
        path: The file; created by the first `append`, which drops what an earlier run left.
        records_exchanges: Whether to log what went over the wire for each row.
    """

    def __init__(self, path: Path, *, records_exchanges: bool) -> None:
        self._path = path
        self._records_exchanges = records_exchanges
        self._fd: int | None = None
        self._synced = 0.0
        self._is_synced = True

    def append(self, rows: Rows) -> None:
        """Write rows.

        Raises:
            SinkError: The disk failed.
        """
        lines = _lines_with_exchanges(rows) if self._records_exchanges else rows.to_jsonl()
        with _failing(self._path):
            if self._fd is None:
                self._fd = self._opened()
            written = os.write(self._fd, lines)
            while written < len(lines):
                written += os.write(self._fd, memoryview(lines)[written:])
        self._is_synced = False
        self.tick()

    def tick(self) -> None:
        """Fsync rows that have waited long enough.

        Raises:
            SinkError: The disk failed.
        """
        if self._is_synced or self._fd is None or monotonic() < self._synced + UNREPEATABLE_SECONDS:
            return
        with _failing(self._path):
            os.fsync(self._fd)
        self._synced, self._is_synced = monotonic(), True

    def clear(self) -> None:
        """Remove the rows: their part is committed.

        Not fsynced: rows that reappear after a power failure are committed, and ignored.

        Raises:
            SinkError: The disk failed.
        """
        if self._fd is not None:
            with _failing(self._path):
                os.ftruncate(self._fd, 0)
            self._is_synced = True

    def close(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(self._path, flags | getattr(os, "O_BINARY", 0), 0o666)
        try:
            sync_folder(self._path.parent)
        except OSError:
            os.close(fd)
            raise
        return fd


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(f"{path} could not be written: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class LoggedExchange:
    """What went over the wire for a row, read back; see `Exchange`."""

    url: str
    started_us: int
    remote_ip: str | None
    http_version: str
    body_at: int
    truncated: str | None
    request: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class _Answer:
    """The part of a response that a writer needs."""

    content: bytes
    body_file: None = None


class LoggedRows:
    """Rows that a crash left in a log, in the form that a writer accepts.

    Args:
        records: The rows as parsed JSON.
        exchanges: What went over the wire for each row.
    """

    def __init__(self, records: Sequence[dict[str, Any]], exchanges: Sequence[tuple[Exchange, ...]]) -> None:
        self._records = records
        self._exchanges = exchanges

    def only(self, is_wanted: Callable[[int], bool]) -> "LoggedRows":
        """Return the rows at some positions."""
        rows = zip(self._records, self._exchanges, strict=True)
        wanted = [(record, exchanges) for record, exchanges in rows if is_wanted(record["index"])]
        return LoggedRows([record for record, _ in wanted], [exchanges for _, exchanges in wanted])

    @property
    def records(self) -> Sequence[dict[str, Any]]:
        """The rows as parsed JSON."""
        return self._records

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._records)

    def __iter__(self) -> "Iterator[Response]":
        """Yield a response for each row, with nothing but the body."""
        answers = (_Answer(body_of({"body": None} | record) or b"") for record in self._records)
        return (cast("Response", answer) for answer in answers)

    @property
    def nbytes(self) -> int:
        """Memory of the bodies, in bytes."""
        return sum(record["bytes_body"] for record in self._records)

    @property
    def file_bytes(self) -> int:
        """Zero: the bodies are in the log."""
        return 0

    @property
    def unrepeatable(self) -> int:
        """Zero: these rows are in a log already."""
        return 0

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""
        return [record["index"] for record in self._records]

    def failures(self) -> list[int]:
        """Return the positions in the input of the rows that are not ok."""
        return [record["index"] for record in self._records if not record["ok"]]

    def exchanges(self) -> Sequence[tuple[Exchange, ...]]:
        """Return, for each row, what went over the wire in its last attempt, redirects first."""
        return self._exchanges

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines; without `bodies` every body is null."""
        records = self._records if bodies else map(_without_body, self._records)
        return b"".join(harmless(_json(record)).encode() + b"\n" for record in records)

    def pieces(self) -> None:
        """Return None: they are not in the engine's batches."""

    def added(self) -> dict[str, Sequence[object]]:
        """Return no columns: each record has all that its row has."""
        return {}

    def without_body(self) -> None:
        """Return None: each record has all that its row has."""

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the rows as columns."""
        rows = [row_of(record) for record in self._records]
        batch = batch_of(rows, table_schema(list(rows[0])))
        columns: tuple[object, object] = batch.__arrow_c_array__(requested_schema)
        return columns


def logged_rows(path: Path | None, is_wanted: Callable[[int], bool] = lambda _: True) -> LoggedRows:
    """Return the rows that a crash left in a log; none if there is no log.

    They end at the first line that a power failure has damaged before it was fsynced.

    Args:
        path: The log, which may not exist; None: there is none.
        is_wanted: Whether to return the row at a position.

    Raises:
        JournalError: The log cannot be read.
    """
    rows: dict[int, dict[str, Any]] = {}
    exchanges: dict[int, tuple[Exchange, ...]] = {}
    if path is None:
        return LoggedRows([], [])
    try:
        with path.open("rb") as file:
            for line in file:
                record = _parsed(line)
                if record is None:
                    break
                row = record.get("row", record)
                if is_wanted(index := int(row["index"])):
                    rows[index] = row
                    exchanges[index] = tuple(map(_exchange, record.get("exchanges", ())))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}") from error
    return LoggedRows(list(rows.values()), list(exchanges.values()))


class Parts(Protocol):
    """Where parts are committed."""

    def new_part(self, extension: str) -> Path:
        """Return where on this disk to write the next part."""

    def commit(self, part: Path, rows: int, done: Iterable[int], failed: Iterable[int] = ()) -> None:
        """Put a complete part in place and record it."""


def commit_answers(
    log: Path,
    parts: Parts,
    format: Format,  # noqa: A002 - the public name
    done: Done,
    wanted: Container[int] | None = None,
) -> None:
    """Commit the rows that a crash left in a log, as a part.

    Args:
        log: The log; it may not exist.
        parts: Where the part goes.
        format: The format of the part.
        done: The positions whose rows are committed; those of the part are added.
        wanted: The positions that may be in the part; None: all that are not done.

    Raises:
        JournalError: The log cannot be read, or the part could not be recorded.
        SinkError: The part could not be written.
    """
    rows = logged_rows(log, lambda index: index not in done and (wanted is None or index in wanted))
    if not len(rows):
        return
    part = parts.new_part(format.extension)
    _write(format, part, rows)
    failures = frozenset(rows.failures())
    parts.commit(part, len(rows), rows.indexes(), sorted(failures))
    for index in rows.indexes():
        done.add(index, failed=index in failures)


def _write(format: Format, path: Path, rows: LoggedRows) -> None:  # noqa: A002 - the public name
    writer = format.writer(str(path))
    writer.open()
    try:
        writer.write(cast("Rows", rows))
    except BaseException:
        writer.abort()
        raise
    writer.close()
    if (found := format.count(path)) != len(rows):
        raise SinkError(f"{path} has {found} rows when read back, but {len(rows)} were written")


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _lines_with_exchanges(rows: Rows) -> bytes:
    """Return a line for each row, without its body, which is part of what went over the wire."""
    lines = rows.to_jsonl(bodies=False).splitlines()
    return b"".join(
        b'{"row":%s,"exchanges":%s}\n' % (line, _json([*map(_encoded, exchanges)]).encode())
        for line, exchanges in zip(lines, rows.exchanges(), strict=True)
    )


def _encoded(exchange: Exchange) -> dict[str, object]:
    return {name: getattr(exchange, name) for name in _EXCHANGE} | {
        name: b64encode(getattr(exchange, name)).decode("ascii") for name in ("request", "response")
    }


def _exchange(fields: dict[str, Any]) -> Exchange:
    wire = {name: b64decode(fields[name]) for name in ("request", "response")}
    return LoggedExchange(**(fields | wire))


def _without_body(record: dict[str, Any]) -> dict[str, Any]:
    bodies = ("body", "body_base64")
    return {
        "body" if name in bodies else name: None if name in bodies else value
        for name, value in record.items()
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
