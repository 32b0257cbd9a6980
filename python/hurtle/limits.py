"""Limits of some hosts, which hosts share limits, and how to name hosts. Pure functions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict

from hurtle import checks, rates
from hurtle.errors import ConfigError

Concurrency: TypeAlias = int | Literal["auto"]
"""Requests in flight; "auto": as many as the hosts tolerate, judged by their responses."""

LimitBy: TypeAlias = Literal["host", "domain", "ip"]
"""Which requests count together against the limits of one host."""

WAYS: tuple[LimitBy, ...] = ("host", "domain", "ip")


class LimitsDict(TypedDict, total=False):
    """`Limits` as a plain dict or a table of a TOML file."""

    rate_limit: rates.RateSpec | None
    concurrency: Concurrency | None
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of some hosts that differ from those of all hosts.

    Args:
        rate_limit: Like the option `rate_limit_per_host`; "none" lifts the limit. None: as for all hosts.
        concurrency: Requests in flight, or "auto". None: as for all hosts.
        shared: Whether the hosts that these limits are for have them together; False: each for itself.

    Example:
        >>> Limits(rate_limit="100/min", concurrency=2)
        Limits(rate_limit=Rate(count=100, per=60.0, burst=1), concurrency=2, shared=False)
    """

    rate_limit: rates.RateSpec | None = None
    concurrency: Concurrency | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        """Check all, and normalize the rate."""
        checks.flag("limits.shared", self.shared)
        if self.rate_limit is not None:
            limit = rates.rate_limit("limits.rate_limit", self.rate_limit)
            object.__setattr__(self, "rate_limit", limit)
        if self.concurrency is not None:
            checks.count_or_auto("limits.concurrency", self.concurrency)


HostLimits: TypeAlias = Mapping[str, Limits | LimitsDict]
"""Limits by host name, or by several names with commas between them; `*.example.com` means every name below
example.com."""

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


def read_limits(named: Mapping[str, Any]) -> dict[str, Any]:
    """Read the rates and the limits of hosts among options by their public names.

    Raises:
        ConfigError: A value is wrong.
    """
    values: dict[str, Any] = {}
    for name in ("rate_limit", "rate_limit_per_host"):
        if named.get(name) is not None:
            limit = rates.rate_limit(name, named[name])
            values[name] = None if limit == "none" else limit
    if named.get("hosts") is not None:
        values["hosts"] = host_limits(named["hosts"])
    return values


def host_limits(hosts: object) -> tuple[tuple[str, Limits], ...]:
    """Read limits by host name.

    Args:
        hosts: As in `HostLimits`.

    Returns:
        Names and limits: one name each, or with `shared` all names of the entry, separated by ", ". Names are
        in lower case, IPv6 addresses without brackets. The engine normalizes them further, as in URLs (IDNA,
        other spellings of an address).

    Raises:
        ConfigError: A name is not a host name, a host is listed twice, a single host shares its limits, or a
            key or value is wrong.
    """
    if not isinstance(hosts, Mapping):
        example = 'limits by host name, such as {"example.com": Limits(concurrency=2)}'
        raise checks.wrong("hosts", hosts, example)
    found: list[tuple[str, Limits]] = []
    listed: dict[str, str] = {}
    for written, given in hosts.items():
        names = _names_of(written)
        for name in names:
            if name in listed:
                raise ConfigError(_twice(name, listed[name], written), option="hosts")
            listed[name] = written
        limits = given if isinstance(given, Limits) else _limits(f'hosts["{written}"]', given)
        if not limits.shared:
            found += ((name, limits) for name in names)
            continue
        if len(names) == 1 and not names[0].startswith("*."):
            raise ConfigError(
                f"hosts: {written!r} is a single host, and no other shares its limits: leave out shared, or"
                ' name the others too, as in "a.example, b.example"',
                option="hosts",
            )
        found.append((", ".join(names), limits))
    return tuple(found)


def _names_of(written: object) -> list[str]:
    """Split an entry of several names, and check each."""
    if not isinstance(written, str) or "," not in written:
        return [host_name(written)]
    names = [name.strip() for name in written.split(",")]
    if "" in names:
        where = _shown(written)
        raise ConfigError(f"hosts: {where} has a comma with no host name before or after it", option="hosts")
    return [host_name(name) for name in names]


def is_shared(group: str) -> bool:
    """Whether a group, named as in `host_limits`, is an entry whose hosts share their limits."""
    return ", " in group or group.startswith("*.")


def _twice(name: str, first: str, second: str) -> str:
    where = f"in {first!r}" if first == second else f"as {first!r} and as {second!r}"
    return f"hosts: {name!r} is listed twice, {where}: it can have one entry only"


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
        raise checks.wrong(where, given, "Limits(...), or a dict of rate_limit, concurrency and shared")
    table = checks.keys(where, given, ("rate_limit", "concurrency", "shared"))
    if table.get("rate_limit") is not None:
        table["rate_limit"] = rates.rate_limit(f"{where}.rate_limit", table["rate_limit"])
    if table.get("concurrency") is not None:
        checks.count_or_auto(f"{where}.concurrency", table["concurrency"])
    checks.flag(f"{where}.shared", table.get("shared", False))
    return Limits(**table)  # type: ignore[arg-type]  # checked above
