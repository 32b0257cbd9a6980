"""Choose the source for what a caller gave, before anything is sent."""

import re
from collections.abc import AsyncIterable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.sources.base import AsyncSource, IterableSource, Source

FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")
EXTENSIONS = {
    "": "text", ".txt": "text", ".text": "text", ".urls": "text", ".list": "text", ".lst": "text",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "csv", ".tsv": "tsv",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
"""The format of a file by its extension, without .gz or .zst."""

COMPRESSED = (".gz", ".zst")

_ADDRESS = re.compile(r"[\w.-]+:\d+(/|$)|[\w-]+(\.[\w-]+)+/|www\.")
"""How a URL begins that lacks its scheme."""


def open_source(requests: object, format: str | None = None) -> Source:  # noqa: A002 - the public name
    """Return the source for what a caller gave.

    Args:
        requests: See `Requests`.
        format: One of FORMATS, if a path's extension does not name it or names another one.

    Raises:
        ConfigError: Requests cannot be read from it: no such file, an unknown format, a single dict.
        MissingExtraError: The format needs an optional package.
    """
    if isinstance(requests, (str, PathLike)):
        return _from_path(fspath(requests), format)
    if format is not None:
        raise ConfigError(
            f"format={format!r} works with a path only, not with {type(requests).__name__}", option="format"
        )
    if hasattr(requests, "__arrow_c_stream__") or hasattr(requests, "__arrow_c_array__"):
        from hurtle.sources.table import arrow_source

        return arrow_source(requests)
    if isinstance(requests, AsyncIterable):
        raise ConfigError(
            "requests is an async iterable: use astream, afetch, arun or adownload", option="requests"
        )
    if isinstance(requests, Mapping) or hasattr(requests, "encoded_params"):
        raise ConfigError("requests is a single request: pass a list of one", option="requests")
    if isinstance(requests, (bytes, bytearray)) or not isinstance(requests, Iterable):
        raise ConfigError(
            f"requests={type(requests).__name__}: must be an iterable of URLs, a path or a table",
            option="requests",
        )
    if hasattr(requests, "columns"):
        raise ConfigError(
            f"requests={type(requests).__name__}: a table without an Arrow stream; pass its URLs as a list",
            option="requests",
        )
    return IterableSource(requests)


def open_async_source(requests: object, format: str | None = None) -> Source | AsyncSource:  # noqa: A002
    """Return the source for what a caller gave to an asyncio verb, which may be an async iterable.

    Raises:
        ConfigError: As `open_source`.
        MissingExtraError: As `open_source`.
    """
    if isinstance(requests, AsyncIterable) and format is None:
        return AsyncSource(requests)
    return open_source(requests, format)


def _from_path(path: str, format: str | None) -> Source:  # noqa: A002
    if path.lower().startswith(("http://", "https://")):
        raise ConfigError(f"requests={path!r} is one URL: pass a list of one", option="requests")
    if _ADDRESS.match(path) and not Path(path).exists():
        raise ConfigError(
            f"{path}: no such file, and a URL begins with http:// or https://", option="requests"
        )
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format={format!r}: must be one of {', '.join(FORMATS)}", option="format")
    chosen = format or _format_of(path)
    if path != "-" and not Path(path).exists():
        raise ConfigError(f"{path}: no such file", option="requests")
    if path != "-" and Path(path).is_dir():
        raise ConfigError(f"{path} is a folder, not a list of requests", option="requests")
    source = _reader(path, chosen)
    source.format = chosen
    return source


def _reader(path: str, chosen: str) -> Source:
    """Return what reads a file of a format."""
    if chosen == "parquet":
        from hurtle.sources.table import ParquetSource

        return ParquetSource(path)
    if chosen in ("csv", "tsv"):
        from hurtle.sources.table import CsvSource

        return CsvSource(path, "\t" if chosen == "tsv" else ",")
    if chosen == "jsonl":
        from hurtle.sources.jsonl import JsonlSource

        return JsonlSource(path)
    from hurtle.sources.text import TextSource

    return TextSource(path)


def _format_of(path: str) -> str:
    if path == "-":
        return "text"
    name = Path(path)
    extension = name.suffix.lower()
    if extension in COMPRESSED:
        extension = name.with_suffix("").suffix.lower()
    # A pipe such as /dev/fd/63 has no meaningful extension.
    if extension not in EXTENSIONS and not (name.exists() and not name.is_file()):
        raise ConfigError(
            f"{path}: unknown input format {extension!r}; known: {', '.join(filter(None, EXTENSIONS))};"
            " on the command line, --input-format names the format of any file",
            option="format",
        )
    return EXTENSIONS.get(extension, "text")
