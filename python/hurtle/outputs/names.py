"""What outputs are called: formats, extensions, and addresses as they may be shown."""

import re

from hurtle.formats import registry
from hurtle.outputs import databases

RUN_SUFFIX = ".run"
"""The folder of a run that is to become one file has the file's name with this behind it."""


def format_names() -> tuple[str, ...]:
    """Return what a caller may say: formats of files, and databases."""
    return (*registry.format_names(), *databases.DATABASES)


def extensions() -> dict[str, str]:
    """Return what the end of a file's name says: a format of files, or a database."""
    return registry.extensions() | databases.EXTENSIONS


def named_format(path: str) -> str | None:
    """Return what the end of a file's name says; None: nothing.

    Example:
        >>> named_format("Rows.JSONL.gz"), named_format("rows.txt")
        ('jsonl.gz', None)
    """
    name = path.lower()
    return next((known for extension, known in extensions().items() if name.endswith(extension)), None)


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
