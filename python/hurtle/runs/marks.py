"""What can be read back, by the format's name; and what a file holds, by its first bytes."""

import zlib
from contextlib import suppress
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.formats.compressed import GZIP, StoredJsonlGzip, StoredJsonlZstd
from hurtle.formats.csv_file import StoredCsv
from hurtle.formats.jsonl import StoredJsonl
from hurtle.formats.parquet import StoredParquet
from hurtle.formats.registry import APART
from hurtle.formats.stored import Stored
from hurtle.formats.warc import StoredWarc
from hurtle.outputs.databases import DATABASES
from hurtle.outputs.names import EXTENSIONS, FORMAT_NAMES

_STORED: dict[str, type[Stored]] = {
    "parquet": StoredParquet,
    "jsonl": StoredJsonl,
    "jsonl.gz": StoredJsonlGzip,
    "jsonl.zst": StoredJsonlZstd,
    "csv": StoredCsv,
    "warc": StoredWarc,
}

STORED = _STORED | {apart.name: _STORED[name] for name, apart in APART.items()}
"""What reads a file of each format."""

HEAD_BYTES = 4096

PARQUET_MARK = b"PAR1"
"""What a Parquet file begins with. Source: https://parquet.apache.org/docs/file-format/"""
GZIP_MARK = b"\x1f\x8b"
"""Source: RFC 1952, section 2.3.1."""
ZSTD_MARK = b"\x28\xb5\x2f\xfd"
"""Source: RFC 8878, section 3.1.1."""
WARC_MARK = b"WARC/"
"""What a record begins with. Source: ISO 28500:2017, section 4."""
SQLITE_MARK = b"SQLite format 3\0"
"""Source: https://www.sqlite.org/fileformat.html, section 1.3."""
DUCKDB_MARK, DUCKDB_MARK_AT = b"DUCK", 8
"""It stands behind a checksum. Source: https://duckdb.org/docs/stable/internals/storage"""


def format_of(path: Path, shown: str) -> str:
    """Return what a file holds, by its first bytes: its name may be any. Of an empty file the name counts.

    Raises:
        ConfigError: Nothing that can be read back.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}", option="out") from error
    if not head:
        return _named(path, shown)
    if (found := _marked(head)) is not None:
        return found
    raise unreadable(f"{shown} is no output of hurtle's")


def unreadable(words: str) -> ConfigError:
    """Make the error for what cannot be read back."""
    return ConfigError(f"{words}; what can be read back is {', '.join(FORMAT_NAMES)}", option="out")


def _marked(head: bytes) -> str | None:
    if head.startswith(PARQUET_MARK):
        return "parquet"
    if head.startswith(SQLITE_MARK):
        return "sqlite"
    if head[DUCKDB_MARK_AT:].startswith(DUCKDB_MARK):
        return "duckdb"
    if head.startswith(ZSTD_MARK):
        return "jsonl.zst"
    if head.startswith(GZIP_MARK):
        return _compressed(head)
    if head.startswith(b"{"):
        return "jsonl"
    return "csv" if head.startswith((b"index,", b'"index",')) else None


def _compressed(head: bytes) -> str | None:
    """Return what a gzip file holds, by what its first bytes become."""
    text = b""
    with suppress(zlib.error):
        text = zlib.decompressobj(GZIP).decompress(head, 16)
    if text.startswith(WARC_MARK):
        return "warc"
    return "jsonl.gz" if not text or text.startswith(b"{") else None


def _named(path: Path, shown: str) -> str:
    """Return the format of an empty file: JSON lines of no requests, or a database before its first table."""
    name = path.name.lower()
    found = next((known for extension, known in EXTENSIONS.items() if name.endswith(extension)), "")
    if found in DATABASES or found == "jsonl":
        return found
    raise ConfigError(
        f"{shown} is empty: the only file that a run leaves so is .jsonl, of no requests", option="out"
    )
