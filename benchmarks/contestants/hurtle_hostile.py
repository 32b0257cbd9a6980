"""hurtle over a file of URLs of which some are hostile: figures of the healthy ones, and of the whole."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import hurtle


def main() -> None:
    job = json.loads(sys.argv[1])
    urls = Path(job["urls"]).read_text(encoding="ascii").splitlines()
    healthy: str = job["healthy"]
    ended: Counter[str] = Counter()
    rows = ok = 0
    first_cpu_s, clock = _cpu_s(), time.perf_counter()
    last_s = last_cpu_s = in_flight_s = 0.0
    with hurtle.Client(**job["options"]) as client:
        for response in client.stream(urls):
            rows += 1
            if response.url.startswith("http://127.") and f":{healthy}/" in response.url:
                ok += response.ok
                in_flight_s += response.timings.total or 0.0
                last_s = time.perf_counter() - clock
                last_cpu_s = _cpu_s() - first_cpu_s
            else:
                ended[response.error.code if response.error else str(response.status)] += 1
    total_s = time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "rows": rows, "healthy_ok": ok, "healthy_s": last_s, "healthy_cpu_s": last_cpu_s, "total_s": total_s,
        "healthy_in_flight": in_flight_s / last_s,
        "cpu_s": _cpu_s() - first_cpu_s, "peak_rss_bytes": peak, "hostile": dict(ended.most_common()),
    }  # fmt: skip
    print(json.dumps(figures))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
