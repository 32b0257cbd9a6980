"""The formats of files, by name."""

from hurtle.formats.apart import Apart
from hurtle.formats.base import Format
from hurtle.formats.compressed import JsonlGzip, JsonlZstd
from hurtle.formats.csv_file import Csv
from hurtle.formats.jsonl import Jsonl
from hurtle.formats.parquet import Parquet
from hurtle.formats.warc import Warc

_JSONL = Jsonl()
_INLINE = (_JSONL, JsonlGzip(), JsonlZstd(), Csv(), Parquet())

FILES = "files"
"""What JSON lines with bodies apart are called: it was a format before others had them."""

APART: dict[str, Format] = {
    "jsonl": Apart(_JSONL, FILES),
    **{one.name: Apart(one, f"{one.name}+bodies") for one in _INLINE if one is not _JSONL},
}
"""By the name of what the rows are written as: the same with bodies apart."""

FORMATS: dict[str, Format] = {one.name: one for one in (*_INLINE, *APART.values(), Warc())}
"""By the name that a run records."""
