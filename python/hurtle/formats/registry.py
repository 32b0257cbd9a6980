"""The formats of files, in one list: by name, by extension, by first bytes.

The module of a format is imported when the format is first looked up: a run imports the one that it uses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from hurtle.formats.base import Format
from hurtle.formats.table import APART


@dataclass(frozen=True, slots=True)
class Line:
    """What is known about a format before its module is imported.

    Attributes:
        name: Its name, for callers and in the record of a run.
        home: Its module and class, separated by a colon; empty if `apart_of` is set.
        extensions: The extensions of its files, dots included. Parts get the first one.
        apart_of: The format that this one is, with bodies apart.
    """

    name: str
    home: str = ""
    extensions: tuple[str, ...] = ()
    apart_of: str | None = None


FILES = "files"
"""The name of JSON lines with bodies in separate files, which was a format before others could have them."""

LINES: tuple[Line, ...] = (
    Line("jsonl", "hurtle.formats.jsonl:Jsonl", (".jsonl", ".ndjson")),
    Line("jsonl.gz", "hurtle.formats.compressed:JsonlGzip", (".jsonl.gz", ".ndjson.gz")),
    Line("jsonl.zst", "hurtle.formats.compressed:JsonlZstd", (".jsonl.zst", ".ndjson.zst")),
    Line("csv", "hurtle.formats.csv_file:Csv", (".csv",)),
    Line("parquet", "hurtle.formats.parquet:Parquet", (".parquet", ".pq")),
    Line(FILES, apart_of="jsonl"),
    Line("warc", "hurtle.formats.warc:Warc", (".warc.gz",)),
)
"""All formats. A new one is a line here and a file in this folder."""


class _Formats(Mapping[str, Format]):
    """Every format, by the name that a run records. Iterating imports all of them."""

    def __getitem__(self, name: str) -> Format:
        if (line := _line(name)) is not None:
            return _loaded(line)
        inner = _line(name.removesuffix(APART))
        apart = None if inner is None else bodies_apart(inner.name)
        if apart is None or apart.name != name:
            raise KeyError(name)
        return apart

    def __iter__(self) -> Iterator[str]:
        names = [line.name for line in LINES]
        apart = [one.name for name in names if (one := bodies_apart(name)) is not None]
        return iter(dict.fromkeys([*names, *apart]))

    def __len__(self) -> int:
        return len(list(iter(self)))


FORMATS: Mapping[str, Format] = _Formats()
"""By the name that a run records."""


def format_names() -> tuple[str, ...]:
    """Return the formats that a caller may name; the others are these with `bodies="apart"`."""
    return tuple(line.name for line in LINES)


def extensions() -> dict[str, str]:
    """Return the format that each extension stands for."""
    return {extension: line.name for line in LINES for extension in line.extensions}


def marked_format(head: bytes) -> str | None:
    """Return the format of a file by its first bytes; None if it is none of these.

    Example:
        >>> marked_format(b'{"index":0,'), marked_format(b"%PDF-1.7")
        ('jsonl', None)
    """
    return next((line.name for line in LINES if line.home and _loaded(line).is_marked(head)), None)


def bodies_apart(name: str) -> Format | None:
    """Return a format with its bodies apart; None if they are apart already, or cannot be.

    Raises:
        KeyError: No format has this name.

    Example:
        >>> [one and one.name for one in map(bodies_apart, ("jsonl", "csv", "files", "warc"))]
        ['files', 'csv+bodies', None, None]
    """
    inner = FORMATS[name]
    if inner.beside is not None or inner.records_exchanges:
        return None
    line = next((line for line in LINES if line.apart_of == name), None)
    return _apart(inner, name + APART if line is None else line.name)


def _line(name: str) -> Line | None:
    return next((line for line in LINES if line.name == name), None)


@cache
def _loaded(line: Line) -> Format:
    if line.apart_of is not None:
        return _apart(FORMATS[line.apart_of], line.name)
    module, _, name = line.home.partition(":")
    kind: type[Format] = getattr(import_module(module), name)
    return kind(line.name, line.extensions)


@cache
def _apart(inner: Format, name: str) -> Format:
    from hurtle.formats.bodies_apart import Apart

    return Apart(inner, name)
