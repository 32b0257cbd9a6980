"""A new format, added as any new one would be: `column=JSON` pairs separated by tabs, one row per line."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from hurtle.formats.base import EndToEnd, reading_back
from hurtle.formats.columns import table_schema
from hurtle.formats.line_writer import LinesWriter
from hurtle.formats.row_json import StoredRow, row_of
from hurtle.formats.stored import StoredText, in_chunks
from hurtle.formats.table import records
from hurtle.formats.writer import Writer
from hurtle.rows import Rows


class PairsWriter(LinesWriter):
    def _encoded(self, rows: Rows) -> bytes:
        lines = (
            "\t".join(f"{name}={json.dumps(value)}" for name, value in row.items()) for row in records(rows)
        )
        return "".join(f"{line}\n" for line in lines).encode()


class StoredPairs(StoredText):
    def count(self) -> int:
        return sum(1 for _ in self._rows())

    def rows(self, columns: Collection[str] | None = None) -> Iterator[list[StoredRow]]:
        wanted = ({name: row.get(name) for name in columns or row} for row in self._rows())
        return in_chunks((row, len(str(row))) for row in wanted)

    def schema(self) -> Any:
        return table_schema(list(next(self._rows(), ())) or None)

    def _rows(self) -> Iterator[StoredRow]:
        with self._reading(), self.path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                pairs = (pair.partition("=") for pair in line.split("\t"))
                yield row_of({name: json.loads(value) for name, _, value in pairs})


class Pairs(EndToEnd):
    marks = (b"index=",)
    stored = StoredPairs
    is_empty_without_rows = True

    def writer(self, path: str) -> Writer:
        return PairsWriter(path)

    def count(self, path: Path) -> int:
        with reading_back(path):
            return StoredPairs(path).count()
