"""A job's counters while it runs: one live line on a terminal, or a plain line now and then."""

import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO

from hurtle.options import Options
from hurtle.report.bottleneck import Lately, Waits, verdict
from hurtle.report.text import bytes_text, rate_text, seconds_text

if TYPE_CHECKING:
    from hurtle._engine import Progress

PLAIN_EVERY_S = 5.0
"""Seconds between two plain lines."""

RATE_OVER_S = 3.0
"""Seconds over which rates are averaged."""

GAP = "  "
"""Between two parts of a line."""


class ProgressView(Protocol):
    """Shows counters."""

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


class Rates:
    """Requests and bytes per second over the last seconds. Takes the time as an argument."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int, int]] = deque([(now, 0, 0)])

    def add(self, now: float, done: int, size: int) -> tuple[float, float]:
        """Add the counters of this moment and return (rows per second, bytes per second)."""
        samples = self._samples
        samples.append((now, done, size))
        while len(samples) > 2 and samples[1][0] <= now - RATE_OVER_S:
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
        self._rates = Rates(now)
        self._lately = Lately()

    def add(self, now: float, counters: "Progress") -> tuple[tuple[float, float], str | None]:
        """Add the counters of this moment; return the rates, and in a few words what limits the job."""
        rates = self._rates.add(now, counters.done, counters.bytes_wire + counters.bytes_coming)
        found = verdict(self._lately.add(Waits.of(counters, now - self._began)), self._options)
        return rates, None if found is None else found.headline


def progress_text(counters: "Progress", total: int | None, rates: tuple[float, float]) -> str:
    """Return the one line: done, ok, failed, in flight, rates, ETA."""
    per_s, bytes_per_s = rates
    done = f"{counters.done:,}" if total is None else f"{counters.done:,}/{total:,}"
    parts = [
        f"{done} done",
        f"{counters.ok:,} ok",
        f"{counters.failed:,} failed",
        f"{counters.in_flight:,} in flight",
        f"{rate_text(per_s)} requests/s",
        f"{bytes_text(bytes_per_s)}/s",
    ]
    if total is not None and per_s > 0 and counters.done < total:
        parts.append(f"ETA {seconds_text((total - counters.done) / per_s)}")
    return GAP.join(parts)


class PlainProgress:
    """A line every few seconds: for logs and pipes."""

    def __init__(self, total: int | None, options: Options, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        now = monotonic()
        self._recent = Recent(options, now)
        self._due = now + PLAIN_EVERY_S

    def update(self, counters: "Progress") -> None:
        """Write a line when one is due."""
        now = monotonic()
        rates, limited_by = self._recent.add(now, counters)
        if now >= self._due:
            self._due = now + PLAIN_EVERY_S
            line = progress_text(counters, self._total, rates)
            self._stream.write(GAP.join(filter(None, (line, limited_by))) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to restore."""


class LiveProgress:
    """One line that rich overwrites; two lines if the terminal is too narrow."""

    def __init__(self, total: int | None, options: Options, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._total = total
        self._recent = Recent(options, monotonic())
        self._console = Console(file=stream)
        self._live: Live | None = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self, counters: "Progress") -> None:
        """Redraw the line."""
        if self._live is None:
            return
        from rich.text import Text

        rates, limited_by = self._recent.add(monotonic(), counters)
        line = progress_text(counters, self._total, rates)
        if limited_by:
            fits = len(line) + len(GAP) + len(limited_by) <= self._console.width
            line += (GAP if fits else "\n") + limited_by
        text = Text(line, no_wrap=True, overflow="ellipsis")
        if counters.failed:
            text.highlight_words([f"{counters.failed:,} failed"], "red")
        self._live.update(text, refresh=True)

    def close(self) -> None:
        """Remove the line and show the cursor again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
