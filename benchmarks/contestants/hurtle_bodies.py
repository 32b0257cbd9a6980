"""hurtle over large bodies, all in flight at once; writes the number of good ones to stderr as JSON."""

from __future__ import annotations

import json
import sys

import hurtle


def main() -> None:
    url, count, body_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    good = 0
    for response in hurtle.stream([url] * count, concurrency=count, concurrency_per_host=count):
        good += response.ok and len(response.content) == body_bytes
    print(json.dumps({"good": good}), file=sys.stderr)


if __name__ == "__main__":
    main()
