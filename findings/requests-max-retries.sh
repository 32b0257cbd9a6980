#!/usr/bin/env bash
# guess:   `HTTPAdapter(max_retries=3)` never repeats a request that the server has answered: its documentation says
#          "never to requests where data has made it to the server", and no status was listed.
# with:    requests 2.34.2, urllib3 2.8.0
# happens: an answer of 413, 429 or 503 that has Retry-After is repeated, three times here, after a sleep as long as
#          the header says; the same answer without the header is not. The number becomes a urllib3 `Retry`, whose
#          `respect_retry_after_header` needs no list of statuses. POST is not repeated.
# seen:
#   | GET 503: sent 1 times, status 503
#   | GET 503, retry-after: sent 4 times, status 503
#   | GET 429, retry-after: sent 4 times, status 429
#   | GET 413, retry-after: sent 4 times, status 413
#   | GET 500, retry-after: sent 1 times, status 500
#   | POST 503, retry-after: sent 1 times, status 503
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir requests==2.34.2 urllib3==2.8.0 || exit 2

cat >"$folder/probe.py" <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from requests.adapters import HTTPAdapter

sent = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global sent
        sent += 1
        self.rfile.read(int(self.headers.get("content-length", "0")))
        _, status, *waits = self.path.split("/")
        self.send_response(int(status))
        if waits:
            self.send_header("retry-after", "0")
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=3))
for method, path in (
    ("GET", "/503"), ("GET", "/503/wait"), ("GET", "/429/wait"), ("GET", "/413/wait"),
    ("GET", "/500/wait"), ("POST", "/503/wait"),
):
    sent = 0
    status = session.request(method, f"http://127.0.0.1:{server.server_port}{path}", data="x").status_code
    print(f"{method} {path[1:].replace('/wait', ', retry-after')}: sent {sent} times, status {status}")
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
