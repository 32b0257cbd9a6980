#!/usr/bin/env bash
# guess:   a cache that follows RFC 9111 counts the Age of a response that another cache has sent (section 4.2.3):
#          with `Age: 100` and `max-age=60` it is stale when it arrives, and asked for again.
# with:    hishel 2.0.0 (`rfc=True`) on httpx 0.28.1; CacheControl 0.14.4 on requests 2.34.2
# happens: age is "now minus Date" and nothing else. Behind a cache that dates its answers itself, a response is
#          served for its whole max-age once more, and gets up to twice as old as its origin allowed.
# seen:
#   | max-age=60: hishel 1 1 1, CacheControl 1 1 1
#   | max-age=60, age: 100: hishel 1 1 1, CacheControl 1 1 1
#   | max-age=0: hishel 1 2 3, CacheControl 1 2 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir \
  "hishel[httpx]==2.0.0" httpx==0.28.1 CacheControl==0.14.4 requests==2.34.2 || exit 2

cat >"$folder/probe.py" <<'PY'
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from cachecontrol import CacheControl
from hishel.httpx import CacheClient

ANSWERS = {
    "/fresh": {"cache-control": "max-age=60"},
    "/aged": {"cache-control": "max-age=60", "age": "100"},
    "/stale": {"cache-control": "max-age=0"},
}
NAMES = {"/fresh": "max-age=60", "/aged": "max-age=60, age: 100", "/stale": "max-age=0"}
asked = Counter()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked[self.path] += 1
        body = str(asked[self.path]).encode()
        self.send_response(200)  # with Date: now
        for name, text in ANSWERS[self.path].items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
with CacheClient(rfc=True) as hishel, CacheControl(requests.Session()) as session:
    for path, name in NAMES.items():
        said = []
        for client in (hishel, session):
            asked.clear()
            said.append(" ".join(client.get(base + path).text for _ in range(3)))
        print(f"{name}: hishel {said[0]}, CacheControl {said[1]}")
PY
seen=$(cd "$folder" && timeout 60 venv/bin/python probe.py)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
