"""Files whose rows are text: they become Arrow's columns once they are parsed."""

from collections.abc import Iterator
from typing import Any

from hurtle.runs.columns import batch_of
from hurtle.runs.stored import Stored, arrow


class StoredText(Stored):
    """A file of lines."""

    def batches(self) -> Iterator[Any]:
        """Yield the rows as columns."""
        arrow(f"{self.path}: reading it as Arrow")
        schema = self.schema()
        for chunk in self.rows():
            with self._reading():
                batch = batch_of(chunk, schema)
            yield batch
