"""From JSON files to RESULTS.md: tables, sections, budgets."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import budgets, report
from benchmarks.cases import CASES


def race(case: str = "keepalive", **cpu_us: float) -> dict[str, Any]:
    """Return the document of a case, by the medians of its contestants."""
    return {
        "case": case,
        "title": "Small GET",
        "at": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": "2"},
        "versions": {"wrk": "4"},
        "command": f"python -m benchmarks {case}",
        "method": "As always.",
        "quiet": True,
        "header": ["client", "µs"],
        "rows": [[name, f"{figure:.1f}"] for name, figure in cpu_us.items()],
        "figures": {
            "client_cpu_us": {name: {"median": figure} for name, figure in cpu_us.items()},
            "delivers_bodies": {name: name != "wrk" for name in cpu_us},
        },
    }


def verdicts(documents: dict[str, Any]) -> dict[str, bool | None]:
    return {one.figure: one.met for one in budgets.budgets(documents)}


def test_a_table_is_aligned() -> None:
    assert report.table(["client", "µs"], [["hurtle", "5"], ["wrk", "4.25"]]) == (
        "| client |   µs |\n|--------|-----:|\n| hurtle |    5 |\n| wrk    | 4.25 |"
    )


def test_the_page_names_what_is_missing_and_where_it_was_measured() -> None:
    documents = {"keepalive": race(hurtle=5.0)}
    page = report.render(documents, ["keepalive", "https"], budgets.table_of(documents))
    assert "| hurtle | 5.0 |" in page
    assert "Not measured yet: https." in page
    assert "- keepalive: cores 2, wrk 4." in page
    assert "busy machine" not in page


def test_a_noisy_result_says_so() -> None:
    assert "Measured on a busy machine" in report.section(race(hurtle=5.0) | {"quiet": False})


@pytest.mark.parametrize(("ours", "met"), [(5.3, True), (5.5, False)])
def test_the_ratio_to_wrk_decides(ours: float, met: bool) -> None:
    assert verdicts({"keepalive": race(hurtle=ours, wrk=4.0)})["the same, against wrk"] is met


def test_the_absolute_budget_scales_with_wrk() -> None:
    figure = "CPU per small keep-alive GET, Response objects made"
    assert verdicts({"keepalive": race(hurtle=16.9, wrk=12.5)})[figure] is True
    assert verdicts({"keepalive": race(hurtle=16.9, wrk=10.0)})[figure] is False


def test_a_peer_that_is_too_near_misses_the_budget() -> None:
    found = verdicts({"keepalive": race(hurtle=5.0, pyreqwest=17.4, aiohttp=90.0)})
    assert found["the same, against pyreqwest"] is False
    assert found["the same, against pycurl multi"] is None


def test_hurtle_is_first_only_when_nobody_who_delivers_bodies_is_cheaper() -> None:
    figure = "least CPU per request of all that deliver bodies"
    good, bad = race(hurtle=5.0, wrk=4.0, aiohttp=60.0), race("https", hurtle=5.0, aiohttp=4.9)
    assert verdicts({"keepalive": good})[figure] is True
    assert verdicts({"keepalive": good, "https": bad})[figure] is False


def test_memory_is_flat_when_the_end_is_no_higher_than_the_middle() -> None:
    def flat(*seen: int) -> bool | None:
        return verdicts({"flat": {"figures": {"rss_bytes": list(seen)}}})["RSS over 10 M responses"]

    assert flat(20, 22, 22, 22, 22) is True
    assert flat(20, 22, 24, 26, 28) is False


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert set(verdicts({}).values()) == {None}


def test_every_case_has_a_name_for_a_file() -> None:
    assert all(name.isidentifier() for name in CASES)


@pytest.mark.parametrize(("adds", "met"), [(0.25, True), (0.26, False)])
def test_what_parquet_adds_decides(adds: float, met: bool) -> None:
    figure = "CPU that Parquet parts of 10,000 rows add per request, bodies of 1 KB"
    assert verdicts({"output": race("output") | {"figures": {"parquet_adds": adds}}})[figure] is met
    assert verdicts({})[figure] is None


@pytest.mark.parametrize(("urls", "met"), [(1_000_000, True), (1_000, None)])
def test_the_memory_of_fewer_rows_says_nothing_of_a_million(urls: int, met: bool | None) -> None:
    figures = {"urls": urls, "peak_rss_bytes": 100_000_000}
    (found,) = (
        one
        for one in budgets.budgets({"output_memory": race("output_memory") | {"figures": figures}})
        if "1 M rows of 1 KB" in one.figure
    )
    assert found.met is met
