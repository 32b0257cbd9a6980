"""A source whose rows get the names of their files as they are read."""

from collections.abc import Iterator

from hurtle.file_names import FileNames, NameFrom
from hurtle.models import Request, Row
from hurtle.sources.base import Source


class NamedSource(Source):
    """Passes rows on, and tells their names in the order of the input.

    Args:
        source: The rows.
        names: Takes the names.
        name_from: As for `FileNames`; the same run has to have the same.
        column: As for `FileNames`.
    """

    def __init__(self, source: Source, names: FileNames, name_from: NameFrom, column: str | None) -> None:
        self._source = source
        self._names = names
        self._rule = [name_from, column]
        self.steady = source.steady
        self.path = source.path

    def fingerprint(self) -> dict[str, object] | None:
        """Return the fingerprint of the source, with the rule for names added to it."""
        of_source = self._source.fingerprint()
        return None if of_source is None else of_source | {"names": self._rule}

    @property
    def total(self) -> int | None:
        """How many rows the source has."""
        return self._source.total

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """Lines that the source skipped."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for index, row in enumerate(self._source):
            if isinstance(row, str):
                self._names.see(index, row, None)
            elif isinstance(row, Request):
                self._names.see(index, row.url, row.meta)
            yield row

    def close(self) -> None:
        """Close the source."""
        self._source.close()
