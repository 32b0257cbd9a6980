"""One output under torture: run the victim, break it, run it again, and check the output."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hurtle.testing import Server
from tests.torture.outputs import Output, faults_of, journal_faults
from tests.torture.workload import IN_FLIGHT, MAX_BUFFER, PART_ROWS, ROWS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0
"""Seconds that a victim may take, strace included."""

LEAST_ROW_BYTES = 256
"""The least memory of a row that waits for the sink: its URL, its headers and its columns."""

MOST_REPEATED = IN_FLIGHT + PART_ROWS + MAX_BUFFER // LEAST_ROW_BYTES
"""Requests that one crash may repeat: in flight, answered and waiting for the sink, and one open part."""


@dataclass(slots=True)
class Tally:
    """The results of the trials of one output.

    Attributes:
        output: The output's name.
        method: What was done to it.
        trials: Runs that were brought to their end.
        breaks: Times that a victim was killed or its disk failed.
        repeated: Requests sent more than once, the most in one trial for each break.
        faults: Everything that was wrong.
        remark: What a reader of the table must know.
    """

    output: str
    method: str
    trials: int = 0
    breaks: int = 0
    repeated: int = 0
    faults: list[str] = field(default_factory=list)
    remark: str = ""


class Rack:
    """A folder, a server, and the victim that writes from one to the other.

    Args:
        output: What the victim writes.
        folder: An empty folder.
        server: The server.
    """

    def __init__(self, output: Output, folder: Path, server: Server) -> None:
        self.output = output
        self.folder = folder
        self._server = server
        self._base = server.url("")
        self._asked = server.stats()["requests"]

    def start(self, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a victim, with words in front of its command."""
        out = f"{self.folder}/{self.output.out}"
        arguments = [out, self.output.format, self.output.bodies or "", self._base]
        words = [sys.executable, "-m", "tests.torture.victim", *arguments]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [*prefix, *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )

    def run(self, prefix: Sequence[str] = ()) -> tuple[int, str]:
        """Run a victim to its end.

        Returns:
            Its exit status, negative for the signal that killed it, and what it said.

        Raises:
            subprocess.TimeoutExpired: It did not end within TIMEOUT_S.
        """
        with self.start(prefix) as victim:
            try:
                _, said = victim.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                victim.kill()
                raise
        return victim.returncode, said

    @property
    def asked(self) -> int:
        """Requests that the server has seen from this rack's victims."""
        return self._server.stats()["requests"] - self._asked

    @property
    def was_finished(self) -> bool:
        """Whether the one file is in place and nothing of its run is left: the next run starts over."""
        journal = self.output.journal
        if journal is None or self.output.out.endswith("/"):
            return False
        left = (self.folder / journal).parent.glob("*")
        return (self.folder / self.output.out).exists() and all(path.name == "lock" for path in left)

    @property
    def is_whole(self) -> bool:
        """Whether every row is there once and is right; other files do not matter."""
        return not self._faults()

    def _faults(self) -> list[str]:
        faults = faults_of(self.output, self.folder, self._base)
        return [fault for fault in faults if not fault.startswith("left over")]

    def complete(self, tally: Tally, what: str, breaks: int = 1) -> None:
        """Run once more, undisturbed, and record what is wrong with the output.

        Args:
            tally: Where to record it.
            what: What was done before, to find the cause.
            breaks: How often it was done.
        """
        finished = self.was_finished
        faults = self._faults() if finished else journal_faults(self.output, self.folder)
        status, said = self.run()
        if status:
            faults.append(f"the resuming run ended with {status}: {said.strip()[-300:]}")
        faults += faults_of(self.output, self.folder, self._base)
        if not finished:
            repeated = max(0, self.asked - ROWS)
            tally.repeated = max(tally.repeated, -(-repeated // max(breaks, 1)))
            if repeated > breaks * MOST_REPEATED:
                faults.append(f"{repeated} requests were repeated for {breaks} breaks")
        tally.trials += 1
        tally.breaks += breaks
        tally.faults += [f"{what}: {fault}" for fault in faults[:5]]


def was_killed(status: int) -> bool:
    """Return whether SIGKILL ended a victim; strace ends itself in the same way."""
    return status == -signal.SIGKILL


@contextmanager
def server_under_load() -> Iterator[Server]:
    """Run a server that takes a moment for each answer, so that something is always in flight."""
    with Server(latency=0.002, jitter=0.004, tls_port=None, threads=1) as server:
        yield server
