"""Pick the sink by the output's name, before anything is sent."""

import os
import stat
from os import PathLike, fspath
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.sinks.base import Sink
from hurtle.sinks.folder import RunFolder
from hurtle.sinks.formats import FORMATS as BY_NAME
from hurtle.sinks.formats import Format
from hurtle.sinks.parts import PartsSink
from hurtle.sinks.stream import StreamSink

EXTENSIONS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
FORMATS = tuple(BY_NAME)
IN_FOLDERS = "parquet"
"""What a folder's parts are, where nothing else is said."""

RUN_SUFFIX = ".run"
"""The folder of a run that is to become one file has the file's name with this behind it."""


def new_sink(out: str | PathLike[str], format: str | None = None) -> Sink:  # noqa: A002 - the public name
    """Return the sink that fits, not begun yet: nothing is on the disk.

    Args:
        out: A file; its extension says the format. A folder, if it is one or ends in "/": parts stay there.
            "-" is stdout, JSON lines where nothing else is said.
        format: One of FORMATS, where the extension does not say it.

    Raises:
        ConfigError: An unknown format, or one that cannot be written there.
    """
    path = fspath(out) if isinstance(out, (str, PathLike)) else None
    if not isinstance(path, str) or not path:
        raise ConfigError(f'out={out!r}: must be a path, or "-" for stdout', option="out")
    if format is not None and format not in BY_NAME:
        raise ConfigError(f"format={format!r}: must be one of {', '.join(FORMATS)}", option="format")
    if path != "-" and (path.endswith(("/", os.sep)) or Path(path).is_dir()):
        chosen = BY_NAME[format or IN_FOLDERS]
        return PartsSink(RunFolder(Path(path), chosen.name, path), chosen)
    return _file_sink(path, _format_of(path, format))


def _format_of(path: str, format: str | None) -> Format:  # noqa: A002
    if format is not None:
        return BY_NAME[format]
    if path == "-":
        return BY_NAME["jsonl"]
    extension = Path(path).suffix.lower()
    if extension not in EXTENSIONS:
        raise ConfigError(
            f"{path}: unknown output format {extension!r}; known: {', '.join(EXTENSIONS)};"
            " another name needs format= (--format)",
            option="out",
        )
    return BY_NAME[EXTENSIONS[extension]]


def _file_sink(path: str, format: Format) -> Sink:  # noqa: A002
    if path == "-" or _is_special(path):
        return StreamSink(format.writer(path))
    final = Path(path).resolve()
    folder = RunFolder(final.with_name(final.name + RUN_SUFFIX), format.name, path)
    return PartsSink(folder, format, final=final)


def _is_special(path: str) -> bool:
    """Whether it is there and no file: a pipe, a device."""
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:
        return False
