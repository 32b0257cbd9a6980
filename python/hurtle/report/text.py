"""Numbers as text for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurtle.report.summary import Summary

LABEL_WIDTH = 12
NEVER_SENT = ("input.", "local.sent_unknown")
"""Prefixes of the error codes of rows that a run does not send."""

QUANTILES = ("p50", "p95", "p99", "max")


def summary_text(summary: "Summary") -> str:
    """Return a summary as a few aligned lines, without a line end."""
    rate = f", {rate_text(summary.rate_per_s)} requests/s" if summary.requests else ""
    lines = [f"{count_text(summary.requests, 'request')} in {seconds_text(summary.seconds)}{rate}"]
    lines.append(line_text("ok", f"{summary.ok:,}"))
    lines.append(line_text("failed", f"{summary.failed:,}"))
    lines += _counted("status", {str(status): count for status, count in summary.statuses.items()})
    lines += _counted("error", summary.errors)
    for label, quantiles in (("first byte", summary.first_byte), ("total", summary.total)):
        if quantiles:
            parts = [f"{name} {seconds_text(quantiles[name])}" for name in QUANTILES if name in quantiles]
            lines.append(line_text(label, "   ".join(parts)))
    lines.append(line_text("received", _received(summary)))
    extra = summary.attempts - (summary.requests - summary.copied)
    tried = f" ({extra:,} more than requests)" if extra > 0 else ""
    lines.append(line_text("attempts", f"{summary.attempts:,}{tried}"))
    if summary.copied:
        unfit = sum(count for code, count in summary.errors.items() if code.startswith(NEVER_SENT))
        sent = count_text(summary.requests - summary.copied - unfit, "request")
        lines.append(line_text("deduped", f"{sent} sent for {count_text(summary.requests, 'row')}"))
    lines.append(line_text("connections", f"{summary.connections:,}"))
    if summary.resumed:
        failed = f", {summary.resumed_failed:,} of them failed" if summary.resumed_failed else ""
        lines.append(line_text("resumed", f"{count_text(summary.resumed, 'row')} were already there{failed}"))
    if summary.skipped:
        lines.append(line_text("skipped", f"{count_text(summary.skipped, 'blank or comment line')}"))
    if summary.throttled:
        lines.append(line_text("throttled", _throttled(summary)))
    if summary.limited_by:
        lines.append(_limit_line(summary.limited_by))
    return "\n".join(lines)


def _received(summary: "Summary") -> str:
    text = bytes_text(summary.bytes_wire)
    if summary.bytes_body != summary.bytes_wire:
        text += f", {bytes_text(summary.bytes_body)} decoded"
    if summary.bytes_wire and summary.seconds > 0:
        text += f", {bytes_text(summary.bytes_wire / summary.seconds)}/s"
    return text


def _throttled(summary: "Summary") -> str:
    were = "was" if summary.throttled == 1 else "were"
    requests = count_text(summary.throttled, "request")
    waited = f", {seconds_text(summary.throttled_for)} in all" if summary.throttled_for else ""
    return f"{requests} {were} told to wait{waited}"


def _limit_line(limited_by: str) -> str:
    label, rest = limited_by[:LABEL_WIDTH], limited_by[LABEL_WIDTH + 1 :]
    return line_text(label, rest) if label == "throttled by" else line_text("limited by", limited_by)


def line_text(label: str, value: str) -> str:
    """Return a labelled line of a report."""
    return f"  {label:<{LABEL_WIDTH}} {value}"


def _counted(label: str, counts: Mapping[str, int]) -> list[str]:
    """Return a line for each name, the label on the first one only."""
    if not counts:
        return []
    width = max(map(len, counts))
    labels = [label] + [""] * (len(counts) - 1)
    return [
        line_text(head, f"{name:<{width}}  {n:,}")
        for head, (name, n) in zip(labels, counts.items(), strict=True)
    ]


def count_text(number: int, noun: str) -> str:
    """Return a count with its noun: "1 request", "2,000 requests"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate_text(per_s: float) -> str:
    """Return a rate with three significant digits."""
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def seconds_text(seconds: float) -> str:
    """Return a span: "310 µs", "12.3 ms", "4.56 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def bytes_text(size: float) -> str:
    """Return a size in powers of 1,000: "512 B", "1.23 MB"."""
    if size < 999.5:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:,.3g} TB"
