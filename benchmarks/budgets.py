"""The project's budgets compared with the measurements: one row for each, met or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report import Document, table

WRK_US = 12.5
"""What wrk takes for a small GET on the machine of the absolute budget; on others, wrk scales the budget."""

MOST_CPU_US = 17.0
MOST_TIMES_WRK = 1.35
MOST_TIMES_WRK_TLS = 1.3
LEAST_TIMES_BETTER = {
    "pycurl multi": 1.8,
    "pyreqwest": 3.5,
    "aiohttp+uvloop": 10.0,
    "reqstorm": 20.0,
    "reqstorm+uvloop": 20.0,
}
MOST_TIMES_WRK_LIST = 1.08
MOST_TIMES_WRK_10K = 1.12
MOST_TIMES_WRK_1M = 1.2
MOST_TIMES_H2LOAD = 1.2
LEAST_TIMES_BETTER_COLD = 2.8
MOST_TIMES_ONE_THREAD = 1 / 0.9
MOST_PARQUET_MB = 80.0
MOST_HOSTS_MB = 250.0
MOST_OUTPUT_MB = 110.0
MOST_AGAIN_MB = 150.0
MOST_TIMES_AGAIN = 2.0
MOST_BODIES_MB = 67.1 + 60.0 + 64.0
MOST_PARQUET_ADDS = 0.25
MOST_IMPORT_MS = 15.0
MOST_UNEVEN = 0.05
LEAST_HEALTHY = 0.95
MOST_HOSTILE_RSS = 1.2
MOST_GROWTH = 0.05
"""How far the last memory sample may lie above the median of all samples."""

HEADER = ["figure", "must", "measured", "met"]
PARQUET_URLS = "1000000"
MANY_HOSTS = 1_000_000
MANY_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """One line of the budgets."""

    figure: str
    must: str
    measured: str
    met: bool | None
    """None: not measured."""


def table_of(documents: Mapping[str, Document]) -> str:
    """Return the budgets as a Markdown table."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    return table(HEADER, [[one.figure, one.must, one.measured, words[one.met]] for one in budgets(documents)])


def budgets(documents: Mapping[str, Document]) -> list[Budget]:
    """Compare each budget with the cases' documents."""
    return [
        *_keepalive(_cpu(documents, "keepalive")),
        _https(_cpu(documents, "https")),
        *_bodies(documents),
        *_memory(documents),
        *_output(documents),
        _scaling(_cpu(documents, "scaling")),
        _at_most(
            "`import hurtle` over bare Python",
            MOST_IMPORT_MS,
            _figure(documents, "import_time", "difference_ms"),
            "ms",
        ),
        *_hostile(documents),
        _first(documents),
    ]


def _cpu(documents: Mapping[str, Document], case: str) -> dict[str, float]:
    if case not in documents:
        return {}
    return {name: spread["median"] for name, spread in documents[case]["figures"]["client_cpu_us"].items()}


def _figure(documents: Mapping[str, Document], case: str, name: str) -> float | None:
    value = documents[case]["figures"][name] if case in documents else None
    return None if value is None else float(value)


def _at_most(figure: str, most: float, measured: float | None, unit: str, per: float = 1.0) -> Budget:
    if measured is None:
        return Budget(figure, f"≤ {most:g} {unit}", "", None)
    return Budget(figure, f"≤ {most:g} {unit}", f"{measured / per:.1f} {unit}", measured / per <= most)


def _ratio(figure: str, limit: float, ratio: float | None, *, better: bool) -> Budget:
    must = f"≥ {limit:g}× better" if better else f"≤ {limit:.3g}×"
    if ratio is None:
        return Budget(figure, must, "", None)
    return Budget(figure, must, f"{ratio:.2f}×", ratio >= limit if better else ratio <= limit)


def _keepalive(cpu: Mapping[str, float]) -> list[Budget]:
    ours, wrk = cpu.get("hurtle"), cpu.get("wrk")
    figure = "CPU per small keep-alive GET, Response objects made"
    lines = [Budget(figure, f"≤ {MOST_CPU_US:g} µs where wrk takes {WRK_US:g}", "", None)]
    if ours is not None and wrk is not None:
        most = MOST_CPU_US / WRK_US * wrk
        must = f"≤ {MOST_CPU_US:g} µs where wrk takes {WRK_US:g}; here {most:.2f} µs"
        lines = [Budget(figure, must, f"{ours:.2f} µs", ours <= most)]
    lines.append(_ratio("the same, against wrk", MOST_TIMES_WRK, _over(ours, wrk), better=False))
    return lines + [
        _ratio(f"the same, against {name}", least, _over(cpu.get(name), ours), better=True)
        for name, least in LEAST_TIMES_BETTER.items()
    ]


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one / other


def _https(cpu: Mapping[str, float]) -> Budget:
    ratio = _over(cpu.get("hurtle"), cpu.get("wrk"))
    return _ratio("HTTPS keep-alive, against wrk with TLS", MOST_TIMES_WRK_TLS, ratio, better=False)


def _bodies(documents: Mapping[str, Document]) -> list[Budget]:
    cases = {case: _cpu(documents, case) for case in ("keepalive", "body_10k", "body_1m", "http2", "cold")}
    against = [
        (
            "small keep-alive GET, from a list, against wrk",
            "keepalive",
            "hurtle, from a list",
            "wrk",
            MOST_TIMES_WRK_LIST,
        ),
        (
            "two threads of the engine on one core, against one",
            "keepalive",
            "hurtle, two threads",
            "hurtle",
            MOST_TIMES_ONE_THREAD,
        ),
        ("body of 10 KB, against wrk", "body_10k", "hurtle, views", "wrk", MOST_TIMES_WRK_10K),
        ("body of 1 MB, against wrk", "body_1m", "hurtle, views", "wrk", MOST_TIMES_WRK_1M),
        ("small GET over HTTP/2, against h2load", "http2", "hurtle", "h2load", MOST_TIMES_H2LOAD),
    ]
    lines = [
        _ratio(figure, most, _over(cases[case].get(ours), cases[case].get(other)), better=False)
        for figure, case, ours, other, most in against
    ]
    cold = _over(cases["cold"].get("pycurl multi"), cases["cold"].get("hurtle"))
    figure = "cold HTTPS page of 242 KB as gzip, against pycurl multi"
    return [*lines, _ratio(figure, LEAST_TIMES_BETTER_COLD, cold, better=True)]


def _memory(documents: Mapping[str, Document]) -> list[Budget]:
    peaks = documents["parquet"]["figures"]["peak_rss_bytes"] if "parquet" in documents else {}
    seen = documents["flat"]["figures"]["rss_bytes"] if "flat" in documents else []
    return [
        _at_most(
            "1 M URLs from a file to Parquet, peak RSS", MOST_PARQUET_MB, peaks.get(PARQUET_URLS), "MB", 1e6
        ),
        _at_most(
            "1 M distinct hosts in one run, peak RSS",
            MOST_HOSTS_MB,
            _figure(documents, "hosts_memory", "peak_rss_bytes") if _all_hosts(documents) else None,
            "MB",
            1e6,
        ),
        _at_most(
            "256 bodies of 60 MB in flight, peak RSS: max_buffer, one body and 64 MB",
            MOST_BODIES_MB,
            _figure(documents, "bodies_memory", "peak_rss_bytes"),
            "MB",
            1e6,
        ),
        _flat(seen),
    ]


def _all_hosts(documents: Mapping[str, Document]) -> bool:
    return _figure(documents, "hosts_memory", "hosts") == MANY_HOSTS


def _output(documents: Mapping[str, Document]) -> list[Budget]:
    adds = _figure(documents, "output", "parquet_adds")
    all_rows = _figure(documents, "output_memory", "urls") == MANY_ROWS
    again = _figure(documents, "again_memory", "urls") == MANY_ROWS
    return [
        Budget(
            "CPU that Parquet parts of 10,000 rows add per request, bodies of 1 KB",
            f"≤ {MOST_PARQUET_ADDS:.0%}",
            "" if adds is None else f"{adds:.0%}",
            None if adds is None else adds <= MOST_PARQUET_ADDS,
        ),
        _at_most(
            "1 M rows of 1 KB in Parquet parts, fetched and resumed, peak RSS",
            MOST_OUTPUT_MB,
            _figure(documents, "output_memory", "peak_rss_bytes") if all_rows else None,
            "MB",
            1e6,
        ),
        _at_most(
            "1 M rows retried or refreshed, peak RSS",
            MOST_AGAIN_MB,
            _figure(documents, "again_memory", "peak_rss_bytes") if again else None,
            "MB",
            1e6,
        ),
        _ratio(
            "the same, against the first run",
            MOST_TIMES_AGAIN,
            _figure(documents, "again_memory", "times_the_first_run") if again else None,
            better=False,
        ),
    ]


def _hostile(documents: Mapping[str, Document]) -> list[Budget]:
    share = _figure(documents, "hostile", "healthy_share")
    rss = _figure(documents, "hostile", "rss_share")
    return [
        Budget(
            "healthy throughput with 5 % hostile servers in the list",
            f"≥ {LEAST_HEALTHY:.0%}",
            "" if share is None else f"{share:.0%}",
            None if share is None else share >= LEAST_HEALTHY,
        ),
        Budget(
            "peak RSS with them, over that without",
            f"≤ {MOST_HOSTILE_RSS:.0%}",
            "" if rss is None else f"{rss:.0%}",
            None if rss is None else rss <= MOST_HOSTILE_RSS,
        ),
    ]


def _flat(seen: list[int]) -> Budget:
    figure = "RSS over 10 M responses"
    if not seen:
        return Budget(figure, "flat", "", None)
    growth = seen[-1] / sorted(seen)[len(seen) // 2] - 1
    measured = f"{seen[0] / 1e6:.1f} MB after the first tenth, {seen[-1] / 1e6:.1f} MB at the end"
    return Budget(figure, f"flat (end ≤ middle + {MOST_GROWTH:.0%})", measured, growth <= MOST_GROWTH)


def _scaling(cpu: Mapping[str, float]) -> Budget:
    figure, must = "cost per request at 10⁴, 10⁵, 10⁶ URLs", f"equal ± {MOST_UNEVEN:.0%}"
    if not cpu:
        return Budget(figure, must, "", None)
    middle = (max(cpu.values()) + min(cpu.values())) / 2
    uneven = max(cpu.values()) / middle - 1
    return Budget(figure, must, f"± {uneven:.1%}", uneven <= MOST_UNEVEN)


def _first(documents: Mapping[str, Document]) -> Budget:
    """Compare hurtle with the contestants that deliver bodies, in every case that has several."""
    figure, must = "least CPU per request of all that deliver bodies", "in every case"
    races = {case: one for case, one in documents.items() if "delivers_bodies" in one["figures"]}
    if not races:
        return Budget(figure, must, "", None)
    lost = []
    for case, document in races.items():
        cpu = _cpu(documents, case)
        delivering = {name: cpu[name] for name in cpu if document["figures"]["delivers_bodies"][name]}
        if not min(delivering, key=lambda name: delivering[name]).startswith("hurtle"):
            lost.append(case)
    return Budget(
        figure, must, f"not in {', '.join(lost)}" if lost else f"first in all {len(races)}", not lost
    )
