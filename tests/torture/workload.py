"""The victim's requests, and what must be on the disk in the end."""

ROWS = 2_000
PART_ROWS = 200
IN_FLIGHT = 32
MAX_BUFFER = 64 << 10
"""Bytes of results that may wait for the sink: rows that were answered but not taken are requested again."""

BODIES_ABOVE = 1_000
"""With bodies apart, a third of them is streamed to the disk by the engine."""

LINE = 64


def urls_at(base: str) -> list[str]:
    """Return the list: every URL has a body of its own, by which a swapped or cut one shows."""
    return [f"{base}/bytes/{size_of(index)}?seed={index}" for index in range(ROWS)]


def size_of(index: int) -> int:
    """Return how many bytes the body of a row has: from none to 1.5 KB."""
    return index * 7 % 1_500


def body_of(index: int) -> bytes:
    """Return the body that the test server sends for a row. Source: crates/testserver/src/content.rs."""
    size = size_of(index)
    lines = range(size // LINE + 1)
    return b"".join(b"%016x %016x %016x hurtle bytes\n" % (line, size, index) for line in lines)[:size]
