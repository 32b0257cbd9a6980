"""The progress line: one that moves on a terminal, plain ones elsewhere."""

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hurtle
from hurtle.options import Options
from hurtle.report import progress
from hurtle.report.progress import LiveProgress, Pace, PlainProgress, filled, open_progress, progress_parts
from hurtle.testing import Server

COUNTERS: Any = SimpleNamespace(
    done=1500, ok=1400, failed=100, in_flight=64, bytes_wire=3_000_000, bytes_coming=0,
    attempts=1500,
    limited_by={"concurrency": 50, "input": 10}, phases={"first_byte": 9.0}, first_byte={"p50": 0.05},
    throttled_by=None,
)  # fmt: skip
BEFORE: Any = SimpleNamespace(**vars(COUNTERS) | {"limited_by": {"input": 1}})
OPTIONS = Options()
LIMITED_BY = "limited by concurrency=256"


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_line_holds_counts_rates_and_eta() -> None:
    def line(total: int | None, steady_per_s: float = 250.0) -> str:
        return "  ".join(progress_parts(COUNTERS, total, Pace(500.0, 1e6, steady_per_s)))

    assert line(3000) == (
        "1,500/3,000 done  1,400 ok  100 failed  64 in flight  500 requests/s  1 MB/s  ETA 6 s"
    )
    assert "ETA" not in line(None)
    assert "ETA" not in line(3000, 0.0)
    assert "ETA" not in line(1500)


def test_the_eta_outlasts_a_pause_between_the_windows_of_a_quota() -> None:
    recent = progress.Recent(OPTIONS, 0.0)
    paces = []
    for second in range(60):  # five rows every five seconds
        counters: Any = SimpleNamespace(**vars(COUNTERS) | {"done": 5 * (second // 5 + 1)})
        pace, _ = recent.add(float(second + 1), counters)
        paces.append(pace)
    assert {pace.per_s for pace in paces} > {0.0}
    assert all(0.8 <= pace.steady_per_s <= 1.2 for pace in paces[30:])


def test_no_part_of_the_line_is_cut_when_the_terminal_is_narrow() -> None:
    parts = ["1,500/3,000 done", "1,400 ok", "ETA 1 min 04 s"]
    assert filled(parts, 80) == "1,500/3,000 done  1,400 ok  ETA 1 min 04 s"
    assert filled(parts, 41) == "1,500/3,000 done  1,400 ok\nETA 1 min 04 s"
    assert filled(parts, 4) == "1,500/3,000 done\n1,400 ok\nETA 1 min 04 s"


def test_the_rows_of_an_earlier_run_are_not_waited_for(
    tmp_path: Path, hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text(f"{hurtle_server.url('/bytes/1')}\n" * 10, encoding="ascii")

    def stop(counters: Any) -> None:
        if counters.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hurtle.run(tmp_path / "list.txt", tmp_path / "out.jsonl", progress=stop, rate_limit="20/s")
    left = 10 - hurtle.open_run(tmp_path / "out.jsonl").rows
    assert left < 10
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    hurtle.run(tmp_path / "list.txt", tmp_path / "out.jsonl", progress=True)
    assert f"{left}/{left} done" in out.getvalue()


def test_a_line_comes_now_and_then_when_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    now = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    view = open_progress(3000, OPTIONS, out)
    assert isinstance(view, PlainProgress)
    view.update(BEFORE)
    assert out.getvalue() == ""
    now += progress.PLAIN_EVERY_S
    view.update(COUNTERS)
    view.update(COUNTERS)
    view.close()
    (line,) = out.getvalue().splitlines()
    assert line.startswith("1,500/3,000 done")
    assert line.endswith(f"  {LIMITED_BY}")
    assert "\x1b" not in line


def test_bytes_of_large_bodies_count_while_they_come() -> None:
    recent = progress.Recent(OPTIONS, 0.0)
    for now, coming, per_s in ((1.0, 5_000_000, 8e6), (2.0, 9_000_000, 6e6), (3.0, 0, 1e6)):
        counters: Any = SimpleNamespace(**vars(COUNTERS) | {"bytes_coming": coming})
        pace, _ = recent.add(now, counters)
        assert pace.bytes_per_s == per_s


def test_the_line_names_nothing_when_too_little_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    view = open_progress(3000, OPTIONS, out)
    view.update(BEFORE)
    assert "limited by" not in out.getvalue()


@pytest.mark.parametrize(("columns", "gap"), [(140, "  "), (100, "\n")])
def test_what_limits_the_job_goes_to_a_line_of_its_own_when_the_terminal_is_narrow(
    monkeypatch: pytest.MonkeyPatch, columns: int, gap: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(progress, "monotonic", lambda: 100.0)
    out = Terminal()
    view = open_progress(1500, OPTIONS, out)
    view.update(COUNTERS)
    view.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", out.getvalue())
    assert f"64 in flight  0 requests/s  0 B/s{gap}{LIMITED_BY}" in shown


def test_one_line_moves_on_a_terminal_and_is_gone_at_the_end() -> None:
    out = Terminal()
    view = open_progress(3000, OPTIONS, out)
    assert isinstance(view, LiveProgress)
    view.update(COUNTERS)
    view.close()
    view.close()
    view.update(COUNTERS)
    text = out.getvalue()
    assert "1,500/3,000 done" in text
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")  # the cursor is hidden, then shown again


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(open_progress(None, OPTIONS, Terminal()), PlainProgress)


def test_progress_true_shows_a_line_and_takes_it_away(
    hurtle_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    hurtle.fetch([hurtle_server.url("/bytes/1")] * 10, progress=True)
    assert "10/10 done" in out.getvalue()
    assert out.getvalue().rstrip("\n").endswith(("\x1b[?25h", "\x1b[2K", "\r", "\x1b[1A\x1b[2K"))
