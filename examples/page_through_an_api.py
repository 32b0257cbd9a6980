"""Page through an API: an endless generator as input, and `break` at the end.

Later pages are requested while earlier ones are still processed. Leaving the loop cancels requests in flight.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import hurtle
from hurtle.testing import Server

PAGES = 25


def pages(server: Server) -> Iterator[hurtle.Request]:
    """Yield a request for every page that may exist; their number is not known in advance."""
    for number in itertools.count():
        path = "/echo" if number < PAGES else "/status/404"
        yield hurtle.Request(server.url(path), params={"page": number}, meta=number)


def main() -> None:
    """Read pages in order until the first one that does not exist."""
    with Server(latency=0.01) as server:
        read = 0
        for response in hurtle.stream(pages(server), ordered=True, concurrency_per_host=8):
            if response.status == 404:
                break
            assert response.meta == read
            read += 1
        print(f"read {read} pages")


if __name__ == "__main__":
    main()
