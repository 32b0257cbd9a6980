"""A row as JSON has it, and as the result table has it: there and back."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hurtle.sinks.table import COLUMNS, body_of

StoredRow: TypeAlias = dict[str, Any]
"""A row of the result table: values by column, with the types that Arrow gives to Python."""

_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal or turns its text around (Unicode Standard Annex 9), and halves of a pair."""


def row_of(record: Mapping[str, Any]) -> StoredRow:
    """Return what a line of JSON holds as the result table has it; a key that is not there is null."""
    row = {name: record.get(name) for name in COLUMNS}
    row |= {name: value for name, value in record.items() if name not in row and name != "body_base64"}
    row["meta"] = None if row["meta"] is None else _json_text(row["meta"])
    row["body"] = body_of({"body": None} | dict(record))
    if row["fetched_at"] is not None:
        row["fetched_at"] = datetime.fromisoformat(row["fetched_at"])
    return row


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as a line of JSON, line end included; nothing in it can steer a terminal."""
    fields = (f"{_json_text(name)}:{_value(name, value)}" for name, value in _as_json(row))
    text = "{" + ",".join(fields) + "}\n"
    if not text.isascii() or "\x7f" in text:
        text = _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode()


def instant_text(instant: datetime) -> str:
    """Return a point in time as ISO 8601 in UTC, to the microsecond."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _as_json(row: Mapping[str, Any]) -> "list[tuple[str, Any]]":
    """Return the fields by their names in JSON, where a body that is no text has another one."""
    fields = []
    for name, value in row.items():
        if isinstance(value, bytes):
            try:
                fields.append((name, value.decode()))
            except UnicodeDecodeError:
                fields.append((f"{name}_base64", b64encode(value).decode("ascii")))
        else:
            fields.append((name, instant_text(value) if isinstance(value, datetime) else value))
    return fields


def _value(name: str, value: object) -> str:
    """Return a value as JSON; `meta` is JSON already, in one line."""
    if name == "meta" and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return _json_text(value)
    return _json_text(value)


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
