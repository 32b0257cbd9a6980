#!/usr/bin/env bash
# guess:   a body with `Content-Encoding: gzip` that is made of two members, as `cat a.gz b.gz` or a log that is
#          appended to makes it, is decoded whole: RFC 1952 allows it, and httpx does it with two frames of zstd.
# with:    httpx 0.28.1, zstandard 0.25.0; beside it requests 2.34.2 with urllib3 2.8.0
# happens: what follows the first member is dropped, silently: status 200, no error, a part of the text. Streaming
#          does the same.
# seen:
#   | httpx, gzip: b'first;'
#   | httpx, gzip, streamed: b'first;'
#   | httpx, zstd: b'first;second;'
#   | requests, gzip: b'first;second;'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir httpx==0.28.1 zstandard==0.25.0 requests==2.34.2 urllib3==2.8.0 || exit 2

cat >"$folder/probe.py" <<'PY'
import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import requests
import zstandard

TEXTS = (b"first;", b"second;")
BODIES = {
    "gzip": b"".join(map(gzip.compress, TEXTS)),
    "zstd": b"".join(map(zstandard.compress, TEXTS)),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        encoding = self.path[1:]
        self.send_response(200)
        self.send_header("content-encoding", encoding)
        self.send_header("content-length", str(len(BODIES[encoding])))
        self.end_headers()
        self.wfile.write(BODIES[encoding])

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
print(f"httpx, gzip: {httpx.get(f'{base}/gzip').content}")
with httpx.stream("GET", f"{base}/gzip") as streamed:
    print(f"httpx, gzip, streamed: {b''.join(streamed.iter_bytes())}")
print(f"httpx, zstd: {httpx.get(f'{base}/zstd').content}")
print(f"requests, gzip: {requests.get(f'{base}/gzip').content}")
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
