"""The seeds of `fuzz/`, and mutations of them go through every reader of files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.contracts.tree import ROOT
from tests.fuzzing.readers import READERS

SEEDS = ROOT / "fuzz" / "seeds"
MUTATIONS = 60
WORDS = (
    b"\r\n",
    b"\n",
    b",",
    b'"',
    b"{",
    b"[",
    b"null",
    b"1e999",
    b"-1",
    b"\xff",
    b"\0",
    b"\\ud800",
    b"9" * 30,
)


def mutated(seed: bytes, number: int) -> bytes:
    """Return the seed with one to four changes: a byte, a word, a piece gone, a piece again."""
    choose = random.Random(number)
    data = bytearray(seed)
    for _ in range(choose.randint(1, 4)):
        at = choose.randint(0, len(data))
        end = min(at + choose.randint(0, 15), len(data))
        match choose.randint(0, 3):
            case 0 if at < len(data):
                data[at] = choose.randint(0, 255)
            case 1:
                data[at:at] = choose.choice(WORDS)
            case 2:
                del data[at:end]
            case _:
                data[at:at] = data[at:end]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_properties_hold_when_seeds_are_mutated(name: str) -> None:
    seeds = sorted(path for path in (SEEDS / name).iterdir() if path.is_file())
    assert len(seeds) >= 3
    for path in seeds:
        seed = path.read_bytes()
        for number in range(MUTATIONS + 1):
            data = mutated(seed, number) if number else seed
            try:
                READERS[name](data)
            except Exception as error:  # noqa: BLE001 - whatever it is, with its input
                pytest.fail(f"{path.name}, mutation {number}: {data!r}: {error!r}")


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    targets = {path.stem for path in (ROOT / "fuzz" / "fuzz_targets").iterdir()} | set(READERS)
    assert {path.name for path in SEEDS.iterdir()} == targets
    entry_points = Path(ROOT / "crates/engine/src/fuzzing/seed_tests.rs").read_text(encoding="utf-8")
    for target in targets - set(READERS):
        assert f'explore("{target}", super::{target});' in entry_points
