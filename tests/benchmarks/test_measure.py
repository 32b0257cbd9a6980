"""The measuring itself: what counts, what is thrown away, how it is shown."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import pytest

from benchmarks import measure
from benchmarks.machine import Cores
from benchmarks.measure import ContestantError, NoisyMachineError, Sample, Spread, Taken, Terms, interleave


def sample() -> Sample:
    return Sample(requests=1000, wall_s=2.0, client_cpu_s=0.01, server_cpu_s=0.02)


def run(
    contestants: Mapping[str, Callable[[], Sample]], terms: Terms, told: list[str] | None = None
) -> Taken:
    """Interleave against a server that costs nothing."""
    lines = [] if told is None else told
    return interleave(contestants, terms, lambda: 0.0, lines.append)


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

    taken = run({name: partial(contestant, name) for name in "AB"}, Terms(runs=3))
    assert turns == ["A", "B"] * 3
    assert {name: len(samples) for name, samples in taken.samples.items()} == {"A": 3, "B": 3}
    assert (taken.counted, taken.thrown_away, taken.noisy) == (3, 0, 0)


def test_a_run_is_made_again_when_it_was_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Looks come in pairs, before and after a run: 5 % of the second run's time is stolen.
    cores_with(itertools.chain([0, 0, 0, 0.05], itertools.repeat(0.0)), monkeypatch)
    told: list[str] = []
    taken = run({"A": sample, "B": sample}, Terms(runs=2), told)
    assert {name: len(samples) for name, samples in taken.samples.items()} == {"A": 2, "B": 2}
    assert all(one.steal == 0 for samples in taken.samples.values() for one in samples)
    assert taken.thrown_away == sum("thrown away" in line for line in told) == 1


def test_a_round_is_given_up_when_no_try_was_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.chain([0, 0, *[0, 0.05] * 3], itertools.repeat(0.0)), monkeypatch)
    told: list[str] = []
    taken = run({"A": sample, "B": sample}, Terms(runs=1), told)
    assert {name: len(samples) for name, samples in taken.samples.items()} == {"A": 1, "B": 1}
    assert (taken.counted, taken.thrown_away, told.count("round thrown away")) == (1, 3, 1)


def test_the_servers_own_time_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.0), monkeypatch, busy=0.02)
    spent = itertools.count(0.0, 0.02)
    taken = interleave({"A": sample}, Terms(runs=1), lambda: next(spent), lambda _: None)
    assert taken.samples["A"][0].by_others == pytest.approx(0.0)


def test_the_warm_ups_share_of_the_servers_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.0), monkeypatch)
    spent = itertools.count(0.0, 0.02)
    warmed = dataclasses.replace(sample(), warm_up=1000)
    taken = interleave({"A": lambda: warmed}, Terms(runs=1), lambda: next(spent), lambda _: None)
    assert taken.samples["A"][0].server_cpu_us == pytest.approx(10)


@pytest.mark.parametrize(("stolen", "busy"), [(0.03, 0.0), (0.0, 0.08)])
def test_a_noisy_machine_is_given_up_when_time_is_over(
    monkeypatch: pytest.MonkeyPatch, stolen: float, busy: float
) -> None:
    cores_with(itertools.repeat(stolen), monkeypatch, busy=busy)
    seconds = itertools.count()
    monkeypatch.setattr("benchmarks.measure.time.monotonic", lambda: next(seconds))
    with pytest.raises(NoisyMachineError, match="only 0 quiet rounds in 5 seconds, 2 are needed"):
        run({"A": sample}, Terms(runs=2, seconds_at_most=5))


def test_noise_is_counted_and_told_when_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.5), monkeypatch)
    taken = run({"A": sample}, Terms(runs=2, accept_noise=True))
    assert (taken.counted, taken.noisy) == (2, 2)


def test_a_contestant_that_fails_is_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cores_with(itertools.repeat(0.0), monkeypatch)
    whole = iter([sample()])

    def fragile() -> Sample:
        for outcome in whole:
            return outcome
        raise ContestantError("crashed")

    taken = run({"A": fragile, "B": sample}, Terms(runs=3))
    assert taken.failed == {"A": "crashed"}
    assert {name: len(samples) for name, samples in taken.samples.items()} == {"A": 0, "B": 3}
