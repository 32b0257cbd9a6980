"""Every case of the chaos server ends as promised, and a broken promise is noticed."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import hurtle
from hurtle._engine import error_codes
from hurtle.chaos import ChaosServer, run_cases
from hurtle.chaos.case import OK, Case, nothing
from hurtle.chaos.table import CASES
from hurtle.cli.selftest import WHAT_COLUMNS

COMMAND = str(Path(sys.executable).parent / "hurtle")
BY_ID = {case.id: case for case in CASES}
TESTING = Path(__file__).parents[2] / "docs" / "testing.md"


@pytest.mark.slow
def test_every_case_ends_as_promised() -> None:
    scores = list(run_cases())
    assert [score.case.id for score in scores] == [case.id for case in CASES]
    assert {score.case.id: score.complaint for score in scores if not score.passed} == {}


def test_ids_are_unique_and_ends_are_codes() -> None:
    assert len(BY_ID) == len(CASES) > 50
    for case in CASES:
        assert re.fullmatch(r"[a-z]\d+", case.id)
        assert len(case.what) <= WHAT_COLUMNS, case.what
        assert all(end in error_codes() or end == OK or end.isdecimal() for end in case.ends), case.id


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        (replace(BY_ID["h17"], ends=(OK,)), "ended as truncated.disconnect instead of ok"),
        (replace(BY_ID["h4"], sees=lambda _: "wrong"), "wrong"),
        (replace(BY_ID["h18"], play=BY_ID["h4"].play), "ended as ok instead of protocol.empty"),
        (Case("z1", "a server that only closes", (OK,), nothing), "ended as protocol.empty instead of ok"),
    ],
    ids=lambda value: value.id if isinstance(value, Case) else "",
)
def test_a_broken_promise_is_noticed(case: Case, complaint: str) -> None:
    (score,) = run_cases((case,))
    assert (score.passed, score.complaint) == (False, complaint)


def test_what_is_wrong_with_a_certificate_is_said_with_what_to_do() -> None:
    some = tuple(BY_ID[name] for name in ("t3", "t4", "t7"))
    with ChaosServer(some) as chaos:
        details = [
            response.error.detail
            for response in hurtle.fetch([chaos.urls[case.id] for case in some], retries=0)
            if response.error is not None
        ]
    assert details == [
        "the certificate is self-signed and not trusted: to trust it, name a file with it in verify",
        "the certificate's issuer is not trusted: to trust it, name a file with its certificate in verify",
        "the peer answered with something else than TLS: is it an http:// port?",
    ]


def test_the_servers_are_loopback_hosts_of_their_own_and_stop() -> None:
    some = (BY_ID["h18"], BY_ID["c5"], BY_ID["t1"], BY_ID["i2"])
    with ChaosServer(some) as chaos:
        assert set(chaos.urls) == {case.id for case in some}
        assert chaos.urls["i2"].startswith("gopher:")
        hosts = [urlsplit(chaos.urls[name]).hostname for name in ("h18", "c5", "t1")]
        assert all(str(host).startswith(("127.", "localhost")) for host in hosts)
        assert len(set(hosts)) == 3 or sys.platform != "linux"
        url = chaos.urls["h18"]
    (response,) = hurtle.fetch([url], retries=0)
    assert response.error is not None
    assert response.error.code == "connect.refused"


def test_the_command_prints_the_score() -> None:
    ran = subprocess.run(
        [COMMAND, "selftest", "h10", "I2"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[:2] for line in ran.stdout.splitlines()] == [["ok", "h10"], ["ok", "i2"]]
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert ran.stderr == "2 of 2 cases ended as promised\n"
    ran = subprocess.run(
        [COMMAND, "selftest", "--json", "h18"], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(ran.stdout) == {
        "case": "h18",
        "what": BY_ID["h18"].what,
        "passed": True,
        "ended": ["protocol.empty"],
        "promised": ["protocol.empty"],
        "complaint": None,
    }
    shown = "\n".join([*_selftest_of_the_docs(), ""])
    ran = subprocess.run(
        [COMMAND, "selftest", "h17", "p13", "e1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == shown, "docs/testing.md"
    ran = subprocess.run(
        [COMMAND, "selftest", "h99"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "unknown case 'h99'" in ran.stderr


def _selftest_of_the_docs() -> list[str]:
    """Return what docs/testing.md says that `hurtle selftest h17 p13 e1` prints."""
    lines = TESTING.read_text(encoding="utf-8").splitlines()
    first = lines.index("$ hurtle selftest h17 p13 e1") + 1
    return lines[first : lines.index("```", first)]


def test_the_docs_name_the_number_of_cases() -> None:
    assert f" {len(CASES)} [faults](faults.md)" in TESTING.read_text(encoding="utf-8")


def test_the_chaos_profile_takes_no_option_of_the_plain_one() -> None:
    ran = subprocess.run(
        [COMMAND, "serve", "--profile=chaos", "--port", "8080"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("hurtle: --port has no effect with --profile chaos")


def test_the_chaos_profile_prints_a_url_for_each_case() -> None:
    with subprocess.Popen(
        [COMMAND, "serve", "--profile", "chaos"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            served = [case for case in CASES if case.url is None]
            lines = [server.stdout.readline().split() for _ in served]
            assert [line[0] for line in lines] == [case.id for case in served]
            assert {case.id for case in served if case.options} == {
                line[0] for line in lines if "selftest has" in " ".join(line)
            }
            assert " ".join(next(line for line in lines if line[0] == "p15")).endswith("has http2=True")
            trusted = [server.stdout.readline().split() for case in served if case.tls_fault]
            assert all(line[0] == "ca" and Path(line[1]).is_file() for line in trusted)
            url = next(line[1] for line in lines if line[0] == "h17")
            (response,) = hurtle.fetch([url], retries=0)
            assert response.error is not None
            assert response.error.code == "truncated.disconnect"
        finally:
            server.terminate()
        assert server.wait(20) == 0
