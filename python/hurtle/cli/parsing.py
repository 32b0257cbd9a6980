"""How arguments are read: mistakes and reserved flags are errors in one sentence."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from hurtle.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one sentence, like every other usage error."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Return the arguments; unknown flags are named without their values, which may be secrets.

        Raises:
            ConfigError: The arguments are wrong.
        """
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            self.error("unrecognized arguments" + ": " * bool(flags) + " ".join(flags))
        return given


class Unavailable(argparse.Action):
    """A flag with a reserved name: refused with a message instead of being read as a URL."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the four are argparse's
        namespace: argparse.Namespace,  # noqa: ARG002
        values: str | Sequence[Any] | None,  # noqa: ARG002
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Refuse the flag.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{'/'.join(self.option_strings)} is not available in this version")
