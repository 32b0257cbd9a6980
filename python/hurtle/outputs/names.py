"""Where an output is, from the name or address that a caller gives, and how to show that name."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from hurtle.errors import ConfigError
from hurtle.outputs.databases import DATABASES, addressed
from hurtle.outputs.kinds import format_of, named_format

if TYPE_CHECKING:
    from hurtle.outputs.database import Database

RUN_SUFFIX = ".run"
"""The suffix of the folder for a run that becomes one file at its end: the file's name and this."""

STORES = ("s3", "gs", "az")
"""The schemes of object stores."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A folder of an object store.

    Attributes:
        address: As the caller wrote it.
    """

    address: str


@dataclass(frozen=True, slots=True)
class DatabaseAt:
    """A database.

    Attributes:
        kind: Which one, by name.
        make: Makes it; not open yet.
        shown: What to call it in messages.
        path: Its file; None if it has an address.
    """

    kind: str
    make: "Callable[[], Database]"
    shown: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this disk, which may not exist.

    Attributes:
        path: As the caller wrote it.
        shown: What to call it in messages.
    """

    path: Path
    shown: str


@dataclass(frozen=True, slots=True)
class File:
    """A file on this disk, which may not exist.

    Attributes:
        path: As the caller wrote it.
        shown: What to call it in messages.
        format: Its format or kind of database, by name; None if unknown.
    """

    path: Path
    shown: str
    format: str | None


@dataclass(frozen=True, slots=True)
class Stream:
    """Stdout, a pipe or a device.

    Attributes:
        name: As the caller wrote it; "-" is stdout.
    """

    name: str


Place: TypeAlias = Remote | DatabaseAt | Folder | File | Stream
"""Where an output is."""


def place_of(out: object, format: str | None = None) -> Place:  # noqa: A002 - the public name
    """Return where an output is to be written. A file's name says what it is, not its content.

    Args:
        out: As the caller wrote it: a folder, if it is one or ends in "/"; "-" is stdout.
        format: The format of a file, if its name does not decide.

    Raises:
        ConfigError: It is not a path.

    Example:
        >>> place_of("S3://bucket/prefix/"), place_of("rows.csv").format, place_of("postgres://host/db").kind
        (Remote(address='S3://bucket/prefix/'), 'csv', 'postgres')
    """
    text = _text_of(out)
    if not text:
        raise ConfigError(f'out={out!r}: must be a path, or "-" for stdout', option="out")
    if (place := _place_addressed(text)) is not None:
        return place
    path = Path(text)
    if text == "-":
        return Stream(text)
    if text.endswith(("/", os.sep)) or path.is_dir():
        return Folder(path, without_password(text))
    if _is_special(path):
        return Stream(text)
    return _file(text, format or named_format(path.name))


def place_found(out: object) -> Remote | DatabaseAt | Folder | File:
    """Return where an output to be read is. A file's first bytes say what it is, not its name.

    Args:
        out: As the caller wrote it.

    Raises:
        ConfigError: It is not a path, or a file that cannot be read or is not an output.
    """
    text = _text_of(out)
    if text in (None, "", "-"):
        raise ConfigError(f"out={out!r}: must be the path of an output", option="out")
    if (place := _place_addressed(text)) is not None:
        return place
    path = Path(text)
    if path.is_dir():
        return Folder(path, without_password(text))
    return _file(text, format_of(path, text) if path.is_file() else None)


def is_same(one: str, other: str) -> bool:
    """Whether two names lead to the same output.

    Example:
        >>> is_same("S3://bucket/a", "s3://bucket/a/"), is_same("rows.csv", "./rows.csv.run")
        (True, True)
    """
    return _settled(place_of(one)) == _settled(place_of(other))


def leads_elsewhere(name: str, run: str) -> bool:
    """Whether the name of another run leads to a server, and the run itself is not there.

    What a row of a run names was written by the author of the run: hurtle connects with the caller's
    credentials only where the caller has named something.

    Args:
        name: What a row names.
        run: The run, as the caller names it.

    Example:
        >>> leads_elsewhere("s3://theirs/run/", "mine.jsonl"), leads_elsewhere("s3://b/1/", "S3://b/2/")
        (True, False)
    """
    server = _server_of(name)
    return server is not None and server != _server_of(run)


def _server_of(name: str) -> tuple[object, ...] | None:
    """Return the database or the bucket at an address; None for a name on this disk."""
    match _place_addressed(name):
        case Remote():
            parts = urlsplit(name)
            return parts.scheme.lower(), parts.netloc
        case DatabaseAt(kind=kind, shown=address):
            parts = urlsplit(address)
            # These choose a schema. All others may lead to another server, whatever stands in front of them.
            query = sorted(pair for pair in parse_qsl(parts.query, True) if pair[0] != "options")
            return kind, parts.netloc, parts.path, query
    return None


def _settled(place: Place) -> str:
    """Return the location of an output in normal form."""
    match place:
        case Folder(path) | File(path) | DatabaseAt(path=Path() as path):
            return str(path.resolve()).removesuffix(RUN_SUFFIX)
        case Stream(name):
            return str(Path(name).resolve())
        case Remote(address) | DatabaseAt(shown=address):
            scheme, mark, rest = address.rstrip("/").partition("://")
            return scheme.lower() + mark + rest


def _text_of(out: object) -> str | None:
    path = fspath(out) if isinstance(out, (str, PathLike)) else None
    return path if isinstance(path, str) else None


def _place_addressed(text: str) -> Remote | DatabaseAt | None:
    """Return what an address leads to. Schemes ignore case (RFC 3986, section 3.1)."""
    scheme, mark, _ = text.partition("://")
    if mark and scheme.lower() in STORES:
        return Remote(text)
    if (found := addressed(text)) is not None:
        return DatabaseAt(*found, without_password(text))
    return None


def _file(text: str, format: str | None) -> DatabaseAt | File:  # noqa: A002 - the public name
    database = None if format is None else DATABASES.get(format)
    if database is None or database.schemes:
        return File(Path(text), without_password(text), format)
    return DatabaseAt(database.name, partial(database.make, text), without_password(text), Path(text))


def _is_special(path: Path) -> bool:
    """Whether it exists and is not a regular file: a pipe, a device."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def without_password(run: str) -> str:
    """Return the name or address of an output without its password, so that it may be shown and stored.

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
