"""What a file holds, by its first bytes."""

from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.formats import FORMATS
from hurtle.formats.registry import marked_format
from hurtle.outputs.databases import DATABASES, marked_database
from hurtle.outputs.names import format_names, named_format

HEAD_BYTES = 4096


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
    if (found := marked_format(head) or marked_database(head)) is not None:
        return found
    raise unreadable(f"{shown} is no output of hurtle's")


def unreadable(words: str) -> ConfigError:
    """Make the error for what cannot be read back."""
    return ConfigError(f"{words}; what can be read back is {', '.join(format_names())}", option="out")


def _named(path: Path, shown: str) -> str:
    """Return what an empty file is: lines of no requests, or a database before its first table."""
    found = named_format(path.name)
    if found is not None and (found in DATABASES or FORMATS[found].is_empty_without_rows):
        return found
    empty = " or ".join(one.extension for one in FORMATS.values() if one.is_empty_without_rows)
    raise ConfigError(
        f"{shown} is empty: the only file that a run leaves so is {empty}, of no requests", option="out"
    )
