"""The responses of a `fetch`, in input order."""

from collections.abc import Sequence
from contextlib import aclosing
from operator import attrgetter
from typing import TYPE_CHECKING, Any, overload

from hurtle.client import Transfer
from hurtle.errors import MissingExtraError
from hurtle.options import Options
from hurtle.report.summary import Summary

if TYPE_CHECKING:
    from hurtle._engine import Batch, Response


class Results(Sequence["Response"]):
    """All responses, in input order, with their summary.

    Args:
        batches: The batches they came in.
        responses: Their rows, in any order.
        summary: The numbers of the run.
    """

    __slots__ = ("_batches", "_responses", "_summary")

    def __init__(self, batches: "list[Batch]", responses: "list[Response]", summary: Summary) -> None:
        self._batches = batches
        self._responses = sorted(responses, key=attrgetter("index"))
        self._summary = summary

    @overload
    def __getitem__(self, position: int) -> "Response": ...
    @overload
    def __getitem__(self, position: slice) -> "list[Response]": ...
    def __getitem__(self, position: int | slice) -> "Response | list[Response]":
        """Return the response to the request at this position of the input; a list for a slice."""
        return self._responses[position]

    def __len__(self) -> int:
        """Return how many requests there were."""
        return len(self._responses)

    @property
    def failed(self) -> "list[Response]":
        """The responses that are not ok, in input order."""
        return [response for response in self._responses if not response.ok]

    def summary(self) -> Summary:
        """Return the numbers of the run."""
        return self._summary

    def to_arrow(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return the result table in input order, as a `pyarrow.Table`.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        try:
            import pyarrow
        except ImportError as error:
            raise MissingExtraError("parquet", "to_arrow()") from error
        from hurtle._engine import arrow_schema

        schema = pyarrow.schema(arrow_schema())
        batches = [pyarrow.record_batch(batch) for batch in self._batches]
        return pyarrow.Table.from_batches(batches, schema=schema).sort_by("index")

    def __repr__(self) -> str:
        """Show how many responses there are and how many failed."""
        return f"<Results: {len(self)} responses, {self._summary.failed} failed>"


def gathered(transfer: Transfer, options: Options) -> Results:
    """Take every batch of a transfer, and return all rows.

    Args:
        transfer: Where they come from.
        options: The options in force.

    Raises:
        RequestError: With `on_error="raise"`, the first row's error.
        BaseException: As `Transfer.batches`.
    """
    found = _Gathered(transfer)
    for batch in transfer.batches():
        found.add(batch)
    return found.results(options)


async def agathered(transfer: Transfer, options: Options) -> Results:
    """Do what `gathered` does on the running event loop."""
    found = _Gathered(transfer)
    async with aclosing(transfer.abatches()) as batches:
        async for batch in batches:
            found.add(batch)
    return found.results(options)


class _Gathered:
    """The batches and responses of a transfer, as they arrive."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._batches: list[Batch] = []
        self._responses: list[Response] = []

    def add(self, batch: "Batch") -> None:
        self._responses += self._transfer.checked(batch)
        self._batches.append(batch)

    def results(self, options: Options) -> Results:
        """Return all of them, once the transfer has ended."""
        transfer = self._transfer
        summary = Summary.from_counters(
            transfer.counters(),
            options,
            seconds=transfer.seconds,
            skipped=transfer.skipped,
            copied=transfer.copied,
        )
        return Results(self._batches, self._responses, summary)
