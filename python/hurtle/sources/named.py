"""A source whose rows get the names of their files as they are read."""

from collections.abc import AsyncIterator, Iterator, Sequence

from hurtle.errors import ConfigError
from hurtle.file_names import FileNames, NameFrom
from hurtle.models import REQUEST_KEYS, Request, Row
from hurtle.sources.base import AsyncSource, Source, WrappedSource


class NamedSource(WrappedSource):
    """Passes rows on, and tells their names in the order of the input.

    Args:
        source: The rows.
        names: Takes the names.
        name_from: As for `FileNames`; the same run has to have the same.
        column: As for `FileNames`.

    Raises:
        ConfigError: No row has this column.
    """

    def __init__(self, source: Source, names: FileNames, name_from: NameFrom, column: str | None) -> None:
        super().__init__(source)
        if column is not None and source.columns is not None:
            _check_column(column, source.columns)
        self._names = names
        self._rule = [name_from, column]

    def fingerprint(self) -> dict[str, object] | None:
        """Return the fingerprint of the source, with the rule for names added to it."""
        of_source = self._source.fingerprint()
        return None if of_source is None else of_source | {"names": self._rule}

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for index, row in enumerate(self._source):
            _see(self._names, index, row)
            yield row


class NamedAsyncSource(AsyncSource):
    """The same for an async iterable.

    Args:
        source: The rows.
        names: Takes the names.
    """

    def __init__(self, source: AsyncSource, names: FileNames) -> None:
        self._source = source
        self._names = names

    async def __aiter__(self) -> AsyncIterator[Row]:
        """Yield the rows."""
        index = 0
        async for row in self._source:
            _see(self._names, index, row)
            index += 1
            yield row


def _see(names: FileNames, index: int, row: Row) -> None:
    if isinstance(row, str):
        names.see(index, row, None)
    elif isinstance(row, Request):
        names.see(index, row.url, row.meta)


def _check_column(column: str, columns: Sequence[str]) -> None:
    """Refuse a column that can name no file. A column `meta` may hold any key."""
    carried = [name for name in columns if name not in REQUEST_KEYS]
    if column in carried or "meta" in columns:
        return
    if column in columns:
        why = f"this column sets the {column} of the request: copy it under another name"
    else:
        why = f"the list has no such column; others than those of a request: {', '.join(carried) or 'none'}"
    raise ConfigError(f"name_column={column!r}: {why}", option="name_column")
