"""The race in a terminal and as a page, from figures made up for the test."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from hurtle.race import RaceResult, Row
from hurtle.race.attempt import Attempt
from hurtle.race.terminal import chart_text, ended_text, table_text

RESULT = RaceResult(
    rows=(
        Row(name="slow", what="one by one", seconds=4.0, rounds=(4.0, 3.9, 4.1), requests_per_s=25.0,
            cpu_us_per_request=1234.4, peak_rss_bytes=30_000_000, bytes=100),
        Row(name="swift", what="all at once", seconds=1.0, rounds=(1.0,), requests_per_s=100.0,
            cpu_us_per_request=80.0, peak_rss_bytes=None, bytes=100),
        Row(name="tool", what="in C", is_reference=True, keeps_bodies=False, seconds=0.5, rounds=(0.5,),
            requests_per_s=200.0, cpu_us_per_request=10.0, peak_rss_bytes=2_000_000),
        Row(name="absent", what="", error="skipped: absent not found (install it)"),
        Row(name="broken", what="", error="<b>boom</b> & \"more\""),
    ),
    machine={"processor": "a <processor>"},
    versions={"slow": "1.0"},
    method={"requests": 100, "connections": 10, "server": "hurtle serve, HTTPS", "latency_s": 0.05,
            "repeat": 3, "measured": "How."},
)  # fmt: skip


def test_the_winner_is_the_fastest_that_is_no_native_tool() -> None:
    assert [row.name for row in RESULT.ranking] == ["tool", "swift", "slow"]
    assert RESULT.winner is not None
    assert RESULT.winner.name == "swift"
    assert [RESULT.times_slower(row) for row in RESULT.rows[:4]] == [4.0, 1.0, 0.5, None]


def test_the_table_is_aligned_and_names_those_without_figures() -> None:
    lines = table_text(RESULT).splitlines()
    assert lines[0].split("  ")[0] == "contestant"
    assert re.match(r"tool\*†\s+0\.500\s+200\s+10\s+2 MB\s+0\.50$", lines[1])
    assert re.match(r"swift\s+1\.000\s+100\s+80\s+–\s+1\.00$", lines[2])
    assert re.match(r"slow\s+4\.000 \(3\.900–4\.100\)\s+25\s+1,234\s+30 MB\s+4\.00$", lines[3])
    assert len({len(line) for line in lines[:4]}) == 1
    assert "absent  skipped: absent not found (install it)" in lines
    assert any(line.startswith("broken  error: ") for line in lines)
    assert any("no contestant can be faster than 0.500 s" in line for line in lines)


def test_bars_are_as_long_as_their_seconds() -> None:
    bars = {line.split()[0]: line.count("█") for line in chart_text(RESULT, 80).splitlines()}
    assert bars["slow"] > 40
    assert abs(bars["swift"] - bars["slow"] / 4) <= 1
    assert all(len(line) <= 80 for line in chart_text(RESULT, 80).splitlines())
    assert "\x1b" not in chart_text(RESULT, 80)
    assert "\x1b[32m" in chart_text(RESULT, 80, color=True)


def test_a_line_says_how_a_run_ended() -> None:
    assert ended_text("swift", 100, Attempt(seconds=1.079)).endswith("download 100 links in 1.079 seconds")
    assert ended_text("swift", 1, Attempt(seconds=1.0)).endswith("download 1 link in 1.000 seconds")
    assert ended_text("swift", 1, Attempt(error="boom")).endswith("error: boom")


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    page = RESULT.to_html()
    assert not re.search(r"<script|<link|src=|href=|url\(|@import|https?://", page)
    assert "&lt;b&gt;boom&lt;/b&gt; &amp; &quot;more&quot;" in page
    assert "a &lt;processor&gt;" in page
    assert "swift wins the race" in page


def test_the_charts_are_well_formed_and_to_scale() -> None:
    charts = re.findall(r"<svg.*?</svg>", RESULT._repr_html_(), re.DOTALL)
    assert len(charts) == 2
    seconds = ElementTree.fromstring(charts[0])
    widths = [float(bar.attrib["width"]) for bar in seconds.iter("rect")]
    assert [width / widths[2] for width in widths] == pytest.approx([0.125, 0.25, 1.0], abs=0.001)
    assert [group.attrib["class"] for group in seconds.iter("g")] == ["reference", "winner", "contestant"]
