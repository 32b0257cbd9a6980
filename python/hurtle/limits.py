"""Limits of single hosts, and how to name hosts. Pure functions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from hurtle import checks, rates
from hurtle.errors import ConfigError

Concurrency: TypeAlias = int | Literal["auto"]
"""Requests in flight; "auto": as many as the hosts tolerate, judged by their responses."""


class LimitsDict(TypedDict, total=False):
    """`Limits` as a plain dict or a table of a TOML file."""

    rate_limit: rates.RateSpec | None
    concurrency: Concurrency | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one host that differ from those of all hosts.

    Args:
        rate_limit: Like the option `rate_limit_per_host`; "none" lifts the limit. None: as for all hosts.
        concurrency: Requests in flight, or "auto". None: as for all hosts.

    Example:
        >>> Limits(rate_limit="100/min", concurrency=2)
        Limits(rate_limit=Rate(count=100, per=60.0, burst=1), concurrency=2)
    """

    rate_limit: rates.RateSpec | None = None
    concurrency: Concurrency | None = None

    def __post_init__(self) -> None:
        """Check both, and normalize the rate."""
        if self.rate_limit is not None:
            limit = rates.rate_limit("limits.rate_limit", self.rate_limit)
            object.__setattr__(self, "rate_limit", limit)
        if self.concurrency is not None:
            checks.count_or_auto("limits.concurrency", self.concurrency)


HostLimits: TypeAlias = Mapping[str, Limits | LimitsDict]
"""Limits by host name; `*.example.com` means every name below example.com."""

_NAMES = 'write a host as in a URL, such as "api.example.com", "*.example.com", "192.0.2.1" or "::1"'
_UNFIT = (
    (re.compile(r"[\s\x00-\x1f\x7f]"), "it contains a blank"),
    (re.compile(r"://"), "it contains a scheme"),
    (re.compile(r"[/\\?#]"), "it contains a path"),
    (re.compile(r"@"), "it contains a user name"),
    (re.compile(r":\d*\Z"), "it contains a port, but limits apply to all ports of a host"),
    (re.compile(r"[:\[\]]"), "it is not an IPv6 address"),
    (re.compile(r"\A\*(?!\.[^.*])|.\*"), "a star is allowed only before a dot and a name"),
)


def host_limits(hosts: object) -> tuple[tuple[str, Limits], ...]:
    """Read limits by host name.

    Args:
        hosts: As in `HostLimits`.

    Returns:
        Names and limits. Names are in lower case, IPv6 addresses without brackets. The engine normalizes them
        further, as in URLs (IDNA, other spellings of an address).

    Raises:
        ConfigError: A name is not a host name, a host is listed twice, or a key or value is wrong.
    """
    if not isinstance(hosts, Mapping):
        example = 'limits by host name, such as {"example.com": Limits(concurrency=2)}'
        raise checks.wrong("hosts", hosts, example)
    found: dict[str, Limits] = {}
    for written, limits in hosts.items():
        name = host_name(written)
        if name in found:
            raise ConfigError(f"hosts: {name!r} is listed twice", option="hosts")
        found[name] = limits if isinstance(limits, Limits) else _limits(f'hosts["{written}"]', limits)
    return tuple(found.items())


def host_name(name: object) -> str:
    """Check a host name, as written in a URL or with `*.` before it.

    Returns:
        The name in lower case; an IPv6 address without brackets.

    Raises:
        ConfigError: It contains a scheme, a port, a path or anything else that is not part of a name.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"hosts: {name!r} is not a host name: {_NAMES}", option="hosts")
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if _is_ipv6(bare):
        return bare.lower()
    for mark, reason in _UNFIT:
        if mark.search(name):
            raise ConfigError(f"hosts: {_shown(name)} is not a host name, {reason}: {_NAMES}", option="hosts")
    return name.lower()


def _shown(name: str) -> str:
    """Return the part of a possible URL that is safe to show: no credentials, no query."""
    return repr(name.rpartition("@")[2].partition("?")[0][:80])


def _is_ipv6(text: str) -> bool:
    from ipaddress import AddressValueError, IPv6Address

    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False


def _limits(where: str, given: object) -> Limits:
    """Read the limits of one host from a plain dict; errors name its place."""
    if not isinstance(given, Mapping):
        raise checks.wrong(where, given, "Limits(...), or a dict of rate_limit and concurrency")
    table = checks.keys(where, given, ("rate_limit", "concurrency"))
    if table.get("rate_limit") is not None:
        table["rate_limit"] = rates.rate_limit(f"{where}.rate_limit", table["rate_limit"])
    if table.get("concurrency") is not None:
        checks.count_or_auto(f"{where}.concurrency", table["concurrency"])
    return Limits(**table)  # type: ignore[arg-type]  # checked above
