"""Which rows of a run are requested again, and what every sink of a rerun does."""

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
from hurtle.sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The rows that a rerun requests again.

    Attributes:
        wanted: Their positions; of a rerun that is resumed, those that are left.
        withheld: How many more rows match, which may have been sent already: they need consent.
        is_resumed: Whether a rerun that was interrupted is resumed.
        resumed: How many rows of it are committed already.
        resumed_failed: How many of those are not ok.
    """

    wanted: Done
    withheld: int = 0
    is_resumed: bool = False
    resumed: int = 0
    resumed_failed: int = 0


class RerunSink(Sink):
    """Takes the rows of a rerun. It is open already: call `begin`, or `release` if nothing is to be sent.

    Attributes:
        shown: What to call the output in messages.
        record: What the run is; empty where that was not recorded.
        picked: The rows that are requested again.
    """

    shown: str
    record: Record
    picked: Picked

    @abstractmethod
    def run(self) -> Run:
        """Return the run with what this rerun has committed so far."""

    def seen(self, source: Source) -> Source:
        """Return the input of the run as its sink wants to see it: a download names its files by it."""
        return source

    @abstractmethod
    def release(self) -> None:
        """Let others use the output; nothing was sent."""

    def rows(self) -> Iterator[StoredRow]:
        """Yield the newest row of each request that is sent again, without its body."""
        columns, wanted = (
            ("index", "id", "meta", "method", "url", "error", "error_detail"),
            self.picked.wanted,
        )
        return (row for chunk in self.run().chunks(columns) for row in chunk if row["index"] in wanted)


def pick(run: Run, expression: str, *, resend_unknown: bool) -> Picked:
    """Return the rows of which an expression is true.

    Args:
        run: Has the rows.
        expression: See `Where`.
        resend_unknown: Whether to pick also requests that may have been sent.

    Raises:
        ConfigError: It is no expression over the scalar columns.
    """
    wanted, withheld = Done(), 0
    with Where(expression) as where:
        for chunk in run.chunks({*where.columns, "error"}):
            # Consent is not part of the expression: no expression can give it.
            unknown = {row["index"] for row in chunk if row["error"] == SENT_UNKNOWN}
            for index in where.picked(chunk):
                if index in unknown and not resend_unknown:
                    withheld += 1
                else:
                    wanted.add(index)
    return Picked(wanted=wanted, withheld=withheld)


def not_ended(shown: str, where: str) -> ConfigError:
    """Make the error for a rerun that has to end before another one begins."""
    return ConfigError(
        f"a retry of {shown} where {where!r} has not ended: the same call resumes it,"
        " --restart (restart=True) picks rows again",
        option="where",
    )


def run_not_ended(shown: str) -> ConfigError:
    """Make the error for a run that has not ended: some of its rows are missing."""
    return ConfigError(
        f"the run in {shown} has not ended: the command that started it resumes it", option="out"
    )


def done_of(indexes: Iterable[int]) -> Done:
    """Return positions as a set."""
    return Done((index, index) for index in indexes)


def all_but(wanted: Done) -> Done:
    """Return all positions that are not wanted, up to the last one that is."""
    return Done(_gaps(wanted.spans()))


def _gaps(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield what is between spans, from 0 on."""
    begin = 0
    for first, last in spans:
        if first > begin:
            yield begin, first - 1
        begin = last + 1
