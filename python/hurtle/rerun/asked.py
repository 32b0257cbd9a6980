"""The rows that a rerun requests again, in the order of the input, in a table on disk."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

CACHE_KIB = 2 << 10
"""The table's cache in memory; the rest is in a temporary file that disappears with the process."""

_FIELDS = ("id", "meta", "method", "url", "error", "error_detail")


class AskedRows:
    """Rows without their bodies, by position. One thread fills it, and then one other reads it.

    Args:
        rows: The rows, in any order; of several with one position the last counts.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        # An empty name gives a temporary file without a name: it disappears however the process ends.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in (f"cache_size=-{CACHE_KIB}", "journal_mode=OFF", "synchronous=OFF"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE asked (at INTEGER PRIMARY KEY, row)")
        self._database.execute("BEGIN")
        values = ((row["index"], _stored(row)) for row in rows)
        self._database.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?)", values)
        self._database.execute("COMMIT")

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each position and its row, in order."""
        for at, row in self._database.execute("SELECT at, row FROM asked ORDER BY at"):
            yield (
                at,
                _plain(at, row) if isinstance(row, str) else dict(zip(_FIELDS, json.loads(row), strict=True)),
            )

    def close(self) -> None:
        """Release the table. Idempotent."""
        self._database.close()


def is_plain(row: Mapping[str, Any], at: int) -> bool:
    """Whether the request of a row is its URL and nothing else: a GET, without an id or meta of its own."""
    return (
        row["meta"] is None
        and row["method"] == "GET"
        and row["id"] == str(at)
        and not str(row["error"]).startswith("input.")
    )


def _plain(at: int, url: str) -> dict[str, Any]:
    return {"id": str(at), "meta": None, "method": "GET", "url": url, "error": None, "error_detail": None}


def _stored(row: Mapping[str, Any]) -> str | bytes:
    """Return the URL, if nothing else counts; otherwise JSON, which can hold any text that a row can."""
    if is_plain(row, row["index"]) and row["url"].isascii():
        url: str = row["url"]
        return url
    return json.dumps([row[name] for name in _FIELDS]).encode()
