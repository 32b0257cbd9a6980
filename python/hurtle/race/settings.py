"""The settings of a race: frozen, and checked on creation."""

import math
from dataclasses import dataclass
from pathlib import Path

from hurtle.errors import ConfigError
from hurtle.race.method import METHODS, Method

POLITE_CONNECTIONS = 20
"""More connections than this to a foreign host cause a warning: many sites answer floods with a ban."""

TOOLS = Path(".race")
"""Where `make race` puts interpreters and packages, relative to the current folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is fetched, by whom, and how often.

    Raises:
        ConfigError: A value is not allowed; the message names the option.
    """

    requests: int | None = None
    """Length of the list; None: 100, or as many as `url_file` names."""
    connections: int = 10
    """The most requests in flight, and the most connections, of every contestant."""
    latency: float = 0.05
    """Seconds before every answer of the built-in server."""
    body_bytes: int = 10_000
    """Size of every body of the built-in server."""
    http: bool = False
    """HTTP instead of HTTPS, on the built-in server."""
    url_file: str | None = None
    """A list of URLs to fetch instead, in any form that `fetch` reads."""
    server: str | None = None
    """One URL to fetch instead, again and again."""
    ca_path: str | None = None
    """The certificate authority of `url_file` and `server`; None: those of the system."""
    only: tuple[str, ...] = ()
    """Names of contestants; none: all."""
    repeat: int = 1
    """Rounds. The contestants take turns in each; the median counts."""
    limit: float = 120.0
    """Seconds after which a contestant is killed."""
    tools: Path = TOOLS
    """Where `make race` has put what contestants need."""

    def __post_init__(self) -> None:
        """Check every value."""
        counts = {"connections": self.connections, "repeat": self.repeat, "body_bytes": self.body_bytes}
        if self.requests is not None:
            counts["requests"] = self.requests
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"{name}={count}: must be at least 1", option=name)
        if not (math.isfinite(self.latency) and self.latency >= 0):
            raise ConfigError(
                f"latency={self.latency}: must be a number of seconds, 0 or more", option="latency"
            )
        if not self.limit > 0:
            raise ConfigError(f"limit={self.limit}: must be more than 0 seconds", option="limit")
        if self.url_file is not None and self.server is not None:
            raise ConfigError("url_file and server are given; give one of them", option="server")
        if self.server is not None and not self.server.lower().startswith(("http://", "https://")):
            raise ConfigError(f"server={self.server!r}: must start with http:// or https://", option="server")
        self.methods()

    def methods(self) -> tuple[Method, ...]:
        """Return the contestants that take part, in their own order.

        Raises:
            ConfigError: No contestant has one of the names.
        """
        known = {method.name for method in METHODS}
        for name in self.only:
            if name not in known:
                raise ConfigError(
                    f"only: there is no contestant {name!r}; choose from {', '.join(sorted(known))}"
                )
        return tuple(method for method in METHODS if not self.only or method.name in self.only)
