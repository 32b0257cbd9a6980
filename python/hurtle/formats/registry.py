"""The formats of files, in one list: by name, by extension, by first bytes."""

from hurtle.formats.apart import Apart
from hurtle.formats.base import Format
from hurtle.formats.compressed import JsonlGzip, JsonlZstd
from hurtle.formats.csv_file import Csv
from hurtle.formats.jsonl import Jsonl
from hurtle.formats.parquet import Parquet
from hurtle.formats.warc import Warc

_FORMATS: tuple[Format, ...] = (Jsonl(), JsonlGzip(), JsonlZstd(), Csv(), Parquet(), Warc())
"""All of them. A new one is a line here, and a file beside this one."""

FILES = "files"
"""What JSON lines with bodies apart are called: it was a format before others had them."""

APART: dict[str, Format] = {
    one.name: Apart(one, FILES if one.name == Jsonl.name else f"{one.name}+bodies")
    for one in _FORMATS
    if not one.records_exchanges
}
"""By the name of what the rows are written as: the same with bodies apart."""

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        *(one for one in _FORMATS if one.name in APART),
        *APART.values(),
        *(one for one in _FORMATS if one.name not in APART),
    )
}
"""By the name that a run records."""

EXTENSIONS: dict[str, str] = {extension: one.name for one in _FORMATS for extension in one.extensions}
"""The format that the end of a file's name says."""


def marked_format(head: bytes) -> str | None:
    """Return the format of a file by its first bytes; None: it is none of these.

    Example:
        >>> marked_format(b'{"index":0,'), marked_format(b"%PDF-1.7")
        ('jsonl', None)
    """
    return next((one.name for one in _FORMATS if one.is_marked(head)), None)
