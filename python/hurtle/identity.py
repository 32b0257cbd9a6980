"""What a run is, so that a later one can tell whether it is the same: its input, and what shapes its rows."""

from dataclasses import fields
from hashlib import sha256
from pathlib import Path

from hurtle.options import Options
from hurtle.sinks import Identity
from hurtle.sources import AsyncSource, Source

SHAPING = frozenset({
    "headers", "params", "follow_redirects", "max_redirects", "verify", "http2", "max_body_size",
    "truncate_oversize", "robots", "retry_statuses", "retry_methods",
    "idempotency_key",
})  # fmt: skip
"""Options on which requests and rows depend. How fast and how patiently a run goes may change in between."""

HIDDEN = frozenset({"headers", "params"})
"""Options whose values may be secrets: only a hash of them is kept."""


def identity_of(source: Source | AsyncSource, options: Options) -> Identity:
    """Return what a run of this input with these options is."""
    shown: dict[str, object] = {}
    for field in fields(options):
        if field.name in SHAPING:
            value = getattr(options, field.name)
            shown[field.name] = _digest(value) if field.name in HIDDEN else value
    fingerprint = source.fingerprint() if isinstance(source, Source) else None
    return Identity(input=fingerprint, options=shown, path=path_of(source))


def path_of(source: Source | AsyncSource) -> str | None:
    """Return where a source can be found again; None for what is no file, or a pipe."""
    path = source.path
    return str(Path(path).resolve()) if path is not None and Path(path).is_file() else None


def _digest(value: object) -> str:
    return "sha256 " + sha256(repr(value).encode()).hexdigest()[:16]
