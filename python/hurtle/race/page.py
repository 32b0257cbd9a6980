"""A race as HTML: the charts as inline SVG, the table, the method. No script, nothing from the network."""

from collections.abc import Callable, Sequence
from html import escape

from hurtle.race.result import RaceResult, Row
from hurtle.race.terminal import HEADINGS, cells, footnotes, marks
from hurtle.report.text import count_text, seconds_text

CHART_WIDTH = 860
NAME_WIDTH = 150
LABEL_WIDTH = 120
ROW_HEIGHT = 30
BAR_HEIGHT = 18

# Colours that work on white and on black: a notebook has its own background.
STYLE = """\
.hurtle-race { --accent: #0f9d6b; --bar: #7f93ad; --line: rgba(128, 140, 155, .28); --quiet: #76818f;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; max-width: 860px; }
.hurtle-race h2 { font-size: 1.05em; font-weight: 600; margin: 2em 0 .5em; }
.hurtle-race svg { width: 100%; height: auto; display: block; }
.hurtle-race svg text { font-size: 14px; fill: currentColor; }
.hurtle-race svg .label { fill: var(--quiet); font-variant-numeric: tabular-nums; }
.hurtle-race svg rect { fill: var(--bar); }
.hurtle-race svg .reference rect { fill: var(--bar); fill-opacity: .22; stroke: var(--bar); stroke-width: 1; }
.hurtle-race svg .reference .name { fill: var(--quiet); }
.hurtle-race svg .winner rect { fill: var(--accent); }
.hurtle-race svg .winner text { font-weight: 700; fill: var(--accent); }
.hurtle-race svg line { stroke: var(--line); }
.hurtle-race .wide { overflow-x: auto; }
.hurtle-race table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.hurtle-race th { font-weight: 500; color: var(--quiet); }
.hurtle-race th, .hurtle-race td { text-align: right; padding: .4em .7em;
  border-bottom: 1px solid var(--line);
  background: none; white-space: nowrap; }
.hurtle-race th:first-child, .hurtle-race td:first-child { text-align: left; padding-left: 0; }
.hurtle-race .winner td { font-weight: 700; color: var(--accent); }
.hurtle-race td.reason { text-align: left; white-space: normal; color: var(--quiet); }
.hurtle-race p, .hurtle-race dl { color: var(--quiet); font-size: .9em; margin: .6em 0; }
.hurtle-race dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.2em; }
.hurtle-race dd { margin: 0; color: inherit; }
"""
PAGE_STYLE = """\
:root { color-scheme: light dark; }
body { margin: 0; padding: 3rem 1.5rem 4rem; background: #fff; color: #1c232b; }
main { max-width: 860px; margin: 0 auto; }
main { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main > h1 { font-size: 2rem; line-height: 1.2; margin: 0; }
main > .lead { font-size: 1.05rem; line-height: 1.5; margin: .4rem 0 0; }
@media (prefers-color-scheme: dark) {
  body { background: #12161b; color: #e3e8ee; }
  .hurtle-race { --accent: #35cf98; --bar: #6f84a0; --quiet: #93a0af; }
}
@media print { body { padding: 0; } }
"""


def page(result: RaceResult) -> str:
    """Return one self-contained page, light or dark like the reader's system."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The race: {escape(_task(result))}</title>
<style>
{STYLE}{PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(_headline(result))}</h1>
<p class="lead">{escape(_task(result))}</p>
{_body(result)}
</main>
</body>
</html>
"""


def fragment(result: RaceResult) -> str:
    """Return the charts and the table for a notebook's cell."""
    return f"<style>\n{STYLE}</style>\n{_body(result)}\n"


def _body(result: RaceResult) -> str:
    ranking = result.ranking
    parts = []
    if ranking:
        parts.append(
            _chart(
                result, ranking, "Seconds, less is better", lambda row: row.seconds, lambda v: f"{v:.3f} s"
            )
        )
        costed = sorted(
            (row for row in ranking if row.cpu_us_per_request is not None),
            key=lambda row: row.cpu_us_per_request or 0,
        )
        title = "Processor time per request, less is better"
        parts.append(
            _chart(result, costed, title, lambda row: row.cpu_us_per_request, lambda v: f"{v:,.0f} µs")
        )
    parts += [_table(result), *(f"<p>{escape(note)}</p>" for note in footnotes(result)), _method(result)]
    return '<div class="hurtle-race">\n' + "\n".join(parts) + "\n</div>"


def _headline(result: RaceResult) -> str:
    winner = result.winner
    return f"{winner.name} wins the race" if winner else "A race without a winner"


def _task(result: RaceResult) -> str:
    method = result.method
    parts = [
        f"{method['requests']:,} requests",
        f"{method['connections']} connections",
        str(method["server"]),
    ]
    if isinstance(latency := method.get("latency_s"), float | int):
        parts.append(f"{seconds_text(latency)} of latency" if latency else "no latency")
    if isinstance(rounds := method.get("repeat"), int) and rounds > 1:
        parts.append(f"median of {count_text(rounds, 'round')}")
    return ", ".join(parts)


def _chart(
    result: RaceResult,
    rows: Sequence[Row],
    title: str,
    value_of: Callable[[Row], float | None],
    show: Callable[[float], str],
) -> str:
    """Return a bar for each row, on a linear scale from zero."""
    longest = max((value_of(row) or 0.0 for row in rows), default=0.0) or 1.0
    room = CHART_WIDTH - NAME_WIDTH - LABEL_WIDTH
    height = len(rows) * ROW_HEIGHT
    lines = [
        f"<h2>{escape(title)}</h2>",
        f'<svg viewBox="0 0 {CHART_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<line x1="{NAME_WIDTH}" y1="0" x2="{NAME_WIDTH}" y2="{height}"/>',
    ]
    for number, row in enumerate(rows):
        value = value_of(row) or 0.0
        length = max(1.0, value / longest * room)
        top = number * ROW_HEIGHT
        middle = top + ROW_HEIGHT / 2 + 5
        kind = _kind(result, row)
        lines.append(
            f'<g class="{kind}"><title>{escape(f"{row.name}: {row.what}")}</title>'
            f'<text class="name" x="{NAME_WIDTH - 12}" y="{middle:g}" text-anchor="end">'
            f"{escape(row.name + marks(row))}</text>"
            f'<rect x="{NAME_WIDTH}" y="{top + (ROW_HEIGHT - BAR_HEIGHT) / 2:g}" width="{length:.1f}" '
            f'height="{BAR_HEIGHT}" rx="3"/>'
            f'<text class="label" x="{NAME_WIDTH + length + 8:.1f}" y="{middle:g}">'
            f"{escape(show(value))}</text></g>"
        )
    return "\n".join([*lines, "</svg>"])


def _kind(result: RaceResult, row: Row) -> str:
    if row is result.winner:
        return "winner"
    return "reference" if row.is_reference else "contestant"


def _table(result: RaceResult) -> str:
    lines = ["<h2>Figures</h2>", '<div class="wide"><table>']
    lines.append("<tr>" + "".join(f"<th>{escape(text)}</th>" for text in HEADINGS) + "</tr>")
    for row in result.ranking:
        texts = "".join(f"<td>{escape(text)}</td>" for text in cells(result, row))
        lines.append(f'<tr class="{_kind(result, row)}" title="{escape(row.what)}">{texts}</tr>')
    for row in result.without_figures:
        reason = f'<td class="reason" colspan="{len(HEADINGS) - 1}">{escape(row.error or "")}</td>'
        lines.append(f"<tr><td>{escape(row.name)}</td>{reason}</tr>")
    return "\n".join([*lines, "</table></div>"])


def _method(result: RaceResult) -> str:
    facts = dict(result.machine)
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<h2>Method</h2>\n<p>{escape(str(result.method['measured']))}</p>\n<dl>{listed}</dl>"
