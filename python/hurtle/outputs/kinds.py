"""What a file is: a format of files or a database, by its name or by its first bytes."""

from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.formats import FORMATS, registry
from hurtle.outputs import databases
from hurtle.outputs.databases import DATABASES

HEAD_BYTES = 4096


def format_names() -> tuple[str, ...]:
    """Return the formats that a caller may name: those of files, and databases."""
    return (*registry.format_names(), *DATABASES)


def extensions() -> dict[str, str]:
    """Return the format of files or the database that each extension stands for."""
    return registry.extensions() | databases.EXTENSIONS


def named_format(name: str) -> str | None:
    """Return what the extension of a file stands for; None if it is not known.

    Example:
        >>> named_format("Rows.JSONL.gz"), named_format("rows.txt")
        ('jsonl.gz', None)
    """
    lower = name.lower()
    return next((known for extension, known in extensions().items() if lower.endswith(extension)), None)


def format_of(path: Path, shown: str) -> str:
    """Return what a file holds, by its first bytes; of an empty file the name decides.

    Raises:
        ConfigError: It cannot be read, or holds nothing that hurtle wrote.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}", option="out") from error
    if not head:
        return _format_of_empty(path, shown)
    # Databases first: one has a checksum before its mark, which may begin like a line of JSON.
    if (found := databases.marked_database(head) or registry.marked_format(head)) is not None:
        return found
    raise unreadable(f"{shown} is not an output of hurtle")


def unreadable(words: str) -> ConfigError:
    """Return the error for an output that cannot be read back."""
    return ConfigError(f"{words}; hurtle can read {', '.join(format_names())}", option="out")


def _format_of_empty(path: Path, shown: str) -> str:
    """Return what an empty file is: lines of no requests, or a database before its first table."""
    found = named_format(path.name)
    if found is not None and (found in DATABASES or FORMATS[found].is_empty_without_rows):
        return found
    empty = " or ".join(one.extension for one in FORMATS.values() if one.is_empty_without_rows)
    raise ConfigError(
        f"{shown} is empty: a run without requests leaves an empty file only if it is {empty}", option="out"
    )
