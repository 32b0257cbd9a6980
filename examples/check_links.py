"""Which of these links are dead, and why? Print one line for each, as the answers arrive.

Usage: python examples/check_links.py [FILE OF URLS]. Without a file, a local server stands in for the web.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter

import hurtle
from hurtle.testing import Server


def main() -> None:
    """Check the links and count the results."""
    with contextlib.ExitStack() as stack:
        if len(sys.argv) > 1:
            links: str | list[str] = sys.argv[1]
        else:
            server = stack.enter_context(Server())
            links = [server.url(path) for path in ("/bytes/100", "/status/404", "/redirect/3", "/close")]
            links += ["http://no-such-host.invalid/", "not a link"]
        verdicts: Counter[str] = Counter()
        # HEAD requests no body. A few servers answer it with 405, which also means that the link is alive.
        requests = links if isinstance(links, str) else [{"url": link, "method": "HEAD"} for link in links]
        for response in hurtle.stream(requests, timeout=10, retries=1):
            verdict = response.error.code if response.error else str(response.status)
            verdicts[verdict] += 1
            if not response.ok and response.status != 405:
                print(f"{verdict:<20} {response.url}")
        print(dict(verdicts))


if __name__ == "__main__":
    main()
