"""What outputs are called: formats, extensions, and addresses as they may be shown."""

import re

from hurtle.formats.registry import APART, FILES, FORMATS
from hurtle.outputs.databases import DATABASES

RUN_SUFFIX = ".run"
"""The folder of a run that is to become one file has the file's name with this behind it."""


EXTENSIONS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".jsonl.zst": "jsonl.zst",
    ".ndjson.zst": "jsonl.zst",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".warc.gz": "warc",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
    ".duckdb": "duckdb",
}

_COMBINED = frozenset(one.name for one in APART.values()) - {FILES}

FORMAT_NAMES = (*(name for name in FORMATS if name not in _COMBINED), *DATABASES)
"""What a caller may say; bodies apart are said beside it."""


def without_password(run: str) -> str:
    """Return the name or address of an output as it may be shown and stored: who knows the password finds it.

    Example:
        >>> without_password("postgresql://me:secret@db.example/crawl?password=x&options=-csearch_path%3Da")
        'postgresql://me@db.example/crawl?options=-csearch_path%3Da'
    """
    if "://" not in run:
        return run
    without = re.sub(r"^([^:/?#]+://[^:/?#@]*):[^/?#]*@", r"\1@", run)
    address, mark, query = without.partition("?")
    kept = [part for part in query.split("&") if part.partition("=")[0] not in ("password", "sslpassword")]
    return address + (mark if any(kept) else "") + "&".join(kept)
