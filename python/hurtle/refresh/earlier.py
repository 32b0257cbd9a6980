"""What an earlier run has for each URL: validators, a digest of the body, and the place of the body."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b, sha256
from typing import Any

from hurtle._engine import EarlierRows
from hurtle.formats.bodies import digest_of_name
from hurtle.formats.row_json import StoredRow
from hurtle.runs.run import BodyOf

COLUMNS = (
    "index", "method", "url", "final_url", "redirects", "status", "error", "truncated", "fetched_at",
    "headers", "http_version", "encoding_left", "body_encoding", "bytes_body", "body", "body_path",
    "warc_file", "warc_offset", "warc_length", "body_run", "body_index",
)  # fmt: skip
"""The columns to read from an earlier run: those to compare, and those that locate a row's body."""

FAILING = 500
TOO_MANY = 429
"""A server in trouble says nothing about its resources, so such an answer counts as none."""

SUM_BYTES = 16
"""Bytes of a hash: two different rows practically never share one (RFC 7693, section 2.1)."""


@dataclass(slots=True)  # not frozen: one is made for each request, and that would take four times as long
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

    Memory: 16 bytes per row; the rest, about 160 bytes per row, is in a temporary file that disappears with
    the process. One thread fills it, and then one other reads it.

    Args:
        name: The caller's name for the run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows = 0
        self._sum = 0
        self._table = EarlierRows(name)
        self._shown: dict[str, str] = {}
        self._runs: list[str] = []

    @property
    def referred(self) -> list[str]:
        """The other runs that hold bodies of unchanged rows, as the rows name them."""
        return self._table.runs[1:]

    @property
    def fingerprint(self) -> dict[str, object]:
        """Distinguishes the rows from those of another run, in whatever order they were read."""
        return {"run": self._name, "rows": self._rows, "digest": f"{self._sum:0{2 * SUM_BYTES}x}"}

    def add(self, rows: list[StoredRow], body: BodyOf) -> None:
        """Add rows of the run.

        Args:
            rows: The rows.
            body: Finds the body of a row that does not contain it.
        """
        digests = [digest_of(row, body) for row in rows]
        micros = [_micros(row) for row in rows]
        for row, digest, fetched in zip(rows, digests, micros, strict=True):
            # A list in Python's notation.
            text = (
                f"[{row['index']}, {row['method']!r}, {row['url']!r}, {row['status']}, {row['error']!r},"
                f" {fetched}, {digest!r}, {row.get('body_run')!r}, {row.get('body_index')}]"
            )
            value = blake2b(text.encode("utf-8", "replace"), digest_size=SUM_BYTES).digest()
            self._sum += int.from_bytes(value)
        self._sum %= 1 << 8 * SUM_BYTES
        self._rows += len(rows)
        self._table.add(*_whole(rows, micros, digests))

    def follow(self, name: str, rows: list[StoredRow], body: BodyOf) -> None:
        """Read from the rows of another run what this run's rows refer to.

        Args:
            name: One of `referred`.
            rows: Its rows.
            body: As in `add`.
        """
        digests = [digest_of(row, body) for row in rows]
        self._table.follow(name, *_whole(rows, [_micros(row) for row in rows], digests))

    def call(self, name: str, shown: str) -> None:
        """Set the name under which another run can be found from here."""
        self._shown[name] = shown

    def dangling(self) -> str | None:
        """Return another run that lacks a row that is referred to; None: there is none."""
        name = self._table.dangling()
        return None if name is None else self._shown.get(name, name)

    def find(self, method: str, url: str) -> Known | None:
        """Return what the run has for a request's method and URL."""
        found = self._table.find(method, url)
        if found is None:
            return None
        status, digest, etag, modified, moved, run, at, several = found
        if run >= len(self._runs):
            self._runs = [self._shown.get(name, name) for name in self._table.runs]
        return Known(status, digest, etag, modified, moved, self._runs[run], at, several)


def _whole(
    rows: list[StoredRow], micros: list[int], digests: list[bytes | None]
) -> tuple[list[StoredRow], list[int], list[bytes | None]]:
    """Return the rows that are answers to compare with, with when they were fetched and their digests."""
    places = [place for place, row in enumerate(rows) if is_whole(row)]
    if len(places) == len(rows):
        return rows, micros, digests
    return [rows[at] for at in places], [micros[at] for at in places], [digests[at] for at in places]


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
    if row.get("body_encoding") is not None:
        # It would have been decoded if it could be.
        return None
    found = row.get("body")
    if not isinstance(found, bytes):
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


def _values_of(row: Mapping[str, Any], wanted: str) -> list[str]:
    return [field["value"] for field in row["headers"] or () if field["name"].lower() == wanted]


def _micros(row: Mapping[str, Any]) -> int:
    """Return when a row was fetched, in microseconds since 1970."""
    fetched_at = row["fetched_at"]
    if not isinstance(fetched_at, datetime):
        return 0
    return int(fetched_at.timestamp()) * 1_000_000 + fetched_at.microsecond
