"""A plan as text for people."""

from typing import TYPE_CHECKING

from hurtle.report.text import count_text, line_text, seconds_text

if TYPE_CHECKING:
    from hurtle.report.plan import HostPlan, Plan

MOST_HOSTS = 10
"""How many hosts are shown one by one."""


def plan_text(plan: "Plan") -> str:
    """Return a plan as aligned text, without a line end."""
    hosts = count_text(len(plan.hosts), "host")
    least = f", at least {least_text(plan.seconds)}" if plan.seconds else ""
    lines = [f"{count_text(plan.requests, 'request')} to {hosts}{least}"]
    lines += ["  " + plan.critical, *_host_table(plan), ""]
    lines += [line_text("all hosts", _limits_of_all(plan))]
    lines += [line_text("https", f"{plan.https:,}"), line_text("http", f"{plan.http:,}")]
    lines += [line_text("duplicates", _duplicates(plan))]
    if plan.errors:
        unfit = ", ".join(f"{code} {count:,}" for code, count in plan.errors.items())
        lines.append(line_text("not sent", unfit))
    if plan.skipped:
        lines.append(line_text("skipped", count_text(plan.skipped, "blank or comment line")))
    for title, sentences in (("To change", plan.advice), ("Assumed", plan.assumptions)):
        if sentences:
            lines += ["", title, *(f"  {sentence}" for sentence in sentences)]
    return "\n".join(lines)


def least_text(seconds: float) -> str:
    """Return the least time that the limits allow; 0 means that it is unknown."""
    return seconds_text(seconds) if seconds else "unknown"


def _host_table(plan: "Plan") -> list[str]:
    if not plan.hosts:
        return []
    cells = [("host", "requests", "rate limit", "in flight", "at least")]
    cells += [_host_cells(host) for host in plan.hosts[:MOST_HOSTS]]
    if rest := plan.hosts[MOST_HOSTS:]:
        requests = sum(host.requests for host in rest)
        longest = f"up to {seconds_text(rest[0].seconds)}" if rest[0].seconds else "unknown"
        cells.append((f"{count_text(len(rest), 'more host')}", f"{requests:,}", "", "", longest))
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return ["", *(_table_line(row, widths) for row in cells)]


def _table_line(row: tuple[str, str, str, str, str], widths: list[int]) -> str:
    host, requests, rate, in_flight, seconds = row
    return (
        f"  {host:<{widths[0]}}  {requests:>{widths[1]}}  {rate:<{widths[2]}}  "
        f"{in_flight:>{widths[3]}}  {seconds}"
    )


def _host_cells(host: "HostPlan") -> tuple[str, str, str, str, str]:
    return (
        host.host,
        f"{host.requests:,}",
        host.rate_limit or "none",
        str(host.concurrency),
        least_text(host.seconds),
    )


def _limits_of_all(plan: "Plan") -> str:
    rate = plan.rate_limit or "none"
    seconds = max(plan.rate_s or 0.0, plan.concurrency_s or 0.0)
    least = f": at least {least_text(seconds)}" if seconds else ""
    return f"rate limit {rate}, {plan.concurrency} in flight{least}"


def _duplicates(plan: "Plan") -> str:
    text = f"{plan.duplicates:,}"
    if plan.compared < plan.http + plan.https:
        text += f" among the first {plan.compared:,}"
    if plan.duplicates:
        text += ", sent once" if plan.dedupe else ", each sent"
    return text
