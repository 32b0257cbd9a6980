"""What an output records of its run, and whether another run is the same."""

import json
from collections.abc import Mapping

from hurtle.errors import ConfigError
from hurtle.sinks.base import Identity, Resume

SCHEMA = 1
"""The version of the record, and of the journal or the tables beside it."""

ENDED = "ended"
"""The key that says: every row of the input has its row here."""

RETRY = "retry"
"""The key of a database's run that is there while a retry is under way."""

Record = dict[str, object]
"""A run as JSON has it: schema, format, input, options, `since` of a refresh, and the input's path, which is
not compared."""


def record_of(identity: Identity, format: str) -> Record:  # noqa: A002 - the public name
    """Return a run as it comes back from JSON, so that it can be compared.

    Args:
        identity: What the run is.
        format: What it writes, by name.
    """
    text = json.dumps({"input": identity.input, "options": identity.options}, sort_keys=True)
    record: Record = {"schema": SCHEMA, "format": format, "path": identity.path} | json.loads(text)
    return record if identity.since is None else record | {"since": dict(identity.since)}


def is_under_way(record: Record) -> bool:
    """Whether rows are still to come to a database's run, of the run itself or of a retry."""
    return not record.get(ENDED) or RETRY in record


def refuse_other_version(record: object, shown: str) -> Record:
    """Return what was read back, if it is a record of this version.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise ConfigError(f"{shown} holds a run of another version of hurtle", option="out")
    return record


def refuse_another(before: Record, now: Record, resume: Resume, shown: str) -> None:
    """Go on only with a run that is the same, as far as anybody can know.

    Args:
        before: The run that the output holds.
        now: The one that wants to go on with it.
        resume: What the caller asked for; not "restart".
        shown: What to call the output in messages.

    Raises:
        ConfigError: They differ, or may; the difference is named.
    """
    hint = "--restart (resume='restart') begins again and drops it"
    if resume == "refuse":
        raise ConfigError(f"{shown} holds a run that has begun; {hint}", option="out")
    if now["input"] is None and resume != "trust":
        raise ConfigError(
            f"{shown} holds a run, and this input can be read once only: nobody knows whether it is the same;"
            f" --resume (resume=True) goes on with it, {hint}",
            option="out",
        )
    if words := difference(before, now):
        raise ConfigError(f"{shown} holds another run: {words}; {hint}", option="out")


def difference(before: Record, now: Record) -> str | None:
    """Say in words how two runs differ; None: they do not."""
    if before.get("format") != now["format"]:
        return f"it writes {before.get('format')}, this one {now['format']}"
    if now["input"] is not None and before.get("input") != now["input"]:
        return f"its input is not the same ({_words(before.get('input'))}; now {_words(now['input'])})"
    if before.get("since") != now.get("since"):
        return f"it was since {_run(before.get('since'))}, and this one is since {_run(now.get('since'))}"
    then, current = before.get("options"), now["options"]
    assert isinstance(then, dict)
    assert isinstance(current, dict)
    for name in sorted(then.keys() | current.keys()):
        was, now_is = then.get(name), current.get(name)
        if isinstance(was, dict) and isinstance(now_is, dict) and was != now_is:
            # Hashes, by the names of what they are of.
            differing = sorted(
                part for part in was.keys() | now_is.keys() if was.get(part) != now_is.get(part)
            )
            return f"{name} differ: {', '.join(differing)}"
        if was != now_is:
            return f"{name} was {was!r} and is now {now_is!r}"
    return None


def _words(value: object) -> str:
    if not isinstance(value, Mapping):
        return "unknown"
    return ", ".join(f"{name} {str(part)[:12]}" for name, part in value.items())


def _run(since: object) -> str:
    if not isinstance(since, Mapping):
        return "no run"
    return f"{since.get('run')} ({since.get('rows')} rows, {str(since.get('digest'))[:12]})"
