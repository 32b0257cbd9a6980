"""A machine without local ports, and one whose network goes away: in a network namespace of its own."""

import json
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PRELUDE = """
import fcntl, json, socket, struct, threading, time
import hurtle
from hurtle.testing import Server

def loopback(is_up):
    with socket.socket() as any_socket:
        flags = 0x49 if is_up else 0x8  # IFF_UP | IFF_LOOPBACK | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", flags))  # SIOCSIFFLAGS

loopback(True)
"""

PORTS = """
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40039")
with Server(port=20000, tls_port=None, latency=0.02) as server:
    urls = [server.url(f"/bytes/{n}") for n in range(400)]
    results = hurtle.fetch(urls, concurrency=200, concurrency_per_host=200, timeout=20)
    statuses = [response.status for response in results]
    print(json.dumps({
        "ok": statuses.count(200),
        "errors": sorted({str(r.error) for r in results if r.error}),
        "charged": sum(r.attempts - 1 for r in results),
    }))
"""

SHARED = """
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40049")
with Server(port=20000, tls_port=None, latency=0.005) as server:
    urls = [server.url(f"/bytes/{n % 100}") for n in range(2_000)]
    results = hurtle.fetch(urls, concurrency=CONCURRENCY, concurrency_per_host=400, threads=1)
    print(json.dumps({
        "ok": sum(response.ok for response in results),
        "charged": sum(r.attempts - 1 for r in results),
        "connections": server.stats()["connections"],
    }))
"""

OTHER_NAME = """
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40009")
with open("/proc/sys/net/ipv4/tcp_tw_reuse", "w") as file:
    file.write("0")  # on loopback, Linux would use the port of a closed connection again after a second
client = hurtle.Client(threads=THREADS, concurrency_per_host=20)
with client, Server(port=20000, tls_port=None, latency=0.02) as server:
    first = [server.url(f"/bytes/{n}") for n in range(100)]
    second = [url.replace("127.0.0.1", "localhost") for url in first]
    told = [client.fetch(urls) for urls in (first, second)]
    print(json.dumps({"ok": [sum(response.ok for response in results) for results in told]}))
"""

AWAY = """
with Server(port=20000, tls_port=None) as server:
    urls = [server.url(f"/bytes/10?{n}") for n in range(400)]
    def go_away():
        while server.stats()["requests"] < 50:
            time.sleep(0.05)
        loopback(False)
        time.sleep(AWAY_S)
        loopback(True)
    threading.Thread(target=go_away).start()
    results = hurtle.fetch(urls, rate_limit="200/s", timeout=2, retries=hurtle.Retry(rounds=ROUNDS))
    print(json.dumps({
        "ok": sum(response.ok for response in results),
        "errors": sorted({str(r.error) for r in results if r.error}),
        "failed": sorted({str(a.code) for r in results for a in r.attempt_log if a.code}),
    }))
"""


def in_a_namespace(script: str) -> dict[str, object]:
    """Run a script in a network namespace, and return what it prints."""
    unshare = shutil.which("unshare")
    if sys.platform != "linux" or unshare is None:
        pytest.skip("C7 and S16 are not tried here: a network namespace needs Linux and unshare")
    command = [unshare, "-rn", sys.executable, "-c", PRELUDE + script]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in ran.stderr:
        pytest.skip(f"C7 and S16 are not tried here: no permission for a namespace: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    told: dict[str, object] = json.loads(ran.stdout)
    return told


def test_c7_rows_are_not_charged_for_a_lack_of_local_ports() -> None:
    told = in_a_namespace(PORTS)
    assert told == {"ok": 400, "errors": [], "charged": 0}


@pytest.mark.parametrize("concurrency", ["400", "'auto'"])
def test_c7_requests_share_the_connections_that_there_are_ports_for(concurrency: str) -> None:
    told = in_a_namespace(f"CONCURRENCY = {concurrency}\n{SHARED}")
    assert (told["ok"], told["charged"]) == (2_000, 0)
    # None was closed to make room for another: its port would have been taken for a minute.
    assert 0 < int(str(told["connections"])) <= 50


@pytest.mark.parametrize("threads", [1, 2])
def test_c7_an_idle_connection_leaves_its_port_to_another_name_of_the_same_address(threads: int) -> None:
    told = in_a_namespace(f"THREADS = {threads}\n{OTHER_NAME}")
    assert told == {"ok": [100, 100]}


@pytest.mark.parametrize(
    ("away_s", "rounds"), [(3, 6), (22, 4)], ids=["for a while", "for longer than all rounds"]
)
def test_s16_a_run_completes_when_the_network_was_away(away_s: int, rounds: int) -> None:
    # Four rounds are over after 18 s; one more begins after 26 s: no other host shows that the network is up.
    told = in_a_namespace(f"AWAY_S, ROUNDS = {away_s}, {rounds}\n{AWAY}")
    assert (told["ok"], told["errors"]) == (400, [])
    assert told["failed"], "some attempts were made while it was away"
