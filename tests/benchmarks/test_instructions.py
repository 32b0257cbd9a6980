"""Reading callgrind's profiles."""

from __future__ import annotations

from benchmarks.instructions import read

PROFILE = """\
version: 1
events: Ir

ob=/lib/_engine.abi3.so
fl=crates/engine/src/pool/h1/head.rs
fn=hurtle_engine::pool::h1::head::split
10 5
cfn=malloc
calls=1 20
11 1000
fi=/registry/httparse-1.10.1/src/lib.rs
40 7
fe=crates/engine/src/pool/h1/head.rs
+2 3

fl=crates/engine/src/shard.rs
fn=hurtle_engine::shard::Shard::land
7 11
ob=/lib/libpython3.11.so
fl=???
fn=_PyEval_EvalFrameDefault
0 13
"""


def test_costs_count_where_the_code_was_written_and_those_of_callees_do_not() -> None:
    assert read(PROFILE) == {
        ("HTTP codec", "hurtle_engine::pool::h1::head::split"): 15,
        ("scheduling", "hurtle_engine::shard::Shard::land"): 11,
        ("Python", "_PyEval_EvalFrameDefault"): 13,
    }


def test_the_standard_library_counts_for_its_caller() -> None:
    text = PROFILE.replace("/registry/httparse-1.10.1/src/lib.rs", "/rustc/abc/library/core/src/slice/mod.rs")
    assert read(text)["HTTP codec", "hurtle_engine::pool::h1::head::split"] == 15
