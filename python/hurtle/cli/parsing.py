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

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the arguments, all of them known; unknown flags are named without their values: secrets.

        Raises:
            ConfigError: The arguments are wrong.
        """
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            self.error("unrecognized arguments" + ": " * bool(flags) + " ".join(flags) + self._meant(flags))
        return given, unknown

    def _meant(self, flags: list[str]) -> str:
        """Return the known flag that is closest to the first unknown one."""
        from difflib import get_close_matches

        close = get_close_matches(flags[0], self._option_string_actions, n=1) if flags else []
        return f"; did you mean {close[0]}" if close else ""


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
