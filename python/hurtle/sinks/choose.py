"""Pick the sink by the output's name, before anything is sent."""

from os import PathLike, fspath
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.sinks.base import Sink

EXTENSIONS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
FORMATS = ("jsonl", "parquet")


def new_sink(out: str | PathLike[str], format: str | None = None) -> Sink:  # noqa: A002 - the public name
    """Return the sink that fits, not open yet: nothing is on the disk.

    Args:
        out: A file; its extension says the format. "-" is stdout, JSON lines where nothing else is said.
        format: One of FORMATS, where the extension does not say it.

    Raises:
        ConfigError: An unknown format, or one that cannot be written there.
    """
    path = fspath(out) if isinstance(out, (str, PathLike)) else None
    if not isinstance(path, str) or not path:
        raise ConfigError(f'out={out!r}: must be the path of a file, or "-" for stdout', option="out")
    return _sink(path, _format_of(path, format))


def _format_of(path: str, format: str | None) -> str:  # noqa: A002
    if format is not None:
        if format not in FORMATS:
            raise ConfigError(f"format={format!r}: must be one of {', '.join(FORMATS)}", option="format")
        return format
    if path == "-":
        return "jsonl"
    if Path(path).is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it", option="out")
    extension = Path(path).suffix.lower()
    if extension not in EXTENSIONS:
        raise ConfigError(
            f"{path}: unknown output format {extension!r}; known: {', '.join(EXTENSIONS)};"
            " another name needs format= (--format)",
            option="out",
        )
    return EXTENSIONS[extension]


def _sink(path: str, format: str) -> Sink:  # noqa: A002
    if format == "parquet":
        from hurtle.sinks.parquet import ParquetSink

        return ParquetSink(path)
    from hurtle.sinks.jsonl import JsonlSink

    return JsonlSink(path)
