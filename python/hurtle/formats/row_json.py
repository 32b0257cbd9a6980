"""A row as JSON has it, and as the result table has it: there and back."""

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
"""What steers a terminal or turns its text around (Unicode Standard Annex 9), and halves of a pair."""

_HALVES = re.compile("[\ud800-\udfff]")


def row_of(record: Mapping[str, Any]) -> StoredRow:
    """Return what a line of JSON holds as the result table has it; a key that is not there is null."""
    row = {name: record.get(name) for name in COLUMNS}
    row |= {name: value for name, value in record.items() if name not in row and name != "body_base64"}
    row["meta"] = meta_text(row["meta"])
    row["body"] = body_of({"body": None} | dict(record))
    if row["fetched_at"] is not None:
        row["fetched_at"] = datetime.fromisoformat(row["fetched_at"])
    return row


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as a line of JSON, line end included; nothing in it can steer a terminal."""
    return harmless(_encode(_as_json(row))).encode() + b"\n"


def harmless(text: str) -> str:
    """Escape what could steer a terminal, in JSON: characters that stand in strings alone."""
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
    """Return `meta` as the result table has it: JSON as text; half of a surrogate pair stays escaped."""
    if value is None:
        return None
    text = _encode(value)
    return text if text.isascii() or not _HALVES.search(text) else json.dumps(value, separators=(",", ":"))


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by their names in JSON, where a body that is no text has another one."""
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
    """Return what JSON has no form for, of a column that is none of the result table's."""
    if isinstance(value, datetime):
        return instant_text(value)
    return b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def _parsed(meta: str) -> object:
    try:
        return json.loads(meta)
    except ValueError:
        return meta


# One encoder for all: to make one costs more than to encode a value.
_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_other
).encode
