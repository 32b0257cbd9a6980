"""A job's counters while it runs: one live line on a terminal, or a plain line now and then."""

import sys
from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from hurtle.options import Options
from hurtle.report.bottleneck import Lately, Waits, verdict
from hurtle.report.text import bytes_text, rate_text, seconds_text

if TYPE_CHECKING:
    from hurtle._engine import Progress

PLAIN_EVERY_S = 5.0
"""Seconds between two plain lines."""

RATE_OVER_S = 3.0
"""Seconds over which rates are averaged."""

ETA_OVER_S = 30.0
"""Seconds over which the rate for the ETA is averaged: between two windows of a quota, nothing comes."""

GAP = "  "
"""Between two parts of a line."""


class ProgressView(Protocol):
    """Shows counters."""

    def resume(self, rows: int) -> None:
        """Expect so many rows fewer: the output has them already."""

    def update(self, counters: "Progress") -> None:
        """Show the counters of this moment."""

    def close(self) -> None:
        """Leave the terminal as it was. Idempotent."""


def open_progress(total: int | None, options: Options, stream: TextIO | None = None) -> ProgressView:
    """Return the view that fits the stream.

    Args:
        total: How many rows to expect, for the ETA; None if unknown.
        options: The options in force, to say what limits the job.
        stream: Where to write; stderr when None.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        try:
            return LiveProgress(total, options, stream)
        except ImportError:
            pass  # without rich, use the plain line
    return PlainProgress(total, options, stream)


class Pace(NamedTuple):
    """How fast a job is.

    Attributes:
        per_s: Rows per second over RATE_OVER_S.
        bytes_per_s: Bytes per second over RATE_OVER_S.
        steady_per_s: Rows per second over ETA_OVER_S.
    """

    per_s: float
    bytes_per_s: float
    steady_per_s: float


class Rates:
    """Requests and bytes per second over the last seconds. Takes the time as an argument."""

    def __init__(self, now: float, over_s: float) -> None:
        self._over_s = over_s
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)])

    def add(self, now: float, done: int, size: int) -> tuple[float, float]:
        """Add the counters of this moment and return (rows per second, bytes per second)."""
        samples = self._samples
        samples.append((now, done, size))
        while len(samples) > 2 and samples[1][0] <= now - self._over_s:
            samples.popleft()
        then, done_then, size_then = samples[0]
        span = now - then
        if span <= 0:
            return 0.0, 0.0
        # What had come of a body that was cut does not count until the body is whole.
        return (done - done_then) / span, max(0, size - size_then) / span


class Recent:
    """The rates and the bottleneck of the last seconds. Takes the time as an argument.

    Args:
        options: The options in force.
        now: When the job began.
    """

    def __init__(self, options: Options, now: float) -> None:
        self._options = options
        self._began = now
        self._rates = Rates(now, RATE_OVER_S)
        self._steady = Rates(now, ETA_OVER_S)
        self._lately = Lately()

    def add(self, now: float, counters: "Progress") -> tuple[Pace, str | None]:
        """Add the counters of this moment; return the pace, and in a few words what limits the job."""
        size = counters.bytes_wire + counters.bytes_coming
        steady_per_s, _ = self._steady.add(now, counters.done, size)
        pace = Pace(*self._rates.add(now, counters.done, size), steady_per_s)
        found = verdict(self._lately.add(Waits.of(counters, now - self._began)), self._options)
        return pace, None if found is None else found.headline


def progress_parts(counters: "Progress", total: int | None, pace: Pace) -> list[str]:
    """Return the parts of the line: done, ok, failed, in flight, rates, ETA."""
    done = f"{counters.done:,}" if total is None else f"{counters.done:,}/{total:,}"
    parts = [
        f"{done} done",
        f"{counters.ok:,} ok",
        f"{counters.failed:,} failed",
        f"{counters.in_flight:,} in flight",
        f"{rate_text(pace.per_s)} requests/s",
        f"{bytes_text(pace.bytes_per_s)}/s",
    ]
    if total is not None and pace.steady_per_s > 0 and counters.done < total:
        parts.append(f"ETA {seconds_text((total - counters.done) / pace.steady_per_s)}")
    return parts


def filled(parts: Iterable[str], width: int) -> str:
    r"""Return the parts in as few lines as a width allows. A part is never cut in two.

    Example:
        >>> filled(["1 done", "1 ok", "ETA 3 s"], 14)
        '1 done  1 ok\nETA 3 s'
    """
    lines = [""]
    for part in parts:
        longer = GAP.join(filter(None, (lines[-1], part)))
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def _fewer(total: int | None, rows: int) -> int | None:
    return None if total is None else max(0, total - rows)


class PlainProgress:
    """A line every few seconds: for logs and pipes."""

    def __init__(self, total: int | None, options: Options, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        now = monotonic()
        self._recent = Recent(options, now)
        self._due = now + PLAIN_EVERY_S

    def resume(self, rows: int) -> None:
        """Expect so many rows fewer."""
        self._total = _fewer(self._total, rows)

    def update(self, counters: "Progress") -> None:
        """Write a line when one is due."""
        now = monotonic()
        pace, limited_by = self._recent.add(now, counters)
        if now >= self._due:
            self._due = now + PLAIN_EVERY_S
            parts = progress_parts(counters, self._total, pace)
            self._stream.write(GAP.join(filter(None, (*parts, limited_by))) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to restore."""


class LiveProgress:
    """One line that rich overwrites; more if the terminal is too narrow."""

    def __init__(self, total: int | None, options: Options, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._total = total
        self._recent = Recent(options, monotonic())
        self._console = Console(file=stream)
        self._live: Live | None = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def resume(self, rows: int) -> None:
        """Expect so many rows fewer."""
        self._total = _fewer(self._total, rows)

    def update(self, counters: "Progress") -> None:
        """Redraw the line."""
        if self._live is None:
            return
        from rich.text import Text

        pace, limited_by = self._recent.add(monotonic(), counters)
        parts = progress_parts(counters, self._total, pace)
        line = filled(filter(None, (*parts, limited_by)), self._console.width)
        text = Text(line, no_wrap=True, overflow="ellipsis")
        if counters.failed:
            text.highlight_words([f"{counters.failed:,} failed"], "red")
        self._live.update(text, refresh=True)

    def close(self) -> None:
        """Remove the line and show the cursor again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
