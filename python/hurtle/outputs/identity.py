"""The identity of a run, so that a later one can tell whether it is the same: its input and its options."""

from collections.abc import Mapping
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from hurtle.attempts import Retry
from hurtle.options import ALIASES, USER_AGENT, Options, OptionsDict
from hurtle.outputs.record import Identity
from hurtle.sources import AsyncSource, Source

SHAPING = frozenset({
    "headers", "params", "follow_redirects", "max_redirects", "keep_on_redirect", "https_only",
    "block_private", "allow_private", "verify", "http2", "max_body_size", "truncate_oversize",
    "decode_content", "strict", "robots", "retry_statuses", "retry_methods", "idempotency_key",
})  # fmt: skip
"""Options on which requests and rows depend. Speed and patience may change when a run is resumed."""

HIDDEN = frozenset({"headers", "params"})
"""Options whose values may be secrets: only their hashes are recorded."""

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that are not part of the identity, not even as hashes: tokens expire before long runs end."""


def identity_of(source: Source | AsyncSource, options: Options) -> Identity:
    """Return the identity of a run of this input with these options."""
    shown: dict[str, object] = {}
    for field in fields(options):
        if field.name in SHAPING:
            value = getattr(options, field.name)
            shown[field.name] = _hashed(field.name, value) if field.name in HIDDEN else value
    fingerprint = source.fingerprint() if isinstance(source, Source) else None
    return Identity(input=fingerprint, options=shown, path=path_of(source), ordered=options.ordered)


def recalled(recorded: object, given: OptionsDict) -> OptionsDict:
    """Return the given options; options that are not given come from the record of a run.

    Args:
        recorded: The options of the run's `Identity`, read back from JSON; anything else is ignored.
        given: Options by their public names.

    Raises:
        ConfigError: The given `retries` is not valid.
    """
    if not isinstance(recorded, Mapping):
        return given
    recall: dict[str, Any] = {name: value for name, value in recorded.items() if name in SHAPING - HIDDEN}
    if "truncate_oversize" in recall:
        recall["on_oversize"] = "truncate" if recall.pop("truncate_oversize") else "error"
    policy = {
        name.removeprefix("retry_"): recall.pop(name) for name in list(recall) if name.startswith("retry_")
    }
    options: dict[str, Any] = dict(given)
    if isinstance(options.get("retries", 0), int):
        # A number says only how often; what is retried stays as in the run.
        recall["retries"] = replace(Retry.of(options.pop("retries", Retry().total)), **policy)
    named = {ALIASES.get(name, name) for name in options}
    return cast("OptionsDict", options | {name: value for name, value in recall.items() if name not in named})


def unlike(recorded: object, options: Options) -> list[str]:
    """Return the options that differ from a run's and cannot be recalled, because they may be secrets."""
    if not isinstance(recorded, Mapping):
        return []
    return [
        name
        for name in sorted(HIDDEN)
        if recorded.get(name, before := _hashed(name, getattr(options, name))) != before
    ]


def path_of(source: Source | AsyncSource) -> str | None:
    """Return the path of a source; None if it is not a file, or is a pipe."""
    path = source.path
    return str(Path(path).resolve()) if path is not None and Path(path).is_file() else None


_DEFAULT_AGENT = ("user-agent", USER_AGENT)


def _hashed(name: str, value: Any) -> object:  # noqa: ANN401 - of whatever kind the option is
    """Return what is recorded of an option: for headers, a hash for each name, to name a difference by.

    The user agent counts only if the caller chose it: the default names the version, and a newer version may
    resume the run.
    """
    if name != "headers":
        return _digest(value)
    by_name: dict[str, list[str]] = {}
    for field, text in value:
        if field.lower() not in CREDENTIALS and (field, text) != _DEFAULT_AGENT:
            by_name.setdefault(field.lower(), []).append(text)
    return {field: _digest(values) for field, values in sorted(by_name.items())}


def _digest(value: object) -> str:
    return "sha256 " + sha256(repr(value).encode()).hexdigest()[:16]
