"""Rows whose bodies are files of their own, whatever the format of the rows."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.base import Format
from hurtle.formats.bodies import Bodies
from hurtle.formats.table import APART_COLUMNS, records
from hurtle.formats.writer import Writer
from hurtle.rows import Rows, WrappedRows
from hurtle.stops import stops_held

(BODY_PATH,) = APART_COLUMNS


class RowsApart(WrappedRows):
    """Rows without their bodies, and with the column that names the files of these.

    Args:
        rows: The rows as they came.
        paths: The file of each row's body; None where there is no body.
        body_bytes: The size of all bodies.
    """

    def __init__(self, rows: Rows, paths: Sequence[str | None], body_bytes: int) -> None:
        super().__init__(rows)
        self._paths = paths
        self._body_bytes = body_bytes

    @property
    def nbytes(self) -> int:
        """Memory of their columns, about, in bytes."""
        return max(0, super().nbytes - self._body_bytes)

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines; every body is null."""
        del bodies
        lines = self._rows.to_jsonl(bodies=False).split(b"\n")[:-1]
        return b"".join(map(_line, lines, self._paths))

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the rows as columns."""
        import pyarrow

        batch = pyarrow.record_batch(self._rows)
        at = batch.schema.get_field_index("body")
        body = batch.schema.field(at)
        batch = batch.set_column(at, body, pyarrow.nulls(len(batch), body.type))
        # A copy: the columns that came keep the bodies beside them in memory for as long as there is one.
        batch = batch.take(pyarrow.array(range(len(batch))))
        whole = batch.append_column(BODY_PATH, pyarrow.array(self._paths, pyarrow.string()))
        capsules: tuple[object, object] = whole.__arrow_c_array__(requested_schema)
        return capsules


class ApartWriter(Writer):
    """Puts bodies in files, and gives the rows that name them to the writer of a format.

    The bodies are in their places before the part is.

    Args:
        writer: Writes the part; not open yet.
        bodies: Those of the part; not open yet.
    """

    def __init__(self, writer: Writer, bodies: Bodies) -> None:
        self._writer = writer
        self._bodies = bodies
        self._open = False
        self._whole = True

    def open(self) -> None:
        """Open the part and make the folders."""
        try:
            self._bodies.open()
        except OSError as error:
            raise ConfigError(
                f"{self._bodies.folder} cannot be written: {error.strerror or error}", option="out"
            ) from error
        try:
            self._writer.open()
        except BaseException:
            self._bodies.drop()
            raise
        self._open = True

    def write(self, rows: Rows) -> None:
        """Write the bodies, then the rows."""
        with stops_held():
            self._whole = False
            try:
                apart = self._apart(rows)
            except OSError as error:
                raise self._failure(error) from error
            self._writer.write(apart)
            self._whole = True

    def _apart(self, rows: Rows) -> RowsApart:
        paths: list[str | None] = []
        body_bytes = 0
        for body, content_type in _bodies_of(rows):
            body_bytes += len(body or b"")
            paths.append(None if body is None else self._put(body, content_type))
        return RowsApart(rows, paths, body_bytes)

    def _put(self, body: bytes, content_type: str | None) -> str:
        return f"{self._bodies.folder.name}/{self._bodies.put(body, content_type)}"

    def flush(self) -> None:
        """Flush the part."""
        self._writer.flush()

    def close(self) -> None:
        """Put the bodies in their places, then the part."""
        with stops_held():
            if not self._open:
                return
            try:
                if not self._whole:
                    raise SinkError(f"{self._bodies.folder}: a write before was interrupted or failed")
                self._bodies.publish()
                self._writer.close()
            except OSError as error:
                self.abort()
                raise self._failure(error) from error
            except BaseException:
                self.abort()
                raise
            self._open = False

    def abort(self) -> None:
        """Drop the part, and the bodies that it names first."""
        with stops_held():
            if self._open:
                self._open = False
                self._writer.abort()
                self._bodies.drop()

    def _failure(self, error: OSError) -> SinkError:
        return SinkError(f"{self._bodies.folder} could not be written: {error.strerror or error}")


def _bodies_of(rows: Rows) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield the body of each row, None where the row has none, and its content type."""
    for record, response in zip(records(rows, bodies=False), rows, strict=True):
        # Without a response there is no body; one that has not changed is in an earlier run.
        has_body = record["status"] is not None and record.get("body_run") is None
        yield response.content if has_body else None, record["content_type"]


def _line(line: bytes, path: str | None) -> bytes:
    """Return a line with the path of its body behind its other keys."""
    return line[:-1] + b',"%s":%s}\n' % (BODY_PATH.encode(), json.dumps(path).encode())


class Apart(Format):
    """Another format, with the bodies as files in a folder beside the parts.

    Args:
        inner: What the rows are written as.
        name: What it is called.
    """

    beside = "bodies"
    holds_bodies = False

    def __init__(self, inner: Format, name: str) -> None:
        super().__init__(name, inner.extensions)
        self._inner = inner
        self.marks, self.stored = inner.marks, inner.stored

    def require(self) -> None:
        """Look for what the rows need."""
        self._inner.require()

    def writer(self, path: str) -> Writer:
        """Return a writer of bodies and rows."""
        part = Path(path)
        return ApartWriter(self._inner.writer(path), Bodies(part.parent / self.beside, part.name))

    def count(self, path: Path) -> int:
        """Count the rows."""
        return self._inner.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join the rows: they name their bodies as before."""
        self._inner.join(parts, out)
