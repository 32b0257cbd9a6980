"""`--config FILE`: options from a TOML file, by their public names."""

import tomllib
from pathlib import Path
from typing import Any

from hurtle.errors import ConfigError
from hurtle.options import ALIASES, Options


def read_options(path: str) -> dict[str, Any]:
    """Read and check the options of a file.

    Top-level keys are options. `[headers]`, `[params]`, `[cookies]`, `[timeout]`, `[retries]` and
    `[hosts."api.example.com"]` are tables. A span of 0 under `timeout` means no limit, as on the command
    line, because TOML has no null.

    Args:
        path: The file.

    Returns:
        The options as `hurtle.fetch(**options)` takes them, with aliases replaced.

    Raises:
        ConfigError: The file is missing, not TOML, or has an unknown key or a wrong value; names the file.
    """
    try:
        options = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    if "timeout" in options:
        options["timeout"] = _without_zeros(options["timeout"])
    try:
        _check_host_tables(options.get("hosts"))
        Options.resolve(options)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}", option=error.option) from error
    return {ALIASES.get(name, name): value for name, value in options.items()}


def _without_zeros(timeout: object) -> object:
    if isinstance(timeout, dict):
        return {name: _without_zeros(limit) for name, limit in timeout.items()}
    return None if timeout == 0 and not isinstance(timeout, bool) else timeout


def _check_host_tables(hosts: object) -> None:
    """Explain a common mistake: without quotes, the dots in a host name make nested tables."""
    for first, table in hosts.items() if isinstance(hosts, dict) else ():
        name = first
        while below := _table_in(table):
            part, table = below
            name += f".{part}"
        if name != first:
            words = f'put a host name with dots in quotes, as in [hosts."{name}"]'
            raise ConfigError(f"[hosts.{name}]: {words}", option="hosts")


def _table_in(table: object) -> tuple[str, object] | None:
    found = table.items() if isinstance(table, dict) else ()
    return next(((name, value) for name, value in found if isinstance(value, dict)), None)
