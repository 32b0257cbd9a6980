"""hurtle's own test server in a process of its own, for benchmarks of the client alone."""

from __future__ import annotations

import re
import subprocess
import sys
from types import TracebackType
from typing import Self

STOP_SECONDS = 10.0


class ServerProcess:
    """`hurtle serve` on a free loopback port; a context manager.

    Args:
        flags: Further flags of the command, such as `--latency 0.1`.
    """

    def __init__(self, *flags: str) -> None:
        self._command = [sys.executable, "-m", "hurtle", "serve", "--port", "0", *flags]
        self._process: subprocess.Popen[str] | None = None
        self.origin = ""
        """`http://127.0.0.1:PORT` once it is started."""

    def __enter__(self) -> Self:
        """Start the server and read its address from its first lines.

        Raises:
            RuntimeError: It ended without telling an address.
        """
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if found := re.search(r"http://[0-9.]+:\d+", line):
                self.origin = found[0]
                return self
        self.stop()
        raise RuntimeError(f"hurtle serve did not start: {''.join(said)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def stop(self) -> None:
        """End the process, by its id, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
