"""Checks of option values. Each returns the value in its normal form, or raises ConfigError.

The message always names the option, the value and what is allowed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

from hurtle.errors import ConfigError

_UNITS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]*)", re.IGNORECASE | re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
LONGEST_S = 1e9
"""Seconds of the longest span, about thirty years: some systems' clocks count no further."""

MAX_COUNT = 2**32 - 1
"""Counts are u32 on the other side of the boundary."""


def wrong(option: str, value: object, allowed: str) -> ConfigError:
    """Return the error for a value that an option does not accept."""
    return ConfigError(f"{option}={_shown(value)}: must be {allowed}", option=option)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of too many digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def count(option: str, value: object, least: int = 1, most: int = MAX_COUNT) -> int:
    """Check a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise wrong(option, value, f"a whole number from {least} to {most}")
    return value


def count_or_auto(option: str, value: object) -> int | Literal["auto"]:
    """Check a whole number from 1, or "auto"."""
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise wrong(option, value, f'a whole number from 1 to {MAX_COUNT}, or "auto"')
    return value


def keys(option: str, value: Mapping[str, object], allowed: Sequence[str]) -> dict[str, object]:
    """Check a group of options written as a dict: only the allowed keys may occur."""
    for key in value:
        if key not in allowed:
            names = ", ".join(allowed)
            raise ConfigError(f"{option}: unknown key {_shown(key)}; allowed are {names}", option=option)
    return dict(value)


def seconds(option: str, value: object) -> float:
    """Check a span above 0, in seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_S:
        raise wrong(option, value, "seconds above 0, such as 30 or 0.5")
    return float(value)


def seconds_or_none(option: str, value: object) -> float | None:
    """Check a span above 0, in seconds, or None for no limit."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_S:
        raise wrong(option, value, "seconds above 0, such as 30 or 0.5, or None for no limit")
    return float(value)


def seconds_from_zero(option: str, value: object) -> float:
    """Check a span of 0 or more, in seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST_S:
        raise wrong(option, value, "seconds from 0 up")
    return float(value)


def share(option: str, value: object) -> float:
    """Check a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise wrong(option, value, "a number from 0 to 1")
    return float(value)


def folder_or_none(name: str, value: object) -> str | None:
    """Check the path of a folder that exists; None stays None."""
    if value is None:
        return None
    if not isinstance(value, (str, PathLike)) or not Path(value).is_dir():
        raise wrong(name, value, "the path of a folder that exists")
    return str(Path(value).absolute())


def size(option: str, value: object) -> int:
    """Check a size in bytes: a whole number, or text such as "64MiB" or "10 MB"."""
    number: object = value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        unit = _UNITS.get(match[2].lower())
        number = None if unit is None else int(float(match[1]) * unit)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**63:
        raise wrong(
            option, value, 'bytes above 0, such as 1048576 or "64MiB" (units: kB, MB, GB, KiB, MiB, GiB)'
        )
    return number


def flag(option: str, value: object) -> bool:
    """Check True or False."""
    if not isinstance(value, bool):
        raise wrong(option, value, "True or False")
    return value


def statuses(option: str, value: object) -> tuple[int, ...]:
    """Check HTTP statuses from 100 to 599."""
    allowed = "HTTP statuses from 100 to 599, such as (429, 503)"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(option, value, allowed)
    found = tuple(value)
    if not all(isinstance(one, int) and not isinstance(one, bool) and 100 <= one <= 599 for one in found):
        raise wrong(option, value, allowed)
    return found


def methods(option: str, value: object) -> tuple[str, ...]:
    """Check method names and return them in capitals."""
    found = _tokens(option, value, 'method names, such as ("GET", "HEAD")')
    return tuple(one.upper() for one in found)


def trust(option: str, value: object) -> bool | str:
    """Check whom to trust: True, False, or the path of an existing PEM file."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, (str, PathLike)):
        raise wrong(option, value, "True, False or the path of a PEM file of certificates")
    path = fspath(value)
    if not isinstance(path, str) or not Path(path).is_file():
        why = "it is a folder" if isinstance(path, str) and Path(path).is_dir() else "there is no such file"
        raise wrong(option, value, f"True, False or the path of a PEM file of certificates; {why}")
    return path


def header_fields(option: str, pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Check header fields for every request: each name and value must be allowed in HTTP.

    Source: RFC 9110, sections 5.1 and 5.5.
    """
    for name, value in pairs:
        if not _TOKEN.fullmatch(name):
            raise wrong(option, name, "header names of letters, digits and -_.")
        if any(char in value for char in "\r\n\0") or not is_text(value):
            raise wrong(option, name, "a header whose value contains no CR, LF or NUL")
    return tuple(pairs)


def header_names(option: str, value: object) -> tuple[str, ...]:
    """Check header names and return them in lower case, without repeats."""
    found = _tokens(option, value, 'a list of header names, such as ["x-api-key"]; "body" is the body')
    names = tuple(dict.fromkeys(one.lower() for one in found))
    if "host" in names:
        raise ConfigError(f"{option}: another origin has a host of its own; leave host out", option=option)
    return names


def _tokens(option: str, value: object, allowed: str) -> tuple[str, ...]:
    """Check names as HTTP spells them. Source: RFC 9110, section 5.6.2."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(option, value, allowed)
    found = tuple(value)
    if not all(isinstance(one, str) and _TOKEN.fullmatch(one) for one in found):
        raise wrong(option, found, allowed)
    return found


def networks(option: str, value: object) -> tuple[str, ...]:
    """Check networks in CIDR form, or single addresses, and return them in CIDR form."""
    from ipaddress import ip_network

    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise wrong(option, value, 'a list of networks, such as ["10.0.0.0/8"]')
    found = []
    for one in value:
        try:
            # A whole number would be an address too.
            found.append(str(ip_network(one if isinstance(one, str) else "")))
        except ValueError as error:
            allowed = (
                'networks such as "10.0.0.0/8" or "fd00::/8", with no bit set behind the prefix, or addresses'
                ' such as "127.0.0.1"'
            )
            raise wrong(option, one, allowed) from error
    return tuple(found)


def is_text(value: str) -> bool:
    """Whether UTF-8 can encode a string: one from JSON may contain half of a surrogate pair."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
