"""robots.txt: redirects and the user agent, at the options of callers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hurtle
from hurtle.testing import Server


@contextmanager
def moved_rules(rules: str) -> Iterator[tuple[str, list[str]]]:
    """Serve `rules` behind a redirect of /robots.txt. Yields the URL and the paths that were requested."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            body = rules.encode() if self.path == "/moved.txt" else b""
            self.send_response(302 if self.path == "/robots.txt" else 200)
            if self.path == "/robots.txt":
                self.send_header("Location", "/moved.txt")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_robots_txt_is_obeyed_when_it_has_moved_and_rows_follow_no_redirects() -> None:
    with moved_rules("User-agent: *\nDisallow: /private\n") as (url, asked):
        (response,) = hurtle.fetch([f"{url}/private"], robots=True, follow_redirects=False, retries=0)
    assert response.error is not None
    assert response.error.code == "host.robots"
    assert asked == ["/robots.txt", "/moved.txt"]


def test_each_request_is_judged_by_its_own_user_agent_when_it_has_one() -> None:
    rules = "User-agent: ExampleBot\nDisallow: /echo\n\nUser-agent: mine\nDisallow: /bytes\n"
    with Server(robots=rules) as server:
        requests = [
            {"url": server.url(path), "headers": headers}
            for headers in ({}, {"user-agent": "ExampleBot/1.0"}, {"User-Agent": "other"})
            for path in ("/echo", "/bytes/1")
        ]
        results = hurtle.fetch(requests, robots=True, user_agent="mine/2.0 (mail@example.com)", retries=0)
    assert [response.ok for response in results] == [True, False, False, True, True, True]
    assert {response.error.code for response in results if response.error} == {"host.robots"}
    sent = [dict(results[row].json()["headers"])["user-agent"] for row in (0, 4)]
    assert sent == ["mine/2.0 (mail@example.com)", "other"]
