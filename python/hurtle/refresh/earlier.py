"""What an earlier run has for each URL: validators, a digest of the body, and the place of the body."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b, sha256
from typing import Any

from hurtle.formats.bodies import digest_of_name
from hurtle.formats.row_json import StoredRow
from hurtle.runs.referred import key_of
from hurtle.runs.run import BodyOf

COLUMNS = (
    "index", "method", "url", "final_url", "redirects", "status", "error", "truncated", "fetched_at",
    "headers", "http_version", "encoding_left", "bytes_body", "body", "body_path", "warc_file", "warc_offset",
    "warc_length", "body_run", "body_index",
)  # fmt: skip
"""The columns to read from an earlier run: those to compare, and those that locate a row's body."""

CACHE_KIB = 32 << 10
"""The table's cache in memory; the rest is in a temporary file that disappears with the process."""

FAILING = 500
TOO_MANY = 429
"""A server in trouble says nothing about its resources, so such an answer counts as none."""

SUM_BYTES = 16
"""Bytes of a hash: two different rows practically never share one (RFC 7693, section 2.1)."""

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")

_FIELDS = ("fetched", "status", "digest", "etag", "modified", "moved", "run", "at")
_TABLE = f"CREATE TABLE earlier (key BLOB PRIMARY KEY, {', '.join(_FIELDS)}, several) WITHOUT ROWID"
_INSERT = (
    f"INSERT INTO earlier VALUES ({', '.join('?' * (len(_FIELDS) + 1))}, 0) ON CONFLICT (key) DO UPDATE SET "
    + "".join(
        f"{name} = CASE WHEN excluded.fetched < fetched THEN {name} ELSE excluded.{name} END, "
        for name in _FIELDS
    )
    + "several = several OR digest IS NOT excluded.digest"
)
_FOLLOW = (
    "UPDATE earlier SET status = ?, digest = ?, etag = coalesce(etag, ?), modified = coalesce(modified, ?)"
    " WHERE key = ? AND run = ? AND at = ? AND fetched >= ?"
)
_FIND = "SELECT status, digest, etag, modified, moved, run, at, several FROM earlier WHERE key = ?"


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier run has for a URL.

    Attributes:
        status: The status.
        digest: The digest to compare its body by; None: the run does not hold the body.
        etag: Its ETag, in a form that can be sent.
        modified: Its Last-Modified, in a form that can be sent.
        moved: Where redirects ended; None: there were none.
        run: The run that holds the body, by the caller's name for it.
        index: The position of the row in that run.
        several: Whether the earlier run has different answers for the URL; this is the newest.
    """

    status: int
    digest: bytes | None
    etag: str | None
    modified: str | None
    moved: str | None
    run: str
    index: int
    several: bool


class Earlier:
    """The newest whole response for each method and URL.

    Memory: CACHE_KIB, however many rows there are, and about 160 bytes of temporary disk space per row. One
    thread fills it, and then one other reads it.

    Args:
        name: The caller's name for the run.
    """

    def __init__(self, name: str) -> None:
        self._runs = [name]
        self._numbers = {name: 0}
        self._rows = 0
        self._sum = 0
        # An empty name gives a temporary file without a name: it disappears however the process ends.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in (f"cache_size=-{CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute(_TABLE)

    @property
    def referred(self) -> list[str]:
        """The other runs that hold bodies of unchanged rows, as the rows name them."""
        return self._runs[1:]

    @property
    def fingerprint(self) -> dict[str, object]:
        """Distinguishes the rows from those of another run, in whatever order they were read."""
        return {"run": self._runs[0], "rows": self._rows, "digest": f"{self._sum:0{2 * SUM_BYTES}x}"}

    def add(self, rows: Iterable[StoredRow], body: BodyOf) -> None:
        """Add rows of the run.

        Args:
            rows: The rows.
            body: Finds the body of a row that does not contain it.
        """
        self._run(_INSERT, self._noted(rows, body))

    def follow(self, name: str, rows: Iterable[StoredRow], body: BodyOf) -> None:
        """Read from the rows of another run what this run's rows refer to.

        Args:
            name: One of `referred`.
            rows: Its rows.
            body: As in `add`.
        """
        number = self._numbers[name]
        found = (
            (
                *(row["status"], digest_of(row, body), *_validators(row)),
                # If an answer is newer than the row that refers to it, the row was compared with another one.
                *(_key_of(row), number, row["index"], _micros(row)),
            )
            for row in rows
            if is_whole(row)
        )
        self._run(_FOLLOW, found)

    def call(self, name: str, shown: str) -> None:
        """Set the name under which another run can be found from here."""
        self._runs[self._numbers[name]] = shown

    def dangling(self) -> str | None:
        """Return another run that lacks a row that is referred to; None: there is none."""
        found = self._database.execute("SELECT run FROM earlier WHERE status IS NULL LIMIT 1").fetchone()
        return None if found is None else self._runs[found[0]]

    def find(self, method: str, url: str) -> Known | None:
        """Return what the run has for a request's method and URL."""
        row = self._database.execute(_FIND, (key_of(method, url),)).fetchone()
        if row is None:
            return None
        status, digest, etag, modified, moved, run, at, several = row
        return Known(status, digest, etag, modified, moved, self._runs[run], at, bool(several))

    def close(self) -> None:
        """Release the table. Idempotent."""
        self._database.close()

    def _run(self, statement: str, values: Iterable[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(statement, values)
        self._database.execute("COMMIT")

    def _noted(self, rows: Iterable[StoredRow], body: BodyOf) -> Iterator[tuple[object, ...]]:
        """Add rows to the fingerprint, and yield their values for the table."""
        for row in rows:
            digest = digest_of(row, body)
            shown = [row["index"], row["method"], row["url"], row["status"], row["error"], _micros(row)]
            text = repr([*shown, digest, row.get("body_run"), row.get("body_index")])
            value = blake2b(text.encode("utf-8", "replace"), digest_size=SUM_BYTES).digest()
            self._sum = (self._sum + int.from_bytes(value)) % (1 << 8 * SUM_BYTES)
            self._rows += 1
            if is_whole(row):
                yield self._values(row, digest)

    def _values(self, row: Mapping[str, Any], digest: bytes | None) -> tuple[object, ...]:
        run, index, status = 0, row["index"], row["status"]
        if row.get("body_run") is not None:
            # Status and digest come from the row that has the body: `follow` adds them.
            run, index, status, digest = self._number(row["body_run"]), row["body_index"], None, None
        moved = row["final_url"] if row["redirects"] else None
        return (_key_of(row), _micros(row), status, digest, *_validators(row), moved, run, index)

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._runs))
        if number == len(self._runs):
            self._runs.append(name)
        return number


def is_whole(row: Mapping[str, Any]) -> bool:
    """Whether a row is an answer to compare with: whole, and from a server that is not in trouble."""
    status = row["status"]
    return (
        status is not None
        and row["error"] is None
        and row["truncated"] is None
        and status < FAILING
        and status != TOO_MANY
    )


def digest_of(row: StoredRow, body: BodyOf) -> bytes | None:
    """Return the digest to compare a row's body by; None if the run does not hold the body."""
    if row["method"] == "HEAD":
        return digest_of_head(_values_of(row, name) for name in HEAD_FIELDS)
    if (path := row.get("body_path")) is not None and (digest := digest_of_name(path)) is not None:
        return digest
    found = body(row)
    return None if found is None else sha256(found).digest()


HEAD_FIELDS = ("etag", "last-modified", "content-length")
"""The fields to compare answers to HEAD by, which have no body."""


def digest_of_head(values: Iterable[list[str]]) -> bytes:
    """Return the digest to compare an answer to HEAD by.

    Args:
        values: The values of HEAD_FIELDS, in order.
    """
    return sha256(repr(list(values)).encode("utf-8", "replace")).digest()


def _key_of(row: Mapping[str, Any]) -> bytes:
    return key_of(row["method"], row["url"])


def _validators(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return ETag and Last-Modified, each if it occurs once and is valid by RFC 9110, section 8.8."""
    etag, modified = _values_of(row, "etag"), _values_of(row, "last-modified")
    return (
        etag[0] if len(etag) == 1 and _ETAG.fullmatch(etag[0]) else None,
        modified[0] if len(modified) == 1 and _DATE.fullmatch(modified[0]) else None,
    )


def _values_of(row: Mapping[str, Any], wanted: str) -> list[str]:
    return [field["value"] for field in row["headers"] or () if field["name"].lower() == wanted]


def _micros(row: Mapping[str, Any]) -> int:
    """Return when a row was fetched, in microseconds since 1970."""
    fetched_at = row["fetched_at"]
    if not isinstance(fetched_at, datetime):
        return 0
    return int(fetched_at.timestamp()) * 1_000_000 + fetched_at.microsecond
