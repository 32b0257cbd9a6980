"""The reruns of a run, as its folder records them: what each requests again, and whether it has ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hurtle.disk import sha256_of
from hurtle.errors import JournalError
from hurtle.outputs.journal import Journal
from hurtle.positions import Span, Spans

RERUNS = "retries.jsonl"
"""The journal of a run's reruns."""

Digest = dict[str, object]
"""Size and hash of a file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rerun requests again.

    Attributes:
        spans: The positions.
        where: The expression that selected them.
        after: How many parts were committed when it began: later ones are its own.
    """

    spans: Spans
    where: str
    after: int


@dataclass(frozen=True, slots=True)
class Reruns:
    """All reruns of a run.

    Attributes:
        open: The last rerun, if it has not ended.
        first_after: How many parts the run had before the first rerun; None: there was no rerun.
        joined: The file that was to replace the one that the run had become.
    """

    open: Wanted | None
    first_after: int | None
    joined: Digest | None


class RerunLog:
    """Writes and reads the reruns of a run.

    Args:
        folder: The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RERUNS
        self._journal = Journal(self._path)

    def read(self) -> Reruns:
        """Return the reruns so far.

        Raises:
            JournalError: The record is damaged.
        """
        latest: Wanted | None = None
        first: int | None = None
        joined: Digest | None = None
        for entry in self._journal.read():
            try:
                if "wanted" in entry:
                    spans = Spans((int(first), int(last)) for first, last in entry["wanted"])
                    latest = Wanted(spans, str(entry["where"]), int(entry["after"]))
                    first = latest.after if first is None else first
                elif "joined" in entry:
                    joined = dict(entry["joined"])
                else:
                    latest = None
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"{self._path} is damaged: {entry!r:.200}") from error
        return Reruns(latest, first, joined)

    def begin(self, wanted: Wanted) -> None:
        """Record what a rerun requests, before it sends anything.

        Raises:
            JournalError: That could not be recorded.
        """
        self._journal.append(
            {"wanted": _as_lists(wanted.spans), "where": wanted.where, "after": wanted.after}
        )

    def join(self, joined: Digest) -> None:
        """Record the file that is about to replace the old one.

        Raises:
            JournalError: That could not be recorded.
        """
        self._journal.append({"joined": joined})

    def end(self) -> None:
        """Record that the rerun is complete.

        Raises:
            JournalError: That could not be recorded.
        """
        self._journal.append({"ended": True})

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._journal.close()


def digest_of(path: Path) -> Digest:
    """Return size and hash of a file, to recognize it later.

    Raises:
        OSError: The file cannot be read.
    """
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _as_lists(spans: Iterable[Span]) -> list[list[int]]:
    return [[first, last] for first, last in spans]
