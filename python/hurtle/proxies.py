"""Which requests go through which proxy: the option `proxy`, and the environment's variables."""

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from hurtle.errors import ConfigError

ProxySpec: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str] | None] | bool | None
"""One proxy, several that are used in turn, or a mapping from patterns to either (None: directly).

A pattern is `"all"`, `"http"`, `"https"`, a name such as `"api.example.com"`, `"*.example.com"` for the names
below it, or a name with its scheme: `"https://*.example.com"`. The closest pattern decides. False: no proxy,
whatever the environment says.
"""

Routes: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Patterns with the proxies of the requests that fit, none for those that go directly. The first that fits
decides."""


def given_routes(spec: ProxySpec) -> Routes:
    """Return the rules of the option `proxy`. The engine checks each pattern and each proxy.

    Raises:
        ConfigError: The value has another type.
    """
    if spec is None or spec is False:
        return ()
    if isinstance(spec, Mapping):
        rules = []
        for pattern, proxies in spec.items():
            if not isinstance(pattern, str):
                raise _wrong("a pattern is text")
            rules.append((pattern, () if proxies is None else _several(proxies)))
        return tuple(sorted(rules, key=lambda rule: _closeness(rule[0]), reverse=True))
    return (("all", _several(spec)),)


def _several(proxies: object) -> tuple[str, ...]:
    several = (proxies,) if isinstance(proxies, str) else proxies
    if (
        not isinstance(several, Sequence)
        or not several
        or not all(isinstance(one, str) and one for one in several)
    ):
        raise _wrong('a proxy is a URL such as "http://proxy.example:3128"; several are a list of them')
    return tuple(several)


def _closeness(pattern: str) -> tuple[int, int, bool]:
    """Return how many hosts a pattern leaves out: more for longer names, fewer for those below one."""
    scheme, _, host = pattern.rpartition("://")
    if host in ("all", "http", "https"):
        return 0, 0, host != "all"
    return 1 + (not host.startswith("*.")), len(host), bool(scheme)


def _wrong(why: str) -> ConfigError:
    # The value is not shown: it may have a password.
    return ConfigError(f"proxy: {why}", option="proxy")


def environment_routes(environment: Mapping[str, str] = os.environ) -> Routes:
    """Return the rules of `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as curl reads them.

    The name in lower case wins; `HTTP_PROXY` is not read, because a web server may set it from a request's
    header `Proxy`.

    Source: curl(1), "ENVIRONMENT".
    """
    rules: list[tuple[str, tuple[str, ...]]] = []
    for scheme, names in (
        ("http", ("http_proxy",)),
        ("https", ("https_proxy", "HTTPS_PROXY")),
        ("all", ("all_proxy", "ALL_PROXY")),
    ):
        found = next((environment[name] for name in names if environment.get(name)), None)
        if found is not None:
            rules.append((scheme, (found,)))
    if not rules:
        return ()
    text = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    direct = [entry for entry in text.replace(",", " ").split() if entry]
    if "*" in direct:
        return ()
    return (*((_as_pattern(entry), ()) for entry in direct), *rules)


def _as_pattern(entry: str) -> str:
    """Return an entry of `no_proxy` as a pattern: a name stands for itself and all names below it."""
    bare = entry.strip("[]").removeprefix("*.").strip(".")
    if "/" in bare or ":" in bare or bare.replace(".", "").isdigit():
        return bare
    return f".{bare}"
