"""The options of a command line, which override those of its `--config` file."""

from argparse import Namespace
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from hurtle import wire
from hurtle.attempts import Retry, Timeout
from hurtle.cli.config_file import read_options
from hurtle.errors import ConfigError
from hurtle.options import OptionsDict

_AS_GIVEN = (
    "concurrency", "concurrency_per_host", "rate_limit", "rate_limit_per_host", "limit_by", "robots",
    "deadline", "max_duration", "max_body_size", "on_oversize", "max_buffer", "on_error", "max_redirects",
    "strict", "threads", "user_agent", "ordered", "dedupe", "idempotency_key", "keep_on_redirect",
    "https_only", "block_private", "allow_private", "trust_env",
)  # fmt: skip
_TIMEOUTS = {
    "timeout": "total",
    "connect_timeout": "connect",
    "first_byte_timeout": "first_byte",
    "read_timeout": "read",
}
_RETRIES = {
    "retries": "total",
    "patience": "patience",
    "refused": "refused",
    "max_retry_after": "max_retry_after",
    "rounds": "rounds",
}
_FIELDS = {"user_agent": "user-agent", "cookies": "cookie", "auth": "authorization"}
"""Options that are header fields under another name."""


def given_options(given: Namespace) -> OptionsDict:
    """Return the options given on the command line or in the file; all others keep their defaults.

    The command line wins, option by option; for headers, parameters, `timeout` and `retries`, name by name.

    Raises:
        ConfigError: The file or an argument is wrong.
    """
    file = {} if given.config is None else read_options(given.config)
    options = _merged(file, _line(given))
    if limits := _present(given, _TIMEOUTS):
        timeout = Timeout.of(file["timeout"]) if "timeout" in file else Timeout()
        options["timeout"] = replace(timeout, **{name: limit or None for name, limit in limits.items()})
    if policy := _present(given, _RETRIES):
        retry = Retry.of(file["retries"]) if "retries" in file else Retry()
        options["retries"] = replace(retry, **policy)
    return options  # type: ignore[return-value]  # names and values are checked when it is resolved


def _present(given: Namespace, names: dict[str, str]) -> dict[str, Any]:
    """Return the given arguments, by the names of their options. Not every command has all of them."""
    return {name: value for flag, name in names.items() if (value := getattr(given, flag, None)) is not None}


def _line(given: Namespace) -> dict[str, Any]:
    """Return the options of the command line alone, without `timeout` and `retries`."""
    line = _present(given, {name: name for name in _AS_GIVEN})
    if given.follow is not None:
        line["follow_redirects"] = given.follow
    if given.decode_content is not None:
        line["decode_content"] = given.decode_content
    if given.insecure or given.verify is not None:
        line["verify"] = given.verify if given.verify is not None else False
    if given.proxy is not None:
        line["proxy"] = given.proxy
    if given.http2 is not None:
        line["http2"] = {"auto": "auto", "always": True, "never": False}[given.http2]
    if headers := _headers(given):
        line["headers"] = headers
    if given.param:
        line["params"] = [split(pair, "=", "--param", "NAME=VALUE") for pair in given.param]
    if given.user is not None:
        line["auth"] = split(given.user, ":", "-u", "USER:PASSWORD", show=False)
    if given.bearer is not None:
        line["auth"] = given.bearer
    return line


def _merged(file: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Override the file by the command line: headers and parameters name by name."""
    fields = {name.lower() for name, _ in line.get("headers", [])}
    fields |= {field for option, field in _FIELDS.items() if option in line}
    merged = {name: value for name, value in file.items() if _FIELDS.get(name) not in fields} | line
    if "headers" in file:
        kept = [pair for pair in wire.header_list(file["headers"]) if pair[0].lower() not in fields]
        merged["headers"] = kept + line.get("headers", [])
    if "params" in file and "params" in line:
        names = {name for name, _ in line["params"]}
        pairs = parse_qsl(wire.query_string(file["params"]) or "", keep_blank_values=True)
        merged["params"] = [pair for pair in pairs if pair[0] not in names] + line["params"]
    return merged


def _headers(given: Namespace) -> list[tuple[str, str]]:
    pairs = []
    for line in given.header:
        name, value = split(line, ":", "-H", "'Name: value'", show=False)
        if not name.strip():
            raise ConfigError("-H takes 'Name: value'")
        pairs.append((name.strip(), value.strip()))
    if given.cookie is not None:
        if any(name.lower() == "cookie" for name, _ in pairs):
            raise ConfigError("-b and -H 'Cookie: ...' are given; give one of them")
        # Kept as written, not by name: the same cookie may occur twice.
        cookies = [part.strip() for part in given.cookie.split(";") if part.strip()]
        if not cookies or not all("=" in cookie.lstrip("=") for cookie in cookies):
            raise ConfigError("-b takes 'A=1; B=2'")
        pairs.append(("cookie", "; ".join(cookies)))
    return pairs


def split(text: str, mark: str, flag: str, form: str, *, show: bool = True) -> tuple[str, str]:
    """Split at the first mark. Spaces stay: they may be part of a secret."""
    name, found, value = text.partition(mark)
    if not found or not (name or flag == "-u"):
        raise ConfigError(f"{flag} takes {form}" + (f", not {text!r}" if show else ""))
    return name, value
