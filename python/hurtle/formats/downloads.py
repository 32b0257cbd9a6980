"""JSON lines that name downloaded files: the rows of a download."""

from collections.abc import Sequence
from pathlib import Path

from hurtle.file_names import FileNames
from hurtle.formats.base import Format
from hurtle.formats.bodies_apart import ApartWriter
from hurtle.formats.named_files import NamedFiles
from hurtle.formats.registry import FORMATS
from hurtle.formats.table import APART_COLUMNS
from hurtle.formats.writer import Writer


class Downloads(Format):
    """JSON lines in the folder of a run, with the files in the folder around it.

    Args:
        names: What rows are called.
    """

    hashes_bodies = False
    holds_bodies = False
    added = tuple(APART_COLUMNS)

    def __init__(self, names: FileNames) -> None:
        self._inner = FORMATS["jsonl"]
        self._names = names
        super().__init__(self._inner.name, self._inner.extensions)
        self.marks, self.stored = self._inner.marks, self._inner.stored

    def writer(self, path: str) -> Writer:
        """Return a writer of files and rows."""
        part = Path(path)
        files = NamedFiles(part.parent.parent, part.parent, part.name, self._names)
        return ApartWriter(self._inner.writer(path), files)

    def count(self, path: Path) -> int:
        """Count the rows."""
        return self._inner.count(path)

    def join(self, parts: Sequence[Path], out: str) -> None:
        """Join the rows."""
        self._inner.join(parts, out)
