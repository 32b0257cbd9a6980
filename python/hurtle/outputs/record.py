"""What an output records about its run, and whether another run is the same."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from hurtle import checks
from hurtle.errors import ConfigError, JournalError
from hurtle.options import CODED, Options
from hurtle.positions import Done
from hurtle.version import __version__

SCHEMA = 1
"""The version of the record, and of the journal or the tables with it."""

RUN = "run.json"
"""The file that has the record, in a folder or in an object store."""

ENDED = "ended"
"""This key is true if every row of the input has its row here."""

ORDERED = "ordered"
"""This key is true if all rows so far are in the order of the input."""

RERUN = "retry"
"""A database's run has this key while a rerun is in progress."""

RERUN_OF = "retried"
"""This key makes run.json the record of a rerun of a file: it has the size and hash of that file."""

WRITTEN_BY = "hurtle"
"""The key for the version of hurtle that began the run."""

COMPRESSION = "compression"
"""This key has the compression that the caller chose."""

BODIES = "bodies"
"""This key of a run's options is "coded" if bodies keep their content codings; bodies apart are a format."""

RESTART = "use --restart (restart=True) to drop it and start over"

_KEYS = frozenset({"schema", "format", "input", "options"})
"""The keys that a record has in every version."""

Record = dict[str, object]
"""A run in JSON: schema, format, input, options, `since` of a refresh; and, not compared, the path of the
input, whether the run has ended, and whether its rows are in order."""


Resume: TypeAlias = Literal["auto", "trust", "refuse", "restart"]
"""What to do with an output that holds a run that has not ended.

"auto" resumes it if it is provably the same; "trust" takes the caller's word for an input that cannot be
compared; "refuse" never resumes; "restart" drops it and starts over.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Everything about a run that its rows depend on: two runs of equal identity would write the same.

    Attributes:
        input: Size and hash of the input; None if it can be read only once.
        options: Options that shape requests and rows, by name. No secrets: hashes of values that may be one.
        path: Where the input is, for a later rerun. It is not compared.
        since: Name, size and hash of the earlier run that this one refreshes; None: it refreshes none.
        compression: How its files are compressed, for a later rerun; None: by default. It is not compared.
        ordered: Whether rows are written in the order of the input. A run with it may be resumed without it,
            but not the other way round.
    """

    input: Mapping[str, object] | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    path: str | None = None
    since: Mapping[str, object] | None = None
    compression: str | None = None
    ordered: bool = False


def resume_mode(resume: bool | None, restart: bool) -> Resume:
    """Return what the two arguments of `run` mean together.

    Raises:
        ConfigError: They contradict each other, or have a wrong value.
    """
    if resume is not None and not isinstance(resume, bool):
        raise checks.wrong("resume", resume, "True, False or None; restart=True starts over")
    checks.flag("restart", restart)
    if restart and resume:
        raise ConfigError("resume=True excludes restart=True; give one of them", option="restart")
    if restart:
        return "restart"
    return "auto" if resume is None else ("trust" if resume else "refuse")


def record_of(identity: Identity, format: str) -> Record:  # noqa: A002 - the public name
    """Return a run in the form that JSON gives back, so that it can be compared.

    Args:
        identity: What the run is.
        format: The format that it writes, by name.
    """
    text = json.dumps({"input": identity.input, "options": identity.options}, sort_keys=True)
    said = {"schema": SCHEMA, "format": format, "path": identity.path, ORDERED: identity.ordered}
    record: Record = said | {WRITTEN_BY: __version__} | json.loads(text)
    if identity.compression is not None:
        record[COMPRESSION] = identity.compression
    return record if identity.since is None else record | {"since": dict(identity.since)}


def keeps_codings(record: Record) -> bool:
    """Whether the bodies of a run keep their content codings."""
    options = record.get("options")
    return isinstance(options, Mapping) and options.get(BODIES) == CODED


def is_under_way(record: Record) -> bool:
    """Whether a database's run, or a rerun of it, still lacks rows."""
    return not record.get(ENDED) or RERUN in record


class OtherVersionError(ConfigError):
    """A run of another version: it cannot be read, but it can be dropped."""


def is_record(value: object) -> bool:
    """Whether it is a record of a run, by any version of hurtle."""
    return isinstance(value, dict) and isinstance(value.get("schema"), int) and value.keys() >= _KEYS


def refuse_foreign(record: object, shown: str) -> Record:
    """Return what was read back, if it is a record of any version.

    Raises:
        ConfigError: It was not created by hurtle.
    """
    if not is_record(record):
        raise ConfigError(f"{shown} holds something other than a run; name another output", option="out")
    assert isinstance(record, dict)
    return record


def refuse_other_version(record: object, shown: str) -> Record:
    """Return what was read back, if it is a record of this version.

    Raises:
        ConfigError: It was not created by hurtle.
        OtherVersionError: It is a record of another version, which the message names if it is recorded.
        JournalError: It is damaged.
    """
    record = refuse_foreign(record, shown)
    if record["schema"] != SCHEMA:
        version = record.get(WRITTEN_BY)
        whose = f"hurtle {version}" if isinstance(version, str) else "another version of hurtle"
        raise OtherVersionError(
            f"{shown} holds a run of {whose}, which alone can read and resume it; for a new run name another"
            f" output, or {RESTART}",
            option="out",
        )
    if not isinstance(record["options"], dict):
        raise JournalError(f"the record of {shown} is damaged: its options are {record['options']!r:.50}")
    return record


def read_record(folder: Path, shown: str) -> Record | None:
    """Return the record of the run in a folder on this disk; None: there is none.

    Args:
        folder: The folder.
        shown: What to call the output in messages.

    Raises:
        ConfigError: The record cannot be read, or was not created by hurtle.
        OtherVersionError: It is a record of another version.
        JournalError: It is damaged.
    """
    try:
        record = json.loads((folder / RUN).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}", option="out") from error
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{folder / RUN} is damaged: {error}") from error
    return refuse_other_version(record, shown)


def resumable(read: Callable[[], Record | None], resume: Resume) -> Record | None:
    """Return the record of the run that an output holds and that may be resumed; None: a new run begins.

    Args:
        read: Reads the record. It raises even if the run is to be dropped: what hurtle did not create stays.
        resume: What the caller asked for.
    """
    try:
        record = read()
    except OtherVersionError:
        if resume != "restart":
            raise
        return None
    return None if resume == "restart" else record


def refuse_another(before: Record, now: Record, resume: Resume, shown: str) -> None:
    """Refuse to resume a run that is not the same, or that cannot be compared.

    Args:
        before: The run that the output holds.
        now: The run that is to resume it.
        resume: What the caller asked for; not "restart".
        shown: What to call the output in messages.

    Raises:
        ConfigError: They differ, or may differ; the message names the difference.
    """
    if resume == "refuse":
        raise ConfigError(f"{shown} holds a run already; {RESTART}", option="out")
    if now["input"] is None and resume != "trust":
        raise ConfigError(
            f"{shown} holds a run, but this input can be read only once, so hurtle cannot compare it; if it"
            f" is the same, use --resume (resume=True); if not, {RESTART}",
            option="out",
        )
    if words := difference(before, now):
        raise ConfigError(f"{shown} holds another run: {words}; {RESTART}", option="out")


def gone_on_with(
    before: Record, now: Record, done: Done, resume: Resume, shown: str, *, has_rerun: bool
) -> Record:
    """Return the changes to the record of a run that is resumed.

    Args:
        before: The run that the output holds.
        now: The run that resumes it, which is the same.
        done: The positions whose rows are committed.
        resume: What the caller asked for.
        shown: What to call the output in messages.
        has_rerun: Whether a rerun of it has begun and not ended.

    Raises:
        ConfigError: The rerun must end first, because its ledger counts. Or rows are to be in order from now
            on, but the rows so far are not.
    """
    if before.get(ENDED) and resume != "trust":
        return {}
    if before.get(ENDED) and has_rerun:
        raise ConfigError(f"a retry of {shown} has not ended: resume it with hurtle retry", option="out")
    if now[ORDERED] and not before.get(ORDERED) and done:
        raise ConfigError(
            f"{shown} has rows in the order of completion, so it cannot be resumed with ordered; resume"
            " without it, and sort by the column index",
            option="ordered",
        )
    # If the run had ended: an input that cannot be compared may have more rows this time.
    changed = {ENDED: False, ORDERED: now[ORDERED]} if before.get(ENDED) else {ORDERED: now[ORDERED]}
    return {} if changed.items() <= before.items() else changed


def difference(before: Record, now: Record) -> str | None:
    """Describe how two runs differ; None: they do not."""
    if before.get("format") != now["format"]:
        return f"it writes {before.get('format')}, and this one writes {now['format']}"
    if now["input"] is not None and before.get("input") != now["input"]:
        return f"its input is not the same: {input_difference(before.get('input'), now['input'])}"
    if before.get("since") != now.get("since"):
        return f"since was {_run(before.get('since'))} and is now {_run(now.get('since'))}"
    then, current = before.get("options"), now["options"]
    assert isinstance(then, dict)
    assert isinstance(current, dict)
    for name in sorted(then.keys() | current.keys()):
        now_is = current[name] if name in current else _default(name)
        # An option that the record does not name is younger than the record.
        was = then[name] if name in then else _default(name)
        if isinstance(was, dict) and isinstance(now_is, dict) and was != now_is:
            # Hashes of values, by the names of the values.
            differing = sorted(
                part for part in was.keys() | now_is.keys() if was.get(part) != now_is.get(part)
            )
            return f"{name} differ: {', '.join(differing)}"
        if was != now_is and not (was == _DEFAULTS_OF_0_1_0.get(name) and now_is == _default(name)):
            return f"{name} was {was!r} and is now {now_is!r}"
    return None


_DEFAULTS_OF_0_1_0: dict[str, object] = {
    "retry_statuses": [408, 429, 500, 502, 503, 504],
    "retry_methods": ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"],
}
"""What version 0.1.0 recorded for options that were not given and whose defaults have changed since."""


def _default(name: str) -> object:
    """Return an option's default in the form that JSON gives back."""
    if name == BODIES:
        return "inline"
    value = getattr(Options(), name)
    return list(value) if isinstance(value, tuple) else value


def input_difference(before: object, now: object) -> str:
    """Describe how the input of a run, "it", differs from another one.

    Args:
        before: Its fingerprint, from `Source.fingerprint` or read back from JSON. None: it had none.
        now: The fingerprint of the other one.
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return "it could be read only once, so it cannot be compared"
    if (was := before.get("format")) != (now_is := now.get("format")) and {**before, "format": now_is} == now:
        return f"it was read as {was}, and this one is read as {now_is}"
    if {**before, "shape": None} == {**now, "shape": None}:
        return "the list is, but -X, -d or --json make different requests of it; use the same ones as before"
    if {**before, "names": None} == {**now, "names": None}:
        was, now_is = before.get("names"), now.get("names")
        return f"the list is, but name_from and name_column were {_names(was)} and are now {_names(now_is)}"
    had, has = _size(before), _size(now)
    return f"it also had {had}, but different ones" if had == has else f"it had {had}, and this one has {has}"


def _size(fingerprint: Mapping[str, object]) -> str:
    """Return the length of an input: a file in bytes, a list in rows."""
    unit = "bytes" if "bytes" in fingerprint else "rows"
    return f"{fingerprint.get(unit)} {unit}"


def _names(rule: object) -> str:
    """Return the rule for the names of files as text."""
    return " and ".join(map(str, rule)) if isinstance(rule, list) else "not there"


def _run(since: object) -> str:
    if not isinstance(since, Mapping):
        return "no run"
    return f"{since.get('run')} ({since.get('rows')} rows, {str(since.get('digest'))[:12]})"
