"""The results: kept in a file, so that single servers can be run again, and the page docs/servers.md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.rounds import ROUNDS, Figure
from tests.servers.servers import SERVERS

KEPT = Path(__file__).parent / "results.json"

HEAD = """\
# Real servers

hurtle against servers that others wrote. `make servers` installs them, starts each on a free port of loopback
with a small site, runs hurtle against it, and writes this page; `make servers SERVERS="nginx node"` runs only
those again.

- A figure is the number of rows, all of them right: with the status and, byte for byte, the body that the
  site has. Where some are not, it says how many are. Nothing is retried but in the restart.
- small, large, chunked, compressed: GETs of 832 bytes, of 4 MiB, of 30 KB sent chunked, and of a page that
  the server compresses.
- POST: bodies of 0 bytes, 1 KB and 200 KB. Servers with a program of their own (Node, Go, hypercorn,
  granian, and the proxies before Node) answer with the body's hash, which is compared; the others with 200.
- HEAD: among GETs on the same connections. Range: 1,000 bytes of a file and of the page. Refresh: a list is
  run twice, and the second time every row must be `unchanged`.
- idle race: the server closes idle connections after 1 s, and hurtle sends again after 0.9 s to 1.1 s.
  granian has no such setting, so nothing is closed there.
- restart: the server is away for 0.4 s while a list is under way at 100 requests per second, with the
  default retries.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one server.

    Attributes:
        version: What was run; None where it could not be had.
        figures: By round.
        problem: Why something is not there.
    """

    version: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    problem: str | None = None

    @property
    def misses(self) -> list[str]:
        """The rounds in which a row was not right."""
        return [name for name, figure in self.figures.items() if figure.right < figure.rows]


def load(path: Path = KEPT) -> dict[str, Result]:
    """Return the results that are kept; none where there is no file."""
    if not path.exists():
        return {}
    return {
        name: Result(
            version=one["version"],
            problem=one["problem"],
            figures={
                title: Figure(
                    **figure | {"ended": Counter(figure["ended"]), "notes": Counter(figure["notes"])}
                )
                for title, figure in one["figures"].items()
            },
        )
        for name, one in json.loads(path.read_text(encoding="utf-8")).items()
    }


def save(results: Mapping[str, Result], path: Path = KEPT) -> None:
    """Keep results."""
    kept = {name: _stored(results[name]) for name in SERVERS if name in results}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _stored(result: Result) -> dict[str, object]:
    figures = {
        title: {
            "rows": one.rows,
            "right": one.right,
            "lies": one.lies,
            "ended": one.ended,
            "notes": one.notes,
        }
        for title, one in result.figures.items()
    }  # `asdict` cannot copy a Counter
    return {"version": result.version, "problem": result.problem, "figures": figures}


def page(results: Mapping[str, Result]) -> str:
    """Return the page, in Markdown."""
    lines = [HEAD, f"| server | version | {' | '.join(ROUNDS)} |", f"|---|---|{'---|' * len(ROUNDS)}"]
    notable = []
    for name, kind in SERVERS.items():
        result = results.get(name)
        if result is None:
            continue
        if result.problem is not None:
            notable.append(f"- {kind.title}: not run: {result.problem}")
            continue
        cells = [_cell(result.figures.get(title)) for title in ROUNDS]
        lines.append(f"| {kind.title} | {result.version} | {' | '.join(cells)} |")
        notable += [f"- {kind.title}, {words}" for words in _notable(result)]
    return "\n".join([*lines, "\n## What was notable\n", *notable]) + "\n"


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.right}" if figure.right == figure.rows else f"**{figure.right} of {figure.rows}**"


def _notable(result: Result) -> list[str]:
    found = []
    for title in ROUNDS:
        figure = result.figures.get(title, Figure())
        words = []
        if figure.ended:
            words.append(", ".join(f"{count} × {what}" for what, count in sorted(figure.ended.items())))
        if title in ("compressed", "Range", "refresh", "restart"):
            words += [f"{count} × {what}" for what, count in sorted(figure.notes.items()) if count]
        if words:
            found.append(f"{title}: {', '.join(words)}")
    return found
