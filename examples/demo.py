"""The main job from start to end: 100,000 URLs from the built-in server into one Parquet file (`make demo`).

The server runs in its own process on a free loopback port. It is stopped at the end, whatever happens.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

KINDS = ("bytes", "bytes", "bytes", "gzip", "br", "zstd")
"""Endpoints of the test server that answer with N bytes, plain or compressed."""


def main() -> int:
    """Write the list, serve it, fetch it, and count what is in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=100_000, help="length of the list (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where the files go (%(default)s)")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    listed, out = folder / "urls.txt", folder / "demo.parquet"
    out.unlink(missing_ok=True)
    with serving() as origin:
        with listed.open("w", encoding="ascii") as lines:
            lines.writelines(f"{origin}/{kind}/{size}\n" for kind, size in targets(arguments.urls))
        command = ["fetch", str(listed), "-o", str(out), "--concurrency-per-host", "64"]
        print(f"$ hurtle {' '.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "hurtle", *command], check=False).returncode
    if code == 0:
        show(out)
    return code


def targets(count: int) -> Iterator[tuple[str, int]]:
    """Yield the endpoint and the size of each body: 100 bytes to about 2 kB."""
    for number in range(count):
        yield KINDS[number % len(KINDS)], 100 + number % 2000


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run `hurtle serve` in another process and yield its origin, such as `http://127.0.0.1:41234`."""
    command = [sys.executable, "-m", "hurtle", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            said = next(
                filter(None, (re.search(r"http://[0-9.]+:\d+", line) for line in server.stdout)), None
            )
            if said is None:
                raise SystemExit("hurtle serve did not start")
            yield said[0]
        finally:
            server.terminate()


def show(out: Path) -> None:
    """Read the file back with pyarrow, as any other tool would."""
    import pyarrow.parquet

    clock = time.perf_counter()
    table = pyarrow.parquet.read_table(
        out, columns=["index", "url", "status", "content_encoding", "bytes_body"]
    )
    print(f"\n{out}: {table.num_rows:,} rows, read in {time.perf_counter() - clock:.2f} s; the first three:")
    for row in table.slice(0, 3).to_pylist():
        print("  ", row)


if __name__ == "__main__":
    sys.exit(main())
