#!/usr/bin/env bash
# guess:   a client that does not know 103 Early Hints skips it, as every interim response (RFC 9110, section 15.2),
#          and gives the 200 that follows.
# with:    urllib3 2.8.0 on CPython 3.11 (so does what builds on it, such as requests 2.34.2); httpx 0.28.1
# happens: Python's http.client skips 100 alone. Any other 1xx is given as the final response, without a body:
#          a page that a server begins to hint for is 103 and empty from then on. httpx, on h11, skips it.
# seen:
#   | 100 then 200: urllib3 200 b'page', requests 200 b'page', httpx 200 b'page'
#   | 103 then 200: urllib3 103 b'', requests 103 b'', httpx 200 b'page'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir urllib3==2.8.0 requests==2.34.2 httpx==0.28.1 || exit 2

cat >"$folder/probe.py" <<'PY'
import socketserver
import threading

import httpx
import requests
import urllib3

INTERIM = {
    b"/100": b"HTTP/1.1 100 Continue\r\n\r\n",
    b"/103": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().split()[1]
        while self.rfile.readline().strip():
            pass
        self.wfile.write(INTERIM[path])
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage")


server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
for status in (100, 103):
    url = f"http://127.0.0.1:{server.server_address[1]}/{status}"
    one = urllib3.PoolManager().request("GET", url)
    two = requests.get(url)
    three = httpx.get(url)
    print(
        f"{status} then 200: urllib3 {one.status} {one.data}, requests {two.status_code} {two.content},"
        f" httpx {three.status_code} {three.content}"
    )
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
