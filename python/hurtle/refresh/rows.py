"""Rows of a refresh: the result table with what has changed, without the bodies that have not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hurtle.formats.table import REFRESH_COLUMNS, with_refresh
from hurtle.refresh.change import Verdict
from hurtle.rows import Rows, WrappedRows

_BODY, _BODY_BASE64, _BEHIND = b',"body":', b',"body_base64":', b',"truncated":'


class RefreshedRows(WrappedRows):
    """Rows with the columns of a refresh.

    Args:
        rows: The rows as they arrived.
        verdicts: The verdict on each of them, in the same order.
    """

    def __init__(self, rows: Rows, verdicts: Sequence[Verdict]) -> None:
        super().__init__(rows)
        self._verdicts = verdicts

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines; without `bodies` every body is null."""
        lines = self._rows.to_jsonl(bodies=bodies).split(b"\n")[:-1]
        return b"".join(map(_line, lines, self._verdicts))

    def added(self) -> Mapping[str, Sequence[object]]:
        """Return the columns behind those of the result table: a value for each row."""
        fields = [verdict.fields for verdict in self._verdicts]
        return {**self._rows.added(), **{name: [one[name] for one in fields] for name in REFRESH_COLUMNS}}

    def without_body(self) -> Sequence[bool]:
        """Return which bodies are in an earlier run."""
        return [verdict.body is not None for verdict in self._verdicts]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the rows as columns."""
        import pyarrow

        batch = pyarrow.record_batch(self._rows)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        columns["body"] = _without(batch["body"], self.without_body())
        schema, added = with_refresh(batch.schema), self.added()
        for name in REFRESH_COLUMNS:
            columns[name] = pyarrow.array(added[name], schema.field(name).type)
        whole = pyarrow.RecordBatch.from_arrays(list(columns.values()), schema=schema)
        capsules: tuple[object, object] = whole.__arrow_c_array__(requested_schema)
        return capsules


def _without(bodies: Any, left_out: Sequence[bool]) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a column of bodies with some of them null."""
    if not any(left_out):
        return bodies
    import pyarrow
    from pyarrow import compute

    return compute.if_else(pyarrow.array(left_out), pyarrow.scalar(None, bodies.type), bodies)


def _line(line: bytes, verdict: Verdict) -> bytes:
    if verdict.body is not None:
        line = _without_body(line)
    added = json.dumps(verdict.fields, separators=(",", ":")).encode()
    return line[:-1] + b"," + added[1:] + b"\n"


def _without_body(line: bytes) -> bytes:
    """Return a line with a body of null.

    The body is the second last value, and no text can contain such a key: its quotes would have backslashes.
    """
    begin = max(line.rfind(_BODY), line.rfind(_BODY_BASE64))
    return line[:begin] + _BODY + b"null" + line[line.rfind(_BEHIND) :]
