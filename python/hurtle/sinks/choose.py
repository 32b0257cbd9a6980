"""Choose the sink by the output's name, before anything is sent.

The code for object stores and databases is imported only if it is chosen: most runs need neither.
"""

from os import PathLike
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.formats import FORMATS, Format
from hurtle.formats.registry import FILES, bodies_apart
from hurtle.options import BODY_PLACES, CODED, BodyPlace
from hurtle.outputs.databases import DATABASES
from hurtle.outputs.folder import RunFolder
from hurtle.outputs.kinds import extensions, format_names, named_format
from hurtle.outputs.names import RUN_SUFFIX, DatabaseAt, File, Folder, Remote, Stream, place_of
from hurtle.sinks.base import Sink
from hurtle.sinks.parts import PartsSink
from hurtle.sinks.stream import StreamSink

IN_FOLDERS = "parquet"
ON_STDOUT = "jsonl"
"""The formats of a folder's parts and of stdout, unless another is given."""


def new_sink(
    out: str | PathLike[str],
    format: str | None = None,  # noqa: A002 - the public name
    bodies: BodyPlace | None = None,
    compression: str | None = None,
) -> Sink:
    """Return the sink for an output; nothing is on the disk before it begins.

    Args:
        out: A file; its extension determines the format. A folder, if it is one or ends in "/": parts stay
            there. "-" is stdout, JSON lines by default. The address of a database, or of a folder of an
            object store.
        format: One of `format_names`; None: by the extension.
        bodies: One of BODY_PLACES; None: the format decides.
        compression: One that the format has; None: its default.

    Raises:
        ConfigError: The format is unknown, cannot be written there, or cannot have its bodies there.
    """
    if format is not None and format not in format_names():
        raise ConfigError(f"format={format!r}: must be one of {', '.join(format_names())}", option="format")
    if bodies not in (None, *BODY_PLACES):
        raise ConfigError(f"bodies={bodies!r}: must be one of {', '.join(BODY_PLACES)}", option="bodies")
    sink = _sink_at(out, format, bodies, compression)
    sink.keeps_codings = bodies == CODED
    return sink


def _sink_at(
    out: str | PathLike[str],
    format: str | None,  # noqa: A002
    bodies: BodyPlace | None,
    compression: str | None,
) -> Sink:
    match place_of(out, format):
        case DatabaseAt(kind, make, shown):
            if format not in (None, kind):
                scheme = shown.partition("://")[0].lower()
                raise ConfigError(f"format={format!r} does not fit {scheme}://…", option="format")
            from hurtle.sinks.database_sink import DatabaseSink

            if compression is not None:
                raise ConfigError(
                    f"compression={compression!r} does not fit {kind}, which has its own",
                    option="compression",
                )
            database = make()
            if database.file is None:
                _refuse_apart(bodies, "a database on a server has them in its table")
            return DatabaseSink(database, bodies_apart=bodies == "apart")
        case Remote(address):
            return _remote_sink(address, format or IN_FOLDERS, bodies, compression)
        case Folder(path, shown):
            rows = _format_of_files(format or IN_FOLDERS, bodies, compression, shown)
            return PartsSink(RunFolder(path, rows.name, shown), rows)
        case File(path, shown, name):
            final = path.resolve()
            rows = _format_of_one(name, bodies, compression, shown).beside_file(final.name)
            folder = RunFolder(final.with_name(final.name + RUN_SUFFIX), rows.name, shown, final=final)
            return PartsSink(folder, rows)
        case Stream(stream):
            name = format or (ON_STDOUT if stream == "-" else named_format(Path(stream).name))
            rows = _format_of_one(name, bodies, compression, stream)
            if rows.beside is not None:
                raise ConfigError(
                    f"{stream}: bodies apart need a file or a folder (DIR/) on this disk",
                    option="out" if bodies is None else "bodies",
                )
            return StreamSink(rows.writer(stream), records_exchanges=rows.records_exchanges)


def _format_of_one(name: str | None, bodies: BodyPlace | None, compression: str | None, shown: str) -> Format:
    """Return the format of an output that is one file or stream."""
    if name is None:
        raise ConfigError(
            f"{shown}: unknown output format {Path(shown).suffix.lower()!r}; known:"
            f" {', '.join(extensions())}; another name needs format= (--format)",
            option="out",
        )
    return _format_of_files(name, bodies, compression, shown)


def _format_of_files(name: str, bodies: BodyPlace | None, compression: str | None, shown: str) -> Format:
    """Return a file format with its bodies in the given place, compressed as asked for."""
    if (database := DATABASES.get(name)) is not None:
        if database.schemes:
            raise ConfigError(f"{shown}: {name} needs an address such as {database.schemes[0]}host/database")
        raise ConfigError(f"{shown}: {name} is written to a file", option="out")
    _refuse_inline(bodies, name)
    _refuse_coded(bodies, name)
    if FORMATS[name].records_exchanges:
        _refuse_apart(bodies, "an archive holds what went over the wire")
    found = (bodies_apart(name) if bodies == "apart" else None) or FORMATS[name]
    return found if compression is None else found.compressed(compression)


def _refuse_inline(bodies: BodyPlace | None, name: str) -> None:
    if bodies == "inline" and name == FILES:
        raise ConfigError(
            "bodies='inline' does not fit files, which are JSON lines with bodies apart; use jsonl",
            option="bodies",
        )
    if bodies == "inline" and name in FORMATS and not FORMATS[name].holds_bodies:
        raise ConfigError(
            f"bodies='inline' does not fit {name}, which has no column for them;"
            " use bodies='apart' to write them to files",
            option="bodies",
        )


def _refuse_coded(bodies: BodyPlace | None, name: str) -> None:
    if bodies != CODED or name not in FORMATS:
        return
    one = FORMATS[name]
    if one.records_exchanges:
        reason = "an archive has them as they came in any case"
    elif one.beside is not None:
        reason = "a file that is opened by name must not be compressed"
    elif not one.holds_bodies:
        reason = "it has no column for them"
    else:
        return
    raise ConfigError(f"bodies='coded' does not fit {name}: {reason}", option="bodies")


def _refuse_apart(bodies: BodyPlace | None, reason: str) -> None:
    if bodies == "apart":
        fitting = [name for name in FORMATS if bodies_apart(name)]
        raise ConfigError(
            f"bodies='apart' does not fit: {reason}; it needs a file or a folder on this disk and one of"
            f" the formats {', '.join(fitting)}",
            option="bodies",
        )


def _remote_sink(address: str, name: str, bodies: BodyPlace | None, compression: str | None) -> Sink:
    _refuse_apart(bodies, "an object store gets only the parts")
    _refuse_inline(bodies, name)
    _refuse_coded(bodies, name)
    format = FORMATS.get(name)  # noqa: A001 - the public name
    if format is None or format.beside is not None:
        allowed = [one.name for one in FORMATS.values() if one.beside is None]
        raise ConfigError(
            f"format={name!r} does not fit an object store: must be one of {', '.join(allowed)}",
            option="format",
        )
    if compression is not None:
        format = format.compressed(compression)  # noqa: A001 - the public name
    from hurtle.outputs.objects import Objects
    from hurtle.outputs.remote import RemoteFolder

    sink = PartsSink(RemoteFolder(Objects(address), name), format)
    if not address.endswith("/"):
        raise ConfigError(
            f'{address}: an output in an object store is a folder of parts; end its name with "/"',
            option="out",
        )
    return sink
