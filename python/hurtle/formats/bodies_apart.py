"""Rows in any format, with their bodies in separate files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hurtle.errors import ConfigError, SinkError
from hurtle.formats.base import Format, Newest
from hurtle.formats.bodies import FOLDER, SUFFIX, Bodies
from hurtle.formats.table import APART_COLUMNS, records
from hurtle.formats.writer import Writer
from hurtle.rows import Rows, WrappedRows
from hurtle.stops import stops_held

if TYPE_CHECKING:
    from hurtle._engine import Response

(BODY_PATH,) = APART_COLUMNS


class RowsApart(WrappedRows):
    """Rows without their bodies, and with the column that names the file of each body.

    Args:
        rows: The rows as they arrived.
        paths: The file of each row's body; None if it has no body.
        body_bytes: The total size of the bodies that are in memory.
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

    def added(self) -> Mapping[str, Sequence[object]]:
        """Return the columns behind those of the result table: a value for each row."""
        return {**self._rows.added(), BODY_PATH: self._paths}

    def without_body(self) -> Sequence[bool]:
        """Return that no row has its body."""
        return [True] * len(self._paths)

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


class BodyStore(Protocol):
    """Where the bodies of one part go; see `Bodies`."""

    @property
    def folder(self) -> Path:
        """The folder of all bodies."""

    def open(self) -> None:
        """Create the folders."""

    def take(self, record: Mapping[str, Any], response: "Response") -> str | None:
        """Take the body of a row; return what the row calls it."""

    def publish(self) -> None:
        """Put the bodies in place."""

    def drop(self) -> None:
        """Remove what was put."""


def rows_apart(rows: Rows, bodies: BodyStore) -> RowsApart:
    """Write the bodies of rows to files.

    Args:
        rows: The rows as they arrived.
        bodies: The bodies of their part.

    Raises:
        OSError: A body could not be written.
    """
    paths: list[str | None] = []
    body_bytes = 0
    for record, response in zip(records(rows, bodies=False), rows, strict=True):
        paths.append(bodies.take(record, response))
        body_bytes += record["bytes_body"] if response.body_file is None else 0
    return RowsApart(rows, paths, body_bytes)


class ApartWriter(Writer):
    """Writes bodies to files, and passes the rows that name them to the writer of a format.

    The bodies are in place before the part is.

    Args:
        writer: Writes the part; not open yet.
        bodies: The bodies of the part; not open yet.
    """

    def __init__(self, writer: Writer, bodies: BodyStore) -> None:
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
                apart = rows_apart(rows, self._bodies)
            except OSError as error:
                raise self._failure(error) from error
            self._writer.write(apart)
            self._whole = True

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


def _line(line: bytes, path: str | None) -> bytes:
    """Return a line with the path of its body after its other keys."""
    return line[:-1] + b',"%s":%s}\n' % (BODY_PATH.encode(), json.dumps(path).encode())


class Apart(Format):
    """Another format, with the bodies as files in a folder next to the parts.

    Args:
        inner: The format of the rows.
        name: The name of the combination.
        refers_to: What rows call the folder of the bodies.
    """

    beside = FOLDER
    holds_bodies = False
    added = tuple(APART_COLUMNS)

    def __init__(self, inner: Format, name: str, refers_to: str = FOLDER) -> None:
        super().__init__(name, inner.extensions)
        self._inner = inner
        self._refers_to = refers_to
        self.marks, self.stored, self.has_footer = inner.marks, inner.stored, inner.has_footer

    def compressed(self, compression: str) -> Format:
        """Return this format with another compression of the rows; bodies are as they are."""
        return Apart(self._inner.compressed(compression), self.name, self._refers_to)

    def beside_file(self, name: str) -> Format:
        """Return this format with rows that refer to the folder where the bodies will be in the end."""
        return Apart(self._inner, self.name, name + SUFFIX)

    def require(self) -> None:
        """Check the format of the rows."""
        self._inner.require()

    def writer(self, path: str) -> Writer:
        """Return a writer of bodies and rows."""
        part = Path(path)
        bodies = Bodies(part.parent / self.beside, part.name, self._refers_to)
        return ApartWriter(self._inner.writer(path), bodies)

    def write_newest(self, newest: Newest, out: str) -> None:
        """Write the rows as the inner format does; they still name their bodies."""
        self._inner.write_newest(newest, out)

    def count(self, path: Path) -> int:
        """Count the rows."""
        return self._inner.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join the rows; they still name their bodies."""
        self._inner.join(parts, out)
