"""The lab against the test server, and its page: what is counted, chosen, kept and shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hurtle.testing import Server
from tests.servers import report, rounds
from tests.servers.report import Result
from tests.servers.rounds import ROUNDS, Figure
from tests.servers.servers import PROGRAMS, SERVERS, Running, chosen, filled
from tests.servers.site import SMALL, Site


def figure_of(rows: int, right: int, **ended: int) -> Figure:
    return Figure(rows=rows, right=right, ended=Counter(ended))


def test_servers_are_chosen_by_a_part_of_their_name() -> None:
    assert list(chosen(["node", "varn"])) == ["varnish", "node", "node-h2"]
    assert chosen([]) == SERVERS
    with pytest.raises(ValueError, match="no server is called 'nod-e'"):
        chosen(["node", "nod-e"])


def test_every_configuration_is_there_and_names_places_that_are_filled_in() -> None:
    folder = Path("/site")
    for name, kind in SERVERS.items():
        running = Running(name, kind, folder, folder)
        if kind.config is not None:
            text = (PROGRAMS / kind.config).read_text(encoding="utf-8")
            (config,) = filled([text], running._places())
            assert "@" not in config
        words = filled(kind.command, running._places() | {"config": folder})
        assert not [word for word in words if "@" in word]


def test_a_row_is_right_when_its_bytes_are_and_a_lie_when_it_says_ok() -> None:
    site = Site(Path(), {SMALL: b"x" * 100}, Path())
    with Server(tls_port=None) as server:
        running = Running("node", SERVERS["node"], Path(), Path())
        running.port = int(server.url("").rpartition(":")[2])
        # Answered with 404, and with a body that is not the one of the site.
        with rounds._client(running, site) as client:
            urls = [server.url("/bytes/100"), server.url("/status/404"), server.url("/close")]
            figure = rounds._same(client.stream(urls), site.bodies[SMALL])
    assert (figure.rows, figure.right, figure.lies) == (3, 0, 1)
    assert figure.ended.total() == 3
    assert figure.ended["404"] == figure.ended["ok, but wrong (200)"] == 1


def test_the_page_shows_every_figure_and_what_was_notable() -> None:
    right = {title: figure_of(7, 7) for title in ROUNDS}
    cut = {"truncated.disconnect": 2}
    text = report.page({
        "nginx": Result(version="1.2", figures=right),
        "node": Result(version="3", figures=right | {"large": figure_of(9, 7, **cut)}),
        "varnish": Result(problem="varnishd is not on this machine"),
    })  # fmt: skip
    assert "| nginx | 1.2 | " + " | ".join(["7"] * len(ROUNDS)) in text
    assert "| Node http | 3 | 7 | **7 of 9** | 7 |" in text
    assert "- Node http, large: 2 × truncated.disconnect" in text
    assert "- Varnish before Node: not run: varnishd is not on this machine" in text
    assert Result(figures={"large": figure_of(9, 7), "small": figure_of(1, 1)}).misses == ["large"]


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    figure = Figure(rows=3, right=2, lies=1, ended=Counter({"404": 1}), notes=Counter({"gzip": 2}))
    kept = {"nginx": Result(version="1", figures={"small": figure}), "go": Result(problem="no go")}
    report.save(kept, tmp_path / "results.json")
    assert report.load(tmp_path / "results.json") == kept


def test_the_page_in_docs_is_that_of_the_results_that_are_kept() -> None:
    kept = report.load()
    assert kept.keys() == SERVERS.keys()
    assert (report.KEPT.parents[2] / "docs" / "servers.md").read_text(encoding="utf-8") == report.page(kept)
