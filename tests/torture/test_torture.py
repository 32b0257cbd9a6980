"""The short form of `make torture`: a few kills and failures, on the outputs that most runs write."""

import sys
from pathlib import Path

import pytest

from tests.torture import methods, outputs, syscalls
from tests.torture.trial import Rack, Tally, server_under_load
from tests.torture.workload import ROWS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="strace and tmpfs are Linux's"),
]

SHORT = [one for one in outputs.OUTPUTS if one.name in ("jsonl, one file", "parquet, folder")]
FURTHER = ("sqlite", "parquet and bodies, folder", "warc, one file")
each_output = pytest.mark.parametrize("output", SHORT, ids=lambda output: output.name)
each_kind = pytest.mark.parametrize(
    "output",
    [*SHORT, *(one for one in outputs.OUTPUTS if one.name in FURTHER)],
    ids=lambda output: output.name,
)

KILLS = 6
STEPS = ("rename", "link", "unlink", "mkdir", "ftruncate", "rmdir")
"""Calls between which the output changes from one state to another: one of each is killed."""


def assert_nothing_was_lost(tally: Tally) -> None:
    assert tally.faults == []
    assert tally.breaks > 0, tally.remark


@each_output
def test_s3_a_run_goes_on_after_sigkill_at_a_system_call(tmp_path: Path, output: outputs.Output) -> None:
    if reason := syscalls.why_not():
        pytest.skip(reason)
    with server_under_load() as server:
        points = methods.points_of(output, server, tmp_path)
        assert {point.call for point in points} >= {"write", "fsync", "rename", "unlink"}
        chosen = syscalls.spread(points, KILLS)
        chosen += [one[len(one) // 2] for call in STEPS if (one := syscalls.of_call(points, call))]
        assert_nothing_was_lost(methods.kill_at(output, chosen, server, tmp_path))


def test_s3_a_run_asks_nothing_again_after_sigkill_while_it_becomes_its_file(tmp_path: Path) -> None:
    """From the record that names the file, over its rename, to the last that is removed."""
    if reason := syscalls.why_not():
        pytest.skip(reason)
    output = SHORT[0]
    with server_under_load() as server:
        points = methods.points_of(output, server, tmp_path)
        chosen = syscalls.of_call(points, "rename")[-2:]
        chosen += syscalls.of_call(points, "unlink") + syscalls.of_call(points, "rmdir")
        tally = methods.kill_at(output, chosen, server, tmp_path)
    assert_nothing_was_lost(tally)
    assert tally.repeated == 0


@each_kind
def test_s3_a_run_goes_on_after_sigkill_at_random(tmp_path: Path, output: outputs.Output) -> None:
    with server_under_load() as server:
        assert_nothing_was_lost(methods.kill_at_random(output, 5, server, tmp_path))


@each_output
@pytest.mark.parametrize(("error", "call"), [("ENOSPC", "write"), ("EIO", "write"), ("EIO", "fsync")])
def test_s4_s5_s6_a_run_ends_with_an_error_and_goes_on_when_a_call_fails(
    tmp_path: Path, output: outputs.Output, error: str, call: str
) -> None:
    if reason := syscalls.why_not():
        pytest.skip(reason)
    with server_under_load() as server:
        points = syscalls.of_call(methods.points_of(output, server, tmp_path), call)
        chosen = syscalls.spread(points, 5)[1:-1] or points
        tally = methods.fail_at(output, chosen, error, server, tmp_path)
        for _ in range(11):
            # An output that makes few calls is easily missed: the order of calls differs from run to run.
            if tally.breaks or tally.faults:
                break
            tally = methods.fail_at(output, chosen, error, server, tmp_path)
    assert_nothing_was_lost(tally)


@each_output
def test_s4_a_run_goes_on_after_its_disk_was_full(tmp_path: Path, output: outputs.Output) -> None:
    with server_under_load() as server:
        tally = methods.fill_disk(output, server, tmp_path)
    if isinstance(tally, str):
        pytest.skip(tally)
    assert_nothing_was_lost(tally)


@pytest.mark.parametrize("output", outputs.OUTPUTS, ids=lambda output: output.name)
def test_the_harness_sees_what_is_wrong(tmp_path: Path, output: outputs.Output) -> None:
    """What finds no fault in a damaged output would find none after a kill either."""
    with server_under_load() as server:
        base = server.url("")
        status, said = Rack(output, tmp_path, server).run()
        assert (status, said) == (0, "")
    assert outputs.faults_of(output, tmp_path, base) == []
    (tmp_path / ".half.tmp").touch()
    assert outputs.faults_of(output, tmp_path, base) == ["left over: .half.tmp"]
    (tmp_path / ".half.tmp").unlink()
    assert len(outputs.faults_of(output, tmp_path, base.replace("127.", "128."))) == ROWS
    victim = max(tmp_path.glob(output.files))
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2 + 1])
    assert any(fault.startswith("unreadable") for fault in outputs.faults_of(output, tmp_path, base))
    victim.unlink()
    assert any(fault.endswith("is lost") for fault in outputs.faults_of(output, tmp_path, base))
