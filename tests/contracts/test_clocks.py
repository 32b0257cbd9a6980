"""The wall clock is read for what people and servers see, never for a deadline."""

from pathlib import Path

ENGINE = Path(__file__).parents[2] / "crates" / "engine" / "src"
# Dates of headers are compared with it, and rows say when they began.
READERS = {"shard/learn.rs", "timings.rs"}


def test_s9_deadlines_do_not_know_the_wall_clock() -> None:
    found = {
        path.relative_to(ENGINE).as_posix()
        for path in ENGINE.rglob("*.rs")
        if "SystemTime::now" in path.read_text(encoding="utf-8")
    }
    assert found == READERS
