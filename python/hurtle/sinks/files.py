"""Bodies as files, and the rest of the result table as JSON lines that name them."""

import json
from pathlib import Path
from typing import IO

from hurtle.client import Rows
from hurtle.errors import ConfigError
from hurtle.sinks.bodies import Bodies
from hurtle.sinks.lines import LinesWriter
from hurtle.sinks.table import body_of, records


class FilesWriter(LinesWriter):
    """Writes bodies first, then the index that names them.

    In the index `body` is null, and `body_path` is the body's file, relative to the index's folder; null
    where there is no body.

    Args:
        path: The part of the index.
        beside: The name of the folder of bodies, beside it.
    """

    def __init__(self, path: str, beside: str) -> None:
        super().__init__(path)
        self._beside = beside
        self._bodies = Bodies(Path(path).parent / beside)

    def open(self) -> None:
        """Open the part and make the folders."""
        try:
            self._bodies.open()
        except OSError as error:
            raise ConfigError(str(self._output.failure(error)), option="out") from error
        super().open()

    def _encoded(self, rows: Rows) -> bytes:
        lines = []
        for record in records(rows):
            body = body_of(record)
            record.pop("body_base64", None)
            record["body"] = None
            record["body_path"] = None if body is None else self._put_body(body, record["content_type"])
            lines.append(json.dumps(record, separators=(",", ":")).encode())
        return b"".join(line + b"\n" for line in lines)

    def _put_body(self, body: bytes, content_type: str | None) -> str:
        return f"{self._beside}/{self._bodies.put(body, content_type)}"

    def _complete(self, file: IO[bytes]) -> None:
        self._bodies.publish()
        super()._complete(file)

    def close(self) -> None:
        """Put the bodies in their places, then the part."""
        try:
            super().close()
        finally:
            self._bodies.drop()

    def abort(self) -> None:
        """Drop the part, and the bodies that it names first."""
        super().abort()
        self._bodies.drop()
