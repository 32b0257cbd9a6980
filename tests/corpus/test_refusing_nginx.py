"""A real nginx that turns requests away: by `limit_req`, and by closing HTTP/2 connections early."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import hurtle
from tests.corpus.nginx import Nginx, find_nginx, free_port

pytestmark = [pytest.mark.slow]

HTTP = """
log_format ends '$status $request_uri';
limit_req_zone $server_port zone=bare:1m rate=4r/s;
limit_req_zone $server_port zone=status:1m rate=4r/s;
ssl_certificate {folder}/server.pem;
ssl_certificate_key {folder}/server.pem;
server {{
    listen 127.0.0.1:{few} ssl http2;
    keepalive_requests 5;
    access_log {folder}/few.log ends;
    location / {{ return 200 "done"; }}
}}
server {{
    listen 127.0.0.1:{limited};
    location /bare {{ limit_req zone=bare burst=4 nodelay; try_files $uri @done; }}
    location /status {{ limit_req zone=status burst=4 nodelay; limit_req_status 429; try_files $uri @done; }}
    location @done {{ return 200 "done"; }}
}}
"""


class Site:
    """The running server: its addresses, and what it logged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.few, self.limited = free_port(), free_port()

    def handled(self) -> Counter[str]:
        """Return how often each path was answered over short-lived HTTP/2 connections."""
        lines = (self.folder / "few.log").read_text(encoding="ascii").splitlines()
        return Counter(line.split()[1] for line in lines if line.startswith("200 "))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if find_nginx() is None:
        reason = "not installed: nginx (`make corpus` installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    site = Site(tmp_path_factory.mktemp("refusing"))
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(site.folder / "server.pem")
    http = HTTP.format(folder=site.folder, few=site.few, limited=site.limited)
    with Nginx(site.folder, http, [site.few, site.limited]):
        yield site


def test_no_post_is_lost_or_worked_on_twice_when_connections_take_five_requests(site: Site) -> None:
    posts = [
        {"url": f"https://127.0.0.1:{site.few}/{index}", "method": "POST", "json": {"n": index}}
        for index in range(300)
    ]
    rows = hurtle.fetch(posts, verify=False, concurrency_per_host=100, http2=True)
    assert Counter(row.status for row in rows) == {200: 300}, rows.summary()
    assert site.handled() == {f"/{index}": 1 for index in range(300)}


@pytest.mark.parametrize("path", ["bare", "status"])
def test_every_row_is_ok_when_nginx_limits_requests(site: Site, path: str) -> None:
    rows = hurtle.fetch([f"http://127.0.0.1:{site.limited}/{path}?{index}" for index in range(24)])
    assert Counter(row.status for row in rows) == {200: 24}
