"""Where requests come from: iterables, text, JSONL, CSV, Parquet, Arrow. One file per format."""

from hurtle.sources.base import AsyncRequests, AsyncSource, Requests, Source
from hurtle.sources.choose import FORMATS, open_async_source, open_source

__all__ = [
    "FORMATS",
    "AsyncRequests",
    "AsyncSource",
    "Requests",
    "Source",
    "open_async_source",
    "open_source",
]
