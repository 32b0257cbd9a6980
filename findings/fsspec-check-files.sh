#!/usr/bin/env bash
# guess:   `filecache` with `check_files=True` notices that a file behind http:// has changed: HTTP has ETag and
#          Last-Modified, and the option says that the remote file is compared.
# with:    fsspec 2026.9.0, aiohttp 3.14.5
# happens: the server is not even asked. What is compared is `ukey`, and for HTTP that is made from the URL and the
#          options alone, so the first version is served for good.
# seen:
#   | read 1: version 1
#   | read 2: version 1
#   | requests during read 2: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir fsspec==2026.9.0 aiohttp==3.14.5 || exit 2

cat >"$folder/probe.py" <<'PY'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec

version, requests = 1, 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global requests
        requests += 1
        body = f"version {version}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{version}"')
        self.send_header("last-modified", f"Tue, 06 Jan 2026 00:00:0{version} GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"filecache::http://127.0.0.1:{server.server_port}/file"
options = {"cache_storage": sys.argv[1], "check_files": True}
for version in (1, 2):
    before = requests
    with fsspec.open(url, "rb", filecache=options) as file:
        print(f"read {version}: {file.read().decode()}")
print(f"requests during read 2: {requests - before}")
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py" "$folder/cache")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
