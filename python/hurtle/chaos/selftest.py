"""Runs hurtle against every case, with healthy requests in between, and says case by case how it ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hurtle.api import Client
from hurtle.chaos.case import OK, Case
from hurtle.chaos.server import ChaosServer
from hurtle.chaos.table import CASES
from hurtle.models import Request
from hurtle.testing import Server

if TYPE_CHECKING:
    from hurtle._engine import Response

OPTIONS: dict[str, Any] = {"timeout": 10, "retries": 0, "max_body_size": 16 << 20, "progress": False}
"""The options of every case that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a case ended.

    Attributes:
        case: The case.
        ends: How the rows of its requests ended, without repetition: error codes, "ok" or statuses.
        complaint: What is wrong; None: nothing.
    """

    case: Case
    ends: tuple[str, ...]
    complaint: str | None

    @property
    def passed(self) -> bool:
        """Whether hurtle did what docs/faults.md promises."""
        return self.complaint is None


def run_cases(cases: tuple[Case, ...] = CASES) -> Iterator[Score]:
    """Run the cases on loopback, with healthy requests in between.

    Args:
        cases: The cases to run.

    Yields:
        A score for each case, in this order.

    Raises:
        OSError: The servers could not listen.
    """
    with ChaosServer(cases) as chaos, Server() as healthy:
        trusted = {id: {"verify": path} for id, path in chaos.authorities.items()}  # noqa: A001

        def options_of(case: Case) -> list[tuple[str, Any]]:
            return sorted({**case.options, **trusted.get(case.id, {})}.items(), key=repr)

        for options, some in groupby(cases, key=options_of):
            yield from _scores(tuple(some), dict(options), chaos, healthy)


def _scores(
    cases: tuple[Case, ...], options: dict[str, Any], chaos: ChaosServer, healthy: Server
) -> Iterator[Score]:
    requests = []
    for case in cases:
        requests += [Request(chaos.urls[case.id], method, id=case.id) for method in case.methods]
        requests.append(Request(healthy.url("/bytes/10"), id="healthy"))
    with Client(**(OPTIONS | options)) as client:
        ended = client.fetch(requests)
    bad = next((r for r in ended if r.id == "healthy" and (not r.ok or len(r.content) != 10)), None)
    for case in cases:
        rows = [response for response in ended if response.id == case.id]
        ends = tuple(dict.fromkeys(map(_end, rows)))
        complaint = _complaint(case, rows)
        if bad is not None:
            complaint = complaint or f"a healthy request beside it ended as {_end(bad)}"
        yield Score(case, ends, complaint)


def _end(response: "Response") -> str:
    if response.error is not None:
        return str(response.error.code)
    return OK if response.ok else str(response.status)


def _complaint(case: Case, rows: "list[Response]") -> str | None:
    if len(rows) != len(case.methods):
        return f"{len(rows)} rows for {len(case.methods)} requests"
    for response in rows:
        if (end := _end(response)) not in case.ends:
            return f"ended as {end} instead of {' or '.join(case.ends)}"
        if wrong := case.sees(response):
            return wrong
    return None
