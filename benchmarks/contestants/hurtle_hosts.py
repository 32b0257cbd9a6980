"""hurtle over a file of hosts that refuse connections; writes their number to stderr as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import hurtle

CONCURRENCY = 256


def main() -> None:
    refused = 0
    for response in hurtle.stream(Path(sys.argv[1]), concurrency=CONCURRENCY, retries=0):
        refused += response.error is not None and response.error.code == "connect.refused"
    print(json.dumps({"refused": refused}), file=sys.stderr)


if __name__ == "__main__":
    main()
