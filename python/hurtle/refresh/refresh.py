"""Connects a refresh to a job: it reads the earlier run, adds conditions to requests and verdicts to rows."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

from hurtle import checks
from hurtle.client.feed import Chunks
from hurtle.errors import ConfigError
from hurtle.options import Options
from hurtle.outputs.names import is_same, without_password
from hurtle.refresh.change import verdict_on
from hurtle.refresh.conditions import Asked, ConditionalChunks
from hurtle.refresh.earlier import COLUMNS, Earlier
from hurtle.refresh.rows import RefreshedRows
from hurtle.rows import Rows
from hurtle.runs import Run, open_referred, open_run


class Refresh:
    """Compares one job with an earlier run. Call `load` first, and `close` at the end.

    Memory: that of `Earlier`, and what is known about each request in flight.

    Args:
        since: The earlier run, as the caller names it: anything that `open_run` reads.
        out: The output of the job.
        options: The job's options, resolved.

    Raises:
        ConfigError: There is no such run, or it is the output.
    """

    def __init__(self, since: str | PathLike[str], out: str | PathLike[str], options: Options) -> None:
        if not isinstance(since, (str, PathLike)) or fspath(since) in ("", "-"):
            raise checks.wrong("since", since, "the output of an earlier run")
        try:
            self._run: Run = open_run(since)
        except ConfigError as error:
            raise ConfigError(f"since: {error}", option="since") from error
        # Every row that refers to the run contains this name.
        self._since = without_password(fspath(since))
        self._out = fspath(out)
        self._options = options
        self._refuse_output(self._since, f"since={self._since!r} is the output; name an earlier run")
        self._earlier: Earlier | None = None
        self._asked: dict[int, Asked] = {}

    def load(self) -> Mapping[str, object]:
        """Read the earlier run, at the first call.

        Returns:
            Its fingerprint, which distinguishes it from every other run.

        Raises:
            ConfigError: It refers to bodies of a run that no longer exists, or that is the output.
            JournalError: It is damaged.
        """
        if self._earlier is None:
            earlier = Earlier(self._since)
            self._load(earlier)
            self._earlier = earlier
        return self._earlier.fingerprint

    def _load(self, earlier: Earlier) -> None:
        for chunk in self._run.chunks(COLUMNS):
            earlier.add(chunk, self._run.own_body)
        for name in earlier.referred:
            self._refuse_output(
                name, f"the output {self._out} holds bodies that {self._since} refers to; name another output"
            )
            shown, further = self._further(name)
            earlier.call(name, shown)
            for chunk in further.chunks(COLUMNS):
                earlier.follow(name, chunk, further.own_body)
        if (without := earlier.dangling()) is not None:
            raise ConfigError(
                f"since={self._since!r} refers to rows that {without} does not have: it is another run now",
                option="since",
            )

    def _further(self, name: str) -> tuple[str, Run]:
        try:
            return open_referred(name, Path(self._since).parent, [self._since])
        except ConfigError as error:
            raise ConfigError(
                f"since={self._since!r} refers to bodies in {name}, which cannot be read: {error}",
                option="since",
            ) from error

    def _refuse_output(self, run: str, words: str) -> None:
        if is_same(run, self._out):
            raise ConfigError(words, option="since")

    def conditional(self, chunks: Chunks) -> Chunks:
        """Return the requests to send, with conditions if the earlier run has something to compare with."""
        return ConditionalChunks(chunks, self._loaded, self._options, self._asked)

    def compared(self, rows: Rows) -> Rows:
        """Return the rows with what has changed. Call it once for each row."""
        verdicts = [verdict_on(response, self._asked.pop(response.index, None)) for response in rows]
        return RefreshedRows(rows, verdicts)

    def close(self) -> None:
        """Release what was read. Idempotent."""
        self._earlier = None

    @property
    def _loaded(self) -> Earlier:
        if self._earlier is None:
            raise ValueError("the earlier run was not read")
        return self._earlier
