"""Rows in any format, with their bodies in separate files."""

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
    """Rows without their bodies, and with the column that names the file of each body.

    Args:
        rows: The rows as they arrived.
        paths: The file of each row's body; None if it has no body.
        body_bytes: The total size of the bodies.
    """

    def __init__(self, rows: Rows, paths: Sequence[str | None], body_bytes: int) -> None:
        super().__init__(rows)
        self._paths = paths
        self._body_bytes = body_bytes

    @property
    def nbytes(self) -> int:
        """Approximate memory of the columns, in bytes."""
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
        # A copy: each of the original columns would keep the bodies in memory.
        batch = batch.take(pyarrow.array(range(len(batch))))
        whole = batch.append_column(BODY_PATH, pyarrow.array(self._paths, pyarrow.string()))
        capsules: tuple[object, object] = whole.__arrow_c_array__(requested_schema)
        return capsules


class ApartWriter(Writer):
    """Writes bodies to files, and passes the rows that name them to the writer of a format.

    The bodies are in place before the part is.

    Args:
        writer: Writes the part; not open yet.
        bodies: The bodies of the part; not open yet.
    """

    def __init__(self, writer: Writer, bodies: Bodies) -> None:
        self._writer = writer
        self._bodies = bodies
        self._open = False
        self._whole = True

    def open(self) -> None:
        """Open the part and create the folders."""
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
        """Put the bodies in place, then the part."""
        with stops_held():
            if not self._open:
                return
            try:
                if not self._whole:
                    raise SinkError(f"{self._bodies.folder}: an earlier write was interrupted or failed")
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
        """Drop the part, and the bodies that no earlier part names."""
        with stops_held():
            if self._open:
                self._open = False
                self._writer.abort()
                self._bodies.drop()

    def _failure(self, error: OSError) -> SinkError:
        return SinkError(f"{self._bodies.folder} could not be written: {error.strerror or error}")


def _bodies_of(rows: Rows) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield the body of each row, None if it has none, and its content type; None if it is still coded."""
    for record, response in zip(records(rows, bodies=False), rows, strict=True):
        # Without a response there is no body; an unchanged body is in an earlier run.
        has_body = record["status"] is not None and record.get("body_run") is None
        content_type = record["content_type"] if record["encoding_left"] is None else None
        yield response.content if has_body else None, content_type


def _line(line: bytes, path: str | None) -> bytes:
    """Return a line with the path of its body after its other keys."""
    return line[:-1] + b',"%s":%s}\n' % (BODY_PATH.encode(), json.dumps(path).encode())


class Apart(Format):
    """Another format, with the bodies as files in a folder next to the parts.

    Args:
        inner: The format of the rows.
        name: The name of the combination.
    """

    beside = "bodies"
    holds_bodies = False
    added = tuple(APART_COLUMNS)

    def __init__(self, inner: Format, name: str) -> None:
        super().__init__(name, inner.extensions)
        self._inner = inner
        self.marks, self.stored = inner.marks, inner.stored

    def require(self) -> None:
        """Check the format of the rows."""
        self._inner.require()

    def writer(self, path: str) -> Writer:
        """Return a writer of bodies and rows."""
        part = Path(path)
        return ApartWriter(self._inner.writer(path), Bodies(part.parent / self.beside, part.name))

    def count(self, path: Path) -> int:
        """Count the rows."""
        return self._inner.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join the rows; they still name their bodies."""
        self._inner.join(parts, out)
