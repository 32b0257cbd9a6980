"""Jobs on one open client: each frees its memory, and the same limits apply to each."""

import ctypes
import gc
import time
from pathlib import Path

import pytest

import hurtle
from hurtle.testing import Server

JOBS = 600
LEAK_KB = 5
"""A job that is not freed keeps 65 KB."""


def resident_kb() -> int:
    """Return the memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.slow
def test_a_job_gives_its_memory_back_when_it_is_done() -> None:
    with Server() as server, hurtle.Client(threads=1) as client:
        urls = [server.url("/bytes/10")]
        for _ in range(200):
            client.fetch(urls)
        before = resident_kb()
        for _ in range(JOBS):
            client.fetch(urls)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        assert resident_kb() - before < JOBS * LEAK_KB


@pytest.mark.slow
def test_a_second_job_waits_for_its_consumer_as_the_first_one_does() -> None:
    urls = 64
    with Server() as server, hurtle.Client(max_buffer="1MiB", threads=1) as client:
        client.fetch([server.url("/bytes/1")])
        rows = client.stream([server.url(f"/bytes/500000?{index}") for index in range(urls)])
        next(rows)
        seen = -1
        while (now := server.stats()["requests"]) != seen:
            seen = now
            time.sleep(0.3)
        assert seen < urls // 2, "the buffer of 1 MiB is full after a few of these bodies"
        assert 1 + sum(1 for _ in rows) == urls
