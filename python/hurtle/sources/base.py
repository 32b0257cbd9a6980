"""What every source offers, and the sources that need no format: a caller's own iterables."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import fields
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from hurtle.errors import InvalidRequest
from hurtle.models import BadRow, Request, Row

BLOCK = 1 << 20
TEXT_SHOWN = 200
"""Characters of a bad row that its result shows."""


class ArrowStream(Protocol):
    """Any table that speaks the Arrow C stream interface: pyarrow, polars, pandas, duckdb."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule of the stream."""


Requests: TypeAlias = str | PathLike[str] | Iterable[str | Mapping[str, Any] | Request] | ArrowStream
"""What the verbs take: an iterable of URLs, dicts or requests; the path of a list ("-": stdin); a table."""

AsyncRequests: TypeAlias = Requests | AsyncIterable[str | Mapping[str, Any] | Request]
"""What the asyncio verbs take: the same, or an async iterable."""


class Source(ABC):
    """Rows to send, read lazily. Iterate once; the thread that iterates also closes.

    Attributes:
        steady: Whether the next row is always at hand; False if iterating may block.
        skipped: Blank lines and comments passed over so far.
        path: The file that is read; None if it is not a file.
        format: The format that the file is read as.
        columns: The columns of a table, none for a list of bare URLs; None if each row may have other keys.
    """

    steady: bool = True
    skipped: int = 0
    path: str | None = None
    format: str | None = None
    columns: Sequence[str] | None = None

    @property
    def total(self) -> int | None:
        """How many rows there are; None if only reading them would tell."""
        return None

    def fingerprint(self) -> dict[str, object] | None:
        """Return size, hash and format of the input, by which a later run recognizes it.

        None: it can be read only once.

        Raises:
            OSError: The file cannot be read.
        """
        if self.path is None or not Path(self.path).is_file():
            return None
        digest = sha256()
        with Path(self.path).open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        size = Path(self.path).stat().st_size
        return {"bytes": size, "sha256": digest.hexdigest(), "format": self.format}

    @abstractmethod
    def __iter__(self) -> Iterator[Row]:
        """Yield rows; a BadRow for one that is not a request."""

    def close(self) -> None:
        """Close what is open. Idempotent."""
        return


class WrappedSource(Source):
    """The rows of another source, which a subclass changes or looks at on their way.

    Args:
        source: The other source. It is closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.steady = source.steady
        self.path = source.path
        self.columns = source.columns

    @property
    def total(self) -> int | None:
        """How many rows the source has."""
        return self._source.total

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """Lines that the source skipped."""
        return self._source.skipped

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def as_row(item: object) -> Row:
    """Turn an item of a caller's iterable into a row; what is not a request becomes a BadRow."""
    if isinstance(item, (str, Request, BadRow)):
        return item
    if isinstance(item, Mapping):
        return request_row(item)
    return BadRow(
        "input.row", f"expected a URL, a dict or a Request, not {type(item).__name__}", text=shown(item)
    )


def request_row(values: Mapping[str, Any], line: int | None = None) -> Request | BadRow:
    """Turn a dict into a request, or into a BadRow that says what is wrong with it."""
    try:
        return Request.from_mapping(values)
    except InvalidRequest as error:
        url = values.get("url")
        return BadRow(error.code, error.detail, line, shown(url if isinstance(url, str) else values))


def shown(value: object) -> str:
    """Return the start of a row's text."""
    text = (value if isinstance(value, str) else repr(value))[:TEXT_SHOWN]
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_AT_HAND: tuple[type, ...] = (list, tuple, set, frozenset, range, deque, type({}.keys()), type({}.values()))
"""Collections whose next item is always at hand. A length does not say so: a progress bar around a generator
has one, and so has a data set that reads its items from a disk."""


class IterableSource(Source):
    """A caller's iterable. The collections of `_AT_HAND` are steady; anything else may block."""

    def __init__(self, items: Iterable[object]) -> None:
        self._items = items
        self.steady = isinstance(items, _AT_HAND)

    @property
    def total(self) -> int | None:
        """The iterable's length; None if it has none, or cannot tell it."""
        try:
            return len(self._items) if isinstance(self._items, Sized) else None
        except TypeError:  # such as a progress bar around a generator
            return None

    def fingerprint(self) -> dict[str, object] | None:
        """Return length and hash of a sequence; None for anything else."""
        if not isinstance(self._items, Sequence):
            return None
        digest = sha256()
        for row in self:
            digest.update(_written(row).encode("utf-8", "surrogatepass"))
            digest.update(b"\n")
        return {"rows": len(self._items), "sha256": digest.hexdigest()}

    def __iter__(self) -> Iterator[Row]:
        """Yield each item as a row."""
        return (item if type(item) is str else as_row(item) for item in self._items)


_LATER = frozenset({"decode_content"})
"""Keys of a request that the first version lacked."""


def _written(row: Row) -> str:
    """Return a row as the fingerprint has it: as in the first version, whose runs can then be resumed.

    Its `repr` does not say enough: it leaves out what may be secret.
    """
    if not isinstance(row, Request):
        return repr(row)
    values = ((field, getattr(row, field.name)) for field in fields(row))
    shown = [
        f"{field.name}={value!r}"
        for field, value in values
        if field.name not in _LATER or value != field.default
    ]
    return f"Request({', '.join(shown)})"


class AsyncSource:
    """A caller's async iterable."""

    steady = False
    skipped = 0
    path: str | None = None
    total: int | None = None

    def __init__(self, items: AsyncIterable[object]) -> None:
        self._items = items

    async def __aiter__(self) -> AsyncIterator[Row]:
        """Yield each item as a row."""
        async for item in self._items:
            yield as_row(item)
