"""The result of a race: the numbers, apart from how they are shown."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hurtle.race.attempt import Attempt
from hurtle.race.method import Method

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contestant's line. Either `error` is None, or the figures are."""

    name: str
    what: str
    """A few words about the contestant."""
    is_reference: bool = False
    """A native tool: only for comparison, because it does not deliver answers to a program."""
    keeps_bodies: bool = True
    """False: it discards the bodies, so only the answers were counted."""
    seconds: float | None = None
    """The median of the rounds."""
    rounds: tuple[float, ...] = ()
    """The seconds of every round."""
    requests_per_s: float | None = None
    cpu_us_per_request: float | None = None
    peak_rss_bytes: int | None = None
    bytes: int | None = None
    """Of all bodies of one round."""
    error: str | None = None
    """Why there are no figures; begins with `skipped:` if the contestant was not started."""

    @classmethod
    def of(cls, method: Method, attempts: Sequence[Attempt], requests: int) -> "Row":
        """Sum up the runs of one contestant; one failed run fails the row."""
        error = next((attempt.error for attempt in attempts if attempt.error is not None), None)
        seconds = [attempt.seconds for attempt in attempts if attempt.seconds is not None]
        if error is not None or not seconds:
            return cls.without_figures(method, error or "was not run")
        middle = statistics.median(seconds)
        cpu_s = [attempt.cpu_seconds for attempt in attempts if attempt.cpu_seconds is not None]
        peaks = [attempt.peak_rss_bytes for attempt in attempts if attempt.peak_rss_bytes]
        return cls(
            name=method.name,
            what=method.what,
            is_reference=method.is_reference,
            keeps_bodies=method.keeps_bodies,
            seconds=middle,
            rounds=tuple(seconds),
            requests_per_s=requests / middle,
            cpu_us_per_request=statistics.median(cpu_s) / requests * 1e6 if cpu_s else None,
            peak_rss_bytes=max(peaks, default=None),
            bytes=attempts[0].body_bytes,
        )

    @classmethod
    def without_figures(cls, method: Method, error: str) -> "Row":
        """Return the row of a contestant that failed or was not started."""
        return cls(
            name=method.name,
            what=method.what,
            is_reference=method.is_reference,
            keeps_bodies=method.keeps_bodies,
            error=error,
        )

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the row for JSON."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "requests_per_s": self.requests_per_s,
            "cpu_us_per_request": self.cpu_us_per_request,
            "peak_rss_bytes": self.peak_rss_bytes,
            "bytes": self.bytes,
            "error": self.error,
            "rounds": list(self.rounds),
            "keeps_bodies": self.keeps_bodies,
            "reference": self.is_reference,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceResult:
    """The result of a race. A notebook shows it as a chart; `str()` returns its table."""

    rows: tuple[Row, ...]
    """Every contestant, in the order in which they start."""
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    method: Mapping[str, JsonValue]
    """What was fetched and how it was measured."""

    @property
    def ranking(self) -> list[Row]:
        """The rows that have figures, the fastest first, the native tools among them."""
        return sorted((row for row in self.rows if row.error is None), key=lambda row: row.seconds or 0.0)

    @property
    def without_figures(self) -> list[Row]:
        """The rows that failed or were skipped."""
        return [row for row in self.rows if row.error is not None]

    @property
    def winner(self) -> Row | None:
        """The fastest contestant that is not a native tool."""
        return next((row for row in self.ranking if not row.is_reference), None)

    def times_slower(self, row: Row) -> float | None:
        """Return how many times as long as the winner a contestant took."""
        winner = self.winner
        if winner is None or not winner.seconds or row.seconds is None:
            return None
        return row.seconds / winner.seconds

    def to_dict(self) -> dict[str, JsonValue]:
        """Return everything as one object for JSON."""
        return {
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "method": dict(self.method),
            "results": [row.to_dict() for row in self.rows],
        }

    def to_json(self) -> str:
        """Return everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_html(self) -> str:
        """Return one self-contained page with the chart: no script, no network."""
        from hurtle.race.page import page

        return page(self)

    def _repr_html_(self) -> str:
        from hurtle.race.page import fragment

        return fragment(self)

    def __str__(self) -> str:
        from hurtle.race.terminal import table_text

        return table_text(self)
