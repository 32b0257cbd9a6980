"""Which rows of a run are asked for again, and what every retry of them does."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hurtle.client.remaining import SENT_UNKNOWN
from hurtle.errors import ConfigError
from hurtle.formats.row_json import StoredRow
from hurtle.outputs.record import Record
from hurtle.positions import Done, Span
from hurtle.runs.run import Run
from hurtle.runs.where import Where
from hurtle.sinks.base import Sink


class RetrySink(Sink):
    """Takes the rows of a retry. Open already: `begin`, or `release` where it does not come to that.

    Attributes:
        shown: What to call the output in messages.
        wanted: The positions that are asked for again; of a retry that is gone on with, those that are left.
        withheld: As of `Picked`; 0 for a retry that is gone on with.
    """

    shown: str
    wanted: Done
    withheld: int = 0

    @property
    @abstractmethod
    def goes_on(self) -> bool:
        """Whether it goes on with a retry that was interrupted."""

    @property
    @abstractmethod
    def resumed(self) -> int:
        """How many rows of it are committed already."""

    @property
    @abstractmethod
    def resumed_failed(self) -> int:
        """How many of those are not ok."""

    @property
    @abstractmethod
    def record(self) -> Record:
        """What the run is; empty where nobody recorded it."""

    @abstractmethod
    def run(self) -> Run:
        """Return the run with what this retry has committed so far."""

    @abstractmethod
    def release(self) -> None:
        """Let others use the output; nothing was sent."""

    def rows(self) -> Iterator[StoredRow]:
        """Yield the newest row of each request that is asked for again, without its body."""
        columns = ("index", "id", "meta", "method", "url", "error", "error_detail")
        return (row for chunk in self.run().chunks(columns) for row in chunk if row["index"] in self.wanted)

    def others(self) -> Done:
        """Return all positions that are not asked for again, up to the last one that is."""
        return Done(_gaps(self.wanted.spans()))


@dataclass(frozen=True, slots=True)
class Picked:
    """What an expression picks.

    Attributes:
        wanted: The positions to ask for again.
        withheld: How many more it is true of, which may have been sent: nobody consented to send them again.
    """

    wanted: Done
    withheld: int


def picked(run: Run, expression: str, *, resend_unknown: bool) -> Picked:
    """Return the positions to ask for again.

    Args:
        run: Of which rows.
        expression: See `Where`.
        resend_unknown: Whether to pick also requests that may have been sent.

    Raises:
        ConfigError: It is no expression over the scalar columns.
    """
    wanted, withheld = Done(), 0
    with Where(expression) as where:
        for chunk in run.chunks({*where.columns, "error"}):
            # Consent is no part of the expression: nothing that is written there can give it.
            unknown = {row["index"] for row in chunk if row["error"] == SENT_UNKNOWN}
            for index in where.picked(chunk):
                if index in unknown and not resend_unknown:
                    withheld += 1
                else:
                    wanted.add(index)
    return Picked(wanted, withheld)


def not_ended(shown: str, where: str) -> ConfigError:
    """Make the error for a retry that stands in the way of another one."""
    return ConfigError(
        f"a retry of {shown} where {where!r} has not ended: the same goes on with it,"
        " --restart (restart=True) picks anew",
        option="where",
    )


def run_not_ended(shown: str) -> ConfigError:
    """Make the error for a run that has not ended: its rows are not all there."""
    return ConfigError(
        f"the run in {shown} has not ended: the command that began it goes on with it", option="out"
    )


def done_of(indexes: Iterable[int]) -> Done:
    """Return positions as a set."""
    return Done((index, index) for index in indexes)


def _gaps(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield what is between spans, from 0 on."""
    begin = 0
    for first, last in spans:
        if first > begin:
            yield begin, first - 1
        begin = last + 1
