"""Every benchmark, one after the other, each in a process of its own: what `make bench` runs."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("import_time", "keepalive", "concurrency", "memory")


def main() -> int:
    """Run them all; one that fails does not stop the others."""
    failed = [
        name
        for name in MODULES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
