"""The measuring itself: what counts, what is thrown away, how it is shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from benchmarks import measure
from benchmarks.machine import Cores
from benchmarks.measure import NoisyMachineError, Sample, Spread, interleave
from benchmarks.report import table


def sample() -> Sample:
    return Sample(requests=1000, wall_s=2.0, client_cpu_s=0.01, server_cpu_s=0.02)


def cores_with(shares: Iterable[float], monkeypatch: pytest.MonkeyPatch, *, busy: float = 0.0) -> None:
    """Let one second pass between two looks, of which such shares are stolen, or used by other processes."""
    looks = itertools.count()
    stolen = itertools.accumulate(shares)

    class Clock:
        @staticmethod
        def now() -> Cores:
            look = next(looks)
            return Cores(total_s=look, busy_s=look * busy, stolen_s=next(stolen))

    monkeypatch.setattr(measure, "Cores", Clock)


def test_figures_are_per_request() -> None:
    assert sample().rate_per_s == 500
    assert sample().client_cpu_us == pytest.approx(10)
    assert sample().server_cpu_us == pytest.approx(20)


def test_the_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread(2345.0, 1.0, 3.25).show(1) == "2,345.0 (1.0-3.2)"


def test_contestants_take_turns_when_the_machine_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.0), monkeypatch)
    turns: list[str] = []

    def contestant(name: str) -> Sample:
        turns.append(name)
        return sample()

    samples = interleave({name: lambda name=name: contestant(name) for name in "AB"}, 3, lambda _: None)  # type: ignore[misc]
    assert turns == ["A", "B"] * 3
    assert {name: len(taken) for name, taken in samples.items()} == {"A": 3, "B": 3}


def test_a_round_is_thrown_away_when_a_run_in_it_was_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Looks come in pairs, before and after a run: 5 % of the second run's time is stolen.
    cores_with(itertools.chain([0, 0, 0, 0.05], itertools.repeat(0.0)), monkeypatch)
    told: list[str] = []
    samples = interleave({"A": sample, "B": sample}, 2, told.append)
    assert {name: len(taken) for name, taken in samples.items()} == {"A": 2, "B": 2}
    assert all(taken.steal == 0 for one in samples.values() for taken in one)
    assert sum("thrown away" in line for line in told) == 1


def test_the_servers_own_time_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.0), monkeypatch, busy=0.02)
    assert interleave({"A": sample}, 1, lambda _: None)["A"][0].by_others == pytest.approx(0.0)


@pytest.mark.parametrize(("stolen", "busy"), [(0.03, 0.0), (0.0, 0.08)])
def test_a_noisy_machine_is_given_up(monkeypatch: pytest.MonkeyPatch, stolen: float, busy: float) -> None:
    cores_with(itertools.repeat(stolen), monkeypatch, busy=busy)
    with pytest.raises(NoisyMachineError, match="0 of 2"):
        interleave({"A": sample}, 2, lambda _: None)


def test_a_table_is_aligned() -> None:
    assert table(["client", "µs"], [["hurtle", "5"], ["wrk", "4.25"]]) == (
        "| client |   µs |\n|--------|-----:|\n| hurtle |    5 |\n| wrk    | 4.25 |"
    )
