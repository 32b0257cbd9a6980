"""The run that is measured: `python -m tests.limiters.client URL MODE`, a process of its own.

Prints one line of JSON for each row as it completes, so that the rows of a run that is stopped count too,
and the seconds of the whole run at the end.
"""

import json
import sys
from time import monotonic

import hurtle
from tests.limiters.modes import MODES


def main(url: str, name: str) -> None:
    mode = MODES[name]
    start = monotonic()
    for row in hurtle.stream([f"{url}/?n={index}" for index in range(mode.requests)], **mode.options):
        ended = {"ok": row.ok, "status": row.status, "error": row.error and row.error.code}
        print(json.dumps(ended), flush=True)
    print(json.dumps({"seconds": monotonic() - start}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
