"""Pick the sink by the output's name, before anything is sent."""

import os
import stat
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from hurtle.errors import ConfigError
from hurtle.formats import FORMATS, Format
from hurtle.formats.registry import FILES, bodies_apart
from hurtle.outputs.databases import DATABASES, addressed
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.names import RUN_SUFFIX, extensions, format_names, named_format, without_password
from hurtle.outputs.objects import Objects, is_remote
from hurtle.outputs.remote import RemoteFolder
from hurtle.sinks.base import Sink
from hurtle.sinks.database_sink import DatabaseSink
from hurtle.sinks.parts import PartsSink
from hurtle.sinks.stream import StreamSink

IN_FOLDERS = "parquet"
"""What a folder's parts are, where nothing else is said."""

BodyPlace: TypeAlias = Literal["inline", "apart"]
"""Where bodies are: in their rows, or each in a file of its own."""

BODY_PLACES: tuple[BodyPlace, ...] = get_args(BodyPlace)


def new_sink(
    out: str | PathLike[str],
    format: str | None = None,  # noqa: A002 - the public name
    bodies: BodyPlace | None = None,
) -> Sink:
    """Return the sink that fits, not begun yet: nothing is on the disk.

    Args:
        out: A file; its extension says the format. A folder, if it is one or ends in "/": parts stay there.
            "-" is stdout, JSON lines where nothing else is said. The address of a database, or of a folder of
            an object store.
        format: One of `format_names`, where the extension does not say it.
        bodies: One of BODY_PLACES; None: where the format has them.

    Raises:
        ConfigError: An unknown format, or one that cannot be written there, or not with bodies there.
    """
    path = fspath(out) if isinstance(out, (str, PathLike)) else None
    if not isinstance(path, str) or not path:
        raise ConfigError(f'out={out!r}: must be a path, or "-" for stdout', option="out")
    if format is not None and format not in format_names():
        raise ConfigError(f"format={format!r}: must be one of {', '.join(format_names())}", option="format")
    if bodies not in (None, *BODY_PLACES):
        raise ConfigError(f"bodies={bodies!r}: must be one of {', '.join(BODY_PLACES)}", option="bodies")
    if (database := _database_address(path, format)) is not None:
        _refuse_apart(bodies, "a database holds them in its table")
        return database
    if is_remote(path):
        _refuse_apart(bodies, "a part goes to an object store alone")
        _refuse_inline(bodies, format or IN_FOLDERS)
        return _remote_sink(path, format or IN_FOLDERS)
    is_folder = path != "-" and (path.endswith(("/", os.sep)) or Path(path).is_dir())
    name = format or (IN_FOLDERS if is_folder else _format_of(path))
    if (database_kind := DATABASES.get(name)) is not None:
        if database_kind.schemes:
            example = f"{database_kind.schemes[0]}host/database"
            raise ConfigError(f"{without_password(path)}: {name} needs an address such as {example}")
        if is_folder or path == "-" or _is_special(path):
            raise ConfigError(f"{path}: {name} is written to a file", option="out")
        _refuse_apart(bodies, "a database holds them in its table")
        return DatabaseSink(database_kind.make(path))
    kind = _format_with(bodies, name)
    if is_folder:
        return PartsSink(RunFolder(Path(path), kind.name, path), kind)
    if kind.beside is not None:
        raise ConfigError(
            f'{path}: bodies apart are written to a folder; end its name with "/"',
            option="out" if bodies is None else "bodies",
        )
    return _file_sink(path, kind)


def _format_with(bodies: BodyPlace | None, name: str) -> Format:
    """Return a format of files with its bodies where they are wanted."""
    _refuse_inline(bodies, name)
    if FORMATS[name].records_exchanges:
        _refuse_apart(bodies, "an archive holds what went over the wire")
    return (bodies_apart(name) if bodies == "apart" else None) or FORMATS[name]


def _refuse_inline(bodies: BodyPlace | None, name: str) -> None:
    if bodies == "inline" and name == FILES:
        raise ConfigError(
            "bodies='inline' does not fit files, which are JSON lines with bodies apart; take jsonl",
            option="bodies",
        )
    if bodies == "inline" and name in FORMATS and not FORMATS[name].holds_bodies:
        raise ConfigError(
            f"bodies='inline' does not fit {name}, which has no column for them;"
            ' with "apart" they are files',
            option="bodies",
        )


def _refuse_apart(bodies: BodyPlace | None, reason: str) -> None:
    if bodies == "apart":
        fitting = [name for name in FORMATS if bodies_apart(name)]
        raise ConfigError(
            f"bodies='apart' does not fit: {reason}; what has them apart is a folder on this disk (DIR/) of"
            f" {', '.join(fitting)}",
            option="bodies",
        )


def _database_address(path: str, format: str | None) -> Sink | None:  # noqa: A002
    """Return the sink for a database that is no file; None where the output is something else."""
    if (found := addressed(path)) is None:
        return None
    name, make = found
    if format not in (None, name):
        scheme = path.partition("://")[0].lower()
        raise ConfigError(f"format={format!r} does not fit {scheme}://…", option="format")
    return DatabaseSink(make())


def _remote_sink(address: str, name: str) -> Sink:
    allowed = [one.name for one in FORMATS.values() if one.beside is None]
    if name not in allowed:
        raise ConfigError(
            f"format={name!r} does not fit an object store: must be one of {', '.join(allowed)}",
            option="format",
        )
    sink = PartsSink(RemoteFolder(Objects(address), name), FORMATS[name])
    if not address.endswith("/"):
        raise ConfigError(
            f'{address}: an output in an object store is a folder of parts; end its name with "/"',
            option="out",
        )
    return sink


def _format_of(path: str) -> str:
    if path == "-":
        return "jsonl"
    if (found := named_format(Path(path).name)) is None:
        extension = Path(path).suffix.lower()
        raise ConfigError(
            f"{without_password(path)}: unknown output format {extension!r}; known:"
            f" {', '.join(extensions())}; another name needs format= (--format)",
            option="out",
        )
    return found


def _file_sink(path: str, format: Format) -> Sink:  # noqa: A002
    if path == "-" or _is_special(path):
        return StreamSink(format.writer(path), records_exchanges=format.records_exchanges)
    final = Path(path).resolve()
    folder = RunFolder(final.with_name(final.name + RUN_SUFFIX), format.name, path, final=final)
    return PartsSink(folder, format)


def _is_special(path: str) -> bool:
    """Whether it is there and no file: a pipe, a device."""
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:
        return False
