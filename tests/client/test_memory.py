"""Peak memory: bodies in flight, rows that wait for an earlier one, and bodies that grow when decoded."""

import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest

import hurtle
from hurtle.testing import Server
from tests.formats.raw_server import RawServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not report the peak"),
]

PRELUDE = """
import sys, hurtle
def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
def at(i, path): return sys.argv[1].replace("127.0.0.1", f"127.0.0.{1 + i % 100}") + path
warm = sum(len(r.content) for r in hurtle.stream([at(0, "/bytes/100000")]))
before = peak()
"""
MIB = 1 << 20
SLACK = 32 * MIB
"""For what is not counted: the first 64 KiB of each body in flight, and the copy of a body in hand."""


def grown(code: str) -> int:
    """Return by how many bytes the peak of a process grows that runs this code."""
    with Server(all_loopback=True) as server:
        return grown_by(code, server.url(""))


def grown_by(code: str, base: str) -> int:
    command = [sys.executable, "-c", f"{PRELUDE}\n{code}\nprint(peak() - before)", base]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def bomb(coding: str) -> bytes:
    """Return 256 MiB of zeros in a content coding."""
    if coding == "zstd":
        # Blocks that repeat one byte 128 KiB times; the last one says so. Source: RFC 8878, section 3.1.1.2.
        block = (128 << 10) << 3 | 1 << 1
        blocks = [block] * 2047 + [block | 1]
        return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(head.to_bytes(3, "little") + b"\0" for head in blocks)
    pieces = [bytes(MIB)] * 256
    if coding == "br":
        encoder = brotli.Compressor(quality=5)
        return b"".join([*map(encoder.process, pieces), encoder.finish()])
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_e1_a_bomb_costs_no_more_memory_than_a_body_may_have(coding: str) -> None:
    body = bomb(coding)
    assert len(body) < MIB
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"
    plain = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + bytes(100_000)
    with RawServer({"/bytes/100000": plain, "/": head.encode() + body}) as server:
        more = grown_by(
            """
(response,) = hurtle.fetch([at(0, "/")])
assert response.error.code == "too_large.decoded", response.error
""",
            server.base,
        )
    # max_body_size is 64 MiB.
    assert more < 80 * MIB, f"{more / MIB:.0f} MiB"


@pytest.mark.parametrize("path", ["/bytes/5000000", "/gzip/5000000"])
def test_bodies_in_flight_stay_within_the_buffer_and_one_more_when_they_are_large(path: str) -> None:
    more = grown(f"""
urls = [at(i, "{path}") for i in range(64)]
rows = hurtle.stream(urls, concurrency=64, max_buffer="16MiB")
assert sum(r.ok and len(r.content) == 5_000_000 for r in rows) == 64
""")
    assert more < 16 * MIB + 5_000_000 + SLACK, f"{more / MIB:.0f} MiB"


def test_rows_that_wait_for_an_earlier_one_count_when_they_are_ordered() -> None:
    more = grown("""
urls = [at(0, "/delay/1000")] + [at(i, "/bytes/1000000") for i in range(200)]
rows = hurtle.stream(urls, ordered=True, concurrency=32, max_buffer="8MiB")
assert [r.index for r in rows if r.ok] == list(range(201))
""")
    assert more < 9 * MIB + SLACK, f"{more / MIB:.0f} MiB"


def test_a_host_does_not_exceed_its_rate_when_it_comes_back_after_many_others() -> None:
    others = 9_000
    with Server(all_loopback=True) as server:
        slow = server.url("/bytes/10")

        def urls() -> Iterator[str]:
            yield slow
            for number in range(others):
                yield slow.replace(
                    "127.0.0.1", f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
                )
            yield slow

        rate = {"127.0.0.1": hurtle.Limits(rate_limit="1/h")}
        with hurtle.Client(hosts=rate, threads=1, concurrency=256) as client:
            rows = client.stream(urls())
            seen = {next(rows).index for _ in range(others + 1)}
            assert others + 1 not in seen
            assert server.stats()["requests"] == others + 1


def test_jobs_give_their_memory_back_when_they_end() -> None:
    more = grown("""
import ctypes, gc
def rss(): return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) * 1024
with hurtle.Client(threads=1) as client:
    for _ in range(100): client.fetch([at(0, "/bytes/10")])
    before = rss()
    for _ in range(500): client.fetch([at(0, "/bytes/10")])
    gc.collect(); ctypes.CDLL(None).malloc_trim(0)
    peak = rss
""")
    assert more < 500 * 1500, f"{more / 500:.0f} bytes a job"


def test_hosts_are_forgotten_when_nothing_is_wanted_of_them() -> None:
    more = grown("""
def host(n): return sys.argv[1].replace("127.0.0.1", f"127.{1 + (n >> 16)}.{n >> 8 & 255}.{n & 255}")
def rss(): return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) * 1024
for number, row in enumerate(hurtle.stream(host(number) + "/bytes/10" for number in range(1, 30_001)), 1):
    assert row.ok, row.error
    if number == 15_000: before = rss()
peak = rss
""")
    assert more < 15_000 * 500, f"{more / 15_000:.0f} bytes a host"


def test_large_bodies_leave_nothing_behind_when_they_were_used() -> None:
    more = grown("""
import gc, time
def rss(): return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) * 1024
before = rss()
for _ in range(2):
    for row in hurtle.stream([at(i, "/bytes/4000000") for i in range(100)], concurrency=50): assert row.ok
del row
gc.collect()
end = time.monotonic() + 5
while rss() > before + (20 << 20) and time.monotonic() < end: time.sleep(0.05)
peak = rss
""")
    assert more < 30 * MIB, f"{more / MIB:.0f} MiB"


def test_rows_wait_for_a_slow_consumer_in_a_sixteenth_of_the_buffer() -> None:
    more = grown("""
import time
rows = hurtle.stream([at(0, f"/bytes/1000?{n}") for n in range(40_000)], concurrency_per_host=64)
first = next(rows)
time.sleep(1.5)
assert sum(row.ok for row in rows) == 39_999
""")
    assert more < 4 * MIB + SLACK, f"{more / MIB:.0f} MiB"


RERUNS = {
    "retry": 'hurtle.retry(out, where="ok", **FEW)',
    "since": 'hurtle.run(urls, out=out.replace("first", "second"), since=out, **FEW)',
    "resume": "hurtle.run(urls, out=out, resume=True, **FEW)",
}
RUN_WITH = """
import sys, hurtle
FEW = {"concurrency_per_host": 100, "max_buffer": "1MiB"}
urls, out = sys.argv[1:]
%s
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("retry", "first.jsonl"),
        ("retry", "first.parquet"),
        ("since", "first.jsonl"),
        ("since", "first.parquet"),
        ("resume", "first/"),
    ],
)
def test_memory_does_not_grow_when_an_earlier_run_has_more_rows(tmp_path: Path, what: str, name: str) -> None:
    peaks = []
    with Server() as server:
        for rows in (70_000, 140_000):
            listed, out = tmp_path / f"{rows}.txt", f"{tmp_path}/{rows}/{name}"
            listed.write_text("".join(f"{server.url('/bytes/300')}?{n}\n" for n in range(rows)))
            (tmp_path / str(rows)).mkdir()
            for action in ("hurtle.run(urls, out=out, **FEW)", RERUNS[what]):
                command = [sys.executable, "-c", RUN_WITH % action, str(listed), out]
                done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
                peaks.append(int(done.stdout))
    # Both lists are longer than what is submitted ahead. Arrow and the C library keep now more, now less.
    first, again = peaks[2] - peaks[0], peaks[3] - peaks[1]
    most = max(first, 0) + 70_000 * 100 + (24 << 20)
    assert again < most, f"{(again - first) / 70_000:.0f} bytes a row: {peaks}"


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_an_output_can_be_opened_when_the_process_may_have_few_descriptors(tmp_path: Path, name: str) -> None:
    code = """
import resource, sys, hurtle
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
hosts = [sys.argv[1].replace("127.0.0.1", f"127.0.1.{1 + i}") for i in range(250)]
urls = [f"{hosts[i % 250]}?{i}" for i in range(1500)]
print(hurtle.run(urls, out=sys.argv[2]).ok)
"""
    with Server(all_loopback=True) as server:
        command = [sys.executable, "-c", code, server.url("/bytes/10"), str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "1500", done.stderr
