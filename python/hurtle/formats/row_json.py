"""Converts rows between JSON and the result table."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hurtle.formats.table import COLUMNS, body_of

StoredRow: TypeAlias = dict[str, Any]
"""A row of the result table: values by column, with the types that Arrow gives to Python."""

_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or reverse its text (Unicode Standard Annex 9), and lone surrogates."""

_HALVES = re.compile("[\ud800-\udfff]")


def row_of(record: Mapping[str, Any]) -> StoredRow:
    """Return a parsed JSON line as a row of the result table; a missing key is null."""
    row = {name: record.get(name) for name in COLUMNS}
    row |= {name: value for name, value in record.items() if name not in row and name != "body_base64"}
    row["meta"] = meta_text(row["meta"])
    row["body"] = body_of({"body": None} | dict(record))
    if row["fetched_at"] is not None:
        row["fetched_at"] = datetime.fromisoformat(row["fetched_at"])
    return row


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as a line of JSON, line end included; nothing in it can control a terminal."""
    return harmless(_encode(_as_json(row))).encode() + b"\n"


def harmless(text: str) -> str:
    """Escape what could control a terminal, in JSON, where such characters occur only in strings."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def instant_text(instant: datetime) -> str:
    """Return a point in time as ISO 8601 in UTC, to the microsecond.

    Example:
        >>> instant_text(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2024-01-02T03:04:05.000000Z'
    """
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def meta_text(value: object) -> str | None:
    """Return `meta` as in the result table: JSON as text; a lone surrogate stays escaped."""
    if value is None:
        return None
    text = _encode(value)
    return text if text.isascii() or not _HALVES.search(text) else json.dumps(value, separators=(",", ":"))


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by their JSON names; a body that is not text has a different name."""
    fields = dict(row)
    if isinstance(instant := fields.get("fetched_at"), datetime):
        fields["fetched_at"] = instant_text(instant)
    if isinstance(meta := fields.get("meta"), str):
        fields["meta"] = _parsed(meta)
    if isinstance(body := fields.get("body"), bytes):
        try:
            fields["body"] = body.decode()
        except UnicodeDecodeError:
            fields["body"] = b64encode(body).decode("ascii")
            return {"body_base64" if name == "body" else name: value for name, value in fields.items()}
    return fields


def _other(value: object) -> str:
    """Return a value that JSON has no form for, from a column that the result table lacks."""
    if isinstance(value, datetime):
        return instant_text(value)
    return b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def _parsed(meta: str) -> object:
    try:
        return json.loads(meta)
    except ValueError:
        return meta


# One encoder for all: creating one costs more than encoding a value.
_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_other
).encode
