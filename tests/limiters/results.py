"""The figures of every limiter, kept in one file, so that single limiters can be run again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.limiters.trial import Run, Sent

KEPT = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one limiter.

    Attributes:
        version: What was run; None where it could not be had.
        sent: Its header lines.
        runs: hurtle's runs, by mode.
        problem: Why something is not there.
    """

    version: str | None = None
    sent: Sent | None = None
    runs: Mapping[str, Run] = field(default_factory=dict)
    problem: str | None = None


Results = dict[str, Result]


def load(path: Path = KEPT) -> Results:
    """Return the results that are kept; none where there is no file."""
    if not path.exists():
        return {}
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {name: _result_of(one) for name, one in stored.items()}


def _result_of(stored: dict[str, Any]) -> Result:
    sent = stored["sent"]
    return Result(
        version=stored["version"],
        sent=sent and Sent(tuple(sent["granted"]), sent["status"], tuple(sent["refused"])),
        runs={mode: Run(**run) for mode, run in stored["runs"].items()},
        problem=stored["problem"],
    )


def save(results: Results, path: Path = KEPT) -> None:
    """Keep results; the file is replaced at once."""
    text = json.dumps({name: asdict(results[name]) for name in sorted(results)}, indent=1, ensure_ascii=False)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
