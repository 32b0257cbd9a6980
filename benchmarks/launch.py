"""Run a command from a small process, and print what it took. Usage: python -S launch.py COMMAND...

Linux counts what the parent held at the fork into the child's peak memory (`ru_maxrss`): it reports 200 MB
for `true` if its parent held 200 MB. So this parent is small and imports next to nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> int:
    """Print the figures as JSON; the output of the command goes to stderr.

    Returns:
        The command's exit status.
    """
    command = sys.argv[1:]
    clock = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _, status, usage = os.wait4(pid, 0)
    figures = {
        "wall_s": time.perf_counter() - clock,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }
    print(json.dumps(figures))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    raise SystemExit(main())
