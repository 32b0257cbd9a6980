"""A private nginx: its configuration in a temporary folder, loopback ports, stopped by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 10.0
STOP_SECONDS = 10.0

_MAIN = """
daemon off;
master_process on;
worker_processes 1;
{user}
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
{main}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    {http}
}}
"""


def find_nginx() -> str | None:
    """Return the path of nginx, even if only root's PATH has it; None: not installed."""
    return shutil.which(
        "nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Nginx:
    """One nginx process with one worker; a context manager.

    Args:
        prefix: An empty folder for its configuration, log and temporary files.
        http: Directives of the http block; every `listen` names 127.0.0.1.
        ports: The ports to wait for until the server counts as started.
        main: Directives of the outermost block, such as `worker_cpu_affinity`.
    """

    def __init__(self, prefix: Path, http: str, ports: list[int], main: str = "") -> None:
        self._prefix = prefix
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        # Started as root, nginx would hand its workers to a user who cannot enter a private temporary folder.
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        config = _MAIN.format(prefix=prefix, http=http, main=main, user=user)
        (prefix / "nginx.conf").write_text(config, encoding="utf-8")

    def __enter__(self) -> Self:
        """Start nginx and wait until every port answers.

        Raises:
            RuntimeError: nginx is missing, ended at once, or does not listen in time; with its own words.
        """
        binary = find_nginx()
        if binary is None:
            raise RuntimeError("nginx is not installed")
        log = self._prefix / "error.log"
        self._process = subprocess.Popen(
            [binary, "-e", str(log), "-p", str(self._prefix), "-c", str(self._prefix / "nginx.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        waiting = list(self._ports)
        while waiting:
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
                self.stop()
                raise RuntimeError(f"nginx did not start: {words.strip() or 'no message'}")
            waiting = [port for port in waiting if not _answers(port)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop nginx."""
        self.stop()

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the workers (Linux only)."""
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text(encoding="ascii").split()]

    def stop(self) -> None:
        """End the process, by its id, and wait for it; harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        time.sleep(0.01)
        return False
    return True
