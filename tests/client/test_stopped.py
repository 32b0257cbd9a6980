"""A process that is stopped and continued, as a laptop that sleeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hurtle.testing import Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

VICTIM = """
import sys
import hurtle

def told(progress):
    if progress.done:
        print("begun", flush=True)

out, url = sys.argv[1:]
hurtle.run([url] * 60, out, concurrency=6, timeout=0.5, retries=0, progress=told)
"""


def test_s10_a_process_that_was_stopped_has_a_row_for_each_request(
    tmp_path: Path, hurtle_server: Server
) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", VICTIM, str(out), hurtle_server.url("/delay/200")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "begun\n"
        os.kill(victim.pid, signal.SIGSTOP)
        # Longer than the timeout of the requests that are in flight.
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(1.5)
        os.kill(victim.pid, signal.SIGCONT)
        victim.stdout.read()
        assert victim.wait(60) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(row["index"] for row in rows) == list(range(60))
    assert {row["error"] for row in rows} <= {None, "timeout.first_byte"}
    # Only what was in flight can have ended so.
    assert sum(row["ok"] for row in rows) >= 54
