"""A job's counters while it runs: one live line on a terminal, a plain line now and then elsewhere."""

import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO

from hurtle.report.text import bytes_text, rate_text, seconds_text

if TYPE_CHECKING:
    from hurtle._engine import Progress

PLAIN_EVERY_S = 5.0
"""Seconds between two plain lines."""

RATE_OVER_S = 3.0
"""Seconds over which the rates are averaged."""


class ProgressView(Protocol):
    """Shows counters."""

    def update(self, counters: "Progress") -> None:
        """Show the counters of this moment."""

    def close(self) -> None:
        """Leave the terminal as it was. Idempotent."""


def open_progress(total: int | None, stream: TextIO | None = None) -> ProgressView:
    """Return the view that fits the stream.

    Args:
        total: How many rows will come, for the ETA; None where nobody knows.
        stream: Where to write; stderr when None.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        try:
            return LiveProgress(total, stream)
        except ImportError:
            pass  # without rich a plain line serves
    return PlainProgress(total, stream)


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
        return (done - done_then) / span, (size - size_then) / span


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
    return "  ".join(parts)


class PlainProgress:
    """A line every few seconds: for logs and pipes."""

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        now = monotonic()
        self._rates = Rates(now)
        self._due = now + PLAIN_EVERY_S

    def update(self, counters: "Progress") -> None:
        """Write a line when it is time."""
        now = monotonic()
        rates = self._rates.add(now, counters.done, counters.bytes_wire)
        if now >= self._due:
            self._due = now + PLAIN_EVERY_S
            self._stream.write(progress_text(counters, self._total, rates) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class LiveProgress:
    """One line that is written over, by rich."""

    def __init__(self, total: int | None, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._total = total
        self._rates = Rates(monotonic())
        self._live: Live | None = Live(console=Console(file=stream), auto_refresh=False, transient=True)
        self._live.start()

    def update(self, counters: "Progress") -> None:
        """Write the line anew."""
        if self._live is None:
            return
        from rich.text import Text

        rates = self._rates.add(monotonic(), counters.done, counters.bytes_wire)
        line = Text(progress_text(counters, self._total, rates), no_wrap=True, overflow="ellipsis")
        if counters.failed:
            line.highlight_words([f"{counters.failed:,} failed"], "red")
        self._live.update(line, refresh=True)

    def close(self) -> None:
        """Take the line away and show the cursor again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
