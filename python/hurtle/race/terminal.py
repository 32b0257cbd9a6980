"""A race in a terminal: the line of each contestant, the table, the bars."""

from hurtle.race.attempt import Attempt
from hurtle.race.result import RaceResult, Row
from hurtle.report.text import bytes_text, count_text, rate_text, seconds_text

EIGHTHS = " ▏▎▍▌▋▊▉█"
MOST_WIDTH = 100
LEAST_BAR = 10
BOLD, DIM, GREEN, RESET = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"
HEADINGS = ("contestant", "seconds", "requests/s", "CPU µs/request", "peak memory", "times slower")
NO_FIGURE = "–"


def ended_text(name: str, requests: int, run: Attempt) -> str:
    """Return the line of a run that has ended: "hurtle  download 100 links in 0.519 seconds"."""
    if run.error is not None:
        # A contestant that declines uses the same word as the table.
        return f"{name:<16} {run.error if run.error.startswith('skipped: ') else f'error: {run.error}'}"
    return f"{name:<16} download {count_text(requests, 'link')} in {run.seconds:.3f} seconds"


def table_text(result: RaceResult, *, color: bool = False) -> str:
    """Return the figures as an aligned table, the fastest first, without a line end.

    Args:
        result: The race.
        color: Use the terminal's colours: the winner is highlighted, native tools are dimmed.
    """
    rows = [(row, cells(result, row)) for row in result.ranking]
    every = [HEADINGS, *(texts for _, texts in rows)]
    widths = [max(len(texts[column]) for texts in every) for column in range(len(HEADINGS))]
    lines = [_aligned(HEADINGS, widths)] if rows else []
    lines += [_painted(_aligned(texts, widths), result, row, color=color) for row, texts in rows]
    width = max((len(row.name) for row in result.rows), default=0)
    lines += [f"{row.name:<{width}}  {_reason(row)}" for row in result.without_figures]
    return "\n".join([*lines, *footnotes(result)])


def cells(result: RaceResult, row: Row) -> tuple[str, ...]:
    """Return a row's figures as texts, in the order of `HEADINGS`."""
    slower = result.times_slower(row)
    return (
        row.name + marks(row),
        _seconds(row),
        NO_FIGURE if row.requests_per_s is None else rate_text(row.requests_per_s),
        NO_FIGURE if row.cpu_us_per_request is None else f"{row.cpu_us_per_request:,.0f}",
        NO_FIGURE if row.peak_rss_bytes is None else bytes_text(row.peak_rss_bytes),
        NO_FIGURE if slower is None else f"{slower:.2f}",
    )


def marks(row: Row) -> str:
    """Return the footnote marks of a row."""
    return ("*" if row.is_reference else "") + ("" if row.keeps_bodies else "†")


def footnotes(result: RaceResult) -> list[str]:
    """Return what the marks mean, if there are any, and the lower bound that the latency sets."""
    notes = []
    if floor := _floor_text(result):
        notes.append(floor)
    if any(row.is_reference for row in result.ranking):
        notes.append("* a native tool, to compare with")
    if any(not row.keeps_bodies for row in result.ranking):
        notes.append("† keeps no bodies: answers were counted, sizes not checked")
    return notes


def chart_text(result: RaceResult, width: int, *, color: bool = False) -> str:
    """Return a bar of seconds for each contestant, the fastest first, without a line end.

    Args:
        result: The race.
        width: Columns of the terminal.
        color: Use the terminal's colours.
    """
    ranking = result.ranking
    if not ranking:
        return ""
    names = max(len(row.name) for row in ranking)
    longest = max(row.seconds or 0.0 for row in ranking)
    room = max(LEAST_BAR, min(width, MOST_WIDTH) - names - len(f"  {longest:.3f} s") - 1)
    lines = []
    for row in ranking:
        seconds = row.seconds or 0.0
        bar = _bar(seconds / longest * room if longest else 0.0)
        lines.append(f"{row.name:<{names}} {_painted(bar, result, row, color=color)} {seconds:.3f} s")
    return "\n".join(lines)


def _bar(columns: float) -> str:
    whole, eighths = divmod(max(1, round(columns * 8)), 8)
    return "█" * whole + EIGHTHS[eighths].strip()


def _aligned(texts: tuple[str, ...], widths: list[int]) -> str:
    name, *figures = texts
    return "  ".join(
        [f"{name:<{widths[0]}}", *(f"{text:>{w}}" for text, w in zip(figures, widths[1:], strict=True))]
    )


def _painted(text: str, result: RaceResult, row: Row, *, color: bool) -> str:
    if not color:
        return text
    if row is result.winner:
        return f"{BOLD}{GREEN}{text}{RESET}"
    return f"{DIM}{text}{RESET}" if row.is_reference else text


def _seconds(row: Row) -> str:
    if len(row.rounds) < 2:
        return f"{row.seconds:.3f}"
    return f"{row.seconds:.3f} ({min(row.rounds):.3f}–{max(row.rounds):.3f})"


def _floor_text(result: RaceResult) -> str | None:
    """Return how long the waiting alone takes: within the limit, no contestant can be faster."""
    latency_s, requests = result.method.get("latency_s"), result.method.get("requests")
    connections = result.method.get("connections")
    if not (
        isinstance(latency_s, float | int) and isinstance(requests, int) and isinstance(connections, int)
    ):
        return None
    if not latency_s or not result.ranking:
        return None
    floor_s = -(-requests // connections) * latency_s
    return (
        f"no contestant can be faster than {floor_s:.3f} s: "
        f"{count_text(requests, 'request')}, {connections} at a time, {seconds_text(latency_s)} each"
    )


def _reason(row: Row) -> str:
    error = row.error or ""
    return error if error.startswith("skipped: ") else f"error: {error}"
