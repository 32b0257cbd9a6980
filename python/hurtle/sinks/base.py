"""What every sink does: begin or go on with a run, take rows, and end."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from hurtle import checks
from hurtle.client import Rows
from hurtle.errors import ConfigError
from hurtle.journal import Done

Resume: TypeAlias = Literal["auto", "trust", "refuse", "restart"]
"""What to do with an output that holds a run that has not ended.

"auto" goes on with it if it is provably the same; "trust" takes the caller's word for an input that cannot be
compared; "refuse" never goes on; "restart" drops it and begins again.
"""


def resume_mode(resume: bool | None, restart: bool) -> Resume:
    """Return what the two arguments of `run` ask for together.

    Raises:
        ConfigError: They contradict each other, or are not what they may be.
    """
    if resume is not None and not isinstance(resume, bool):
        raise checks.wrong("resume", resume, "True, False or None; restart=True begins again")
    checks.flag("restart", restart)
    if restart and resume:
        raise ConfigError("resume=True and restart=True are given; give one of them", option="restart")
    if restart:
        return "restart"
    return "auto" if resume is None else ("trust" if resume else "refuse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a run is, as far as its rows depend on it: two runs of equal identity would write the same.

    Attributes:
        input: Size and hash of the input; None where it can be read once only.
        options: Options that shape requests and rows, by name. No secrets: hashes of values that may be one.
        path: Where the input is, for a later retry. No part of what two runs are compared by.
        since: Name, size and hash of the earlier run that this one refreshes; None: it refreshes none.
        ordered: Whether rows are written in the order of the input. A run may go on without it, and not with
            it where it was without.
    """

    input: Mapping[str, object] | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    path: str | None = None
    since: Mapping[str, object] | None = None
    ordered: bool = False


class Sink(ABC):
    """Takes the rows of a run: `begin`, then `write` for each batch, then `close`, `leave` or `abort`.

    What is committed survives whatever happens to the process. Not for several threads at once.

    Attributes:
        records_exchanges: Whether it wants what went over the wire with each row.
    """

    records_exchanges: bool = False

    @abstractmethod
    def begin(self, identity: Identity, resume: Resume) -> Done:
        """Begin a run, or go on with the one that the output holds.

        Returns:
            Positions of the input whose rows are committed already.

        Raises:
            ConfigError: The output cannot be written there, another run uses it, or it holds one that must
                not be gone on with; the difference is named.
            MissingExtraError: The format needs an optional package.
        """

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Take rows.

        Raises:
            SinkError: The disk is full, or the output is gone.
            JournalError: What is done could not be recorded.
        """

    @property
    def ledger_path(self) -> Path | None:
        """Where to note requests that must not be sent twice, beside what is committed.

        The file lives and dies with the run. None: the output holds no run that can be gone on with.
        """
        return None

    @property
    def ledger_elsewhere(self) -> str | None:
        """Where what an earlier run may have sent is noted, if not where it can be read: words for a message.

        None: it is in `ledger_path`, or there is no need. `ledger_path` is None where this is not.
        """
        return None

    def take_ledger(self) -> None:
        """Note in `ledger_path` from now on: the caller lets be sent again what may have been sent.

        Raises:
            SinkError: That could not be recorded.
        """
        return

    def tick(self) -> None:
        """Commit what has waited long enough. Called now and then, also when no rows come.

        Raises:
            SinkError, JournalError: As `write`.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """Commit what is left and complete the output. Idempotent.

        Raises:
            SinkError, JournalError: As `write`.
        """

    @abstractmethod
    def leave(self) -> str | None:
        """Commit what is left of a run that was interrupted, so that another can go on with it.

        Returns:
            Where the run waits; None where it cannot be gone on with.

        Raises:
            SinkError, JournalError: As `write`.
        """

    @abstractmethod
    def abort(self) -> str | None:
        """Drop what is not committed. Never raises. Idempotent.

        Returns:
            As `leave`, the first time.
        """
