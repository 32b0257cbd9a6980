#!/usr/bin/env bash
# guess:   installing one more HTTP client changes nothing for a program that does not import it: what requests
#          fetches inside warcio's `capture_http` is archived as before.
# with:    warcio 1.8.1, requests 2.34.2, urllib3 2.8.0, then also niquests 3.21.2 (with urllib3-future 2.25.904)
# happens: niquests depends on urllib3-future, whose package is called urllib3, too, and takes the place of the
#          files. requests then runs on it. warcio watches http.client, which that one does not use: requests still
#          gets its answer, and the archive is an empty file. pip goes on listing urllib3 as it was.
# seen:
#   | before: imported urllib3 2.8.0, pip says 2.8.0, status 200, archived: response request
#   | after: imported urllib3 2.25.904, pip says 2.8.0, status 200, archived: nothing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --no-cache-dir)
"${pip[@]}" warcio==1.8.1 requests==2.34.2 urllib3==2.8.0 || exit 2

cat >"$folder/probe.py" <<'PY'
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from warcio.archiveiterator import ArchiveIterator
from warcio.capture_http import capture_http

import requests
import urllib3


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with capture_http(sys.argv[1]):
    status = requests.get(f"http://127.0.0.1:{server.server_port}/").status_code
with open(sys.argv[1], "rb") as archive:
    records = [record.rec_type for record in ArchiveIterator(archive)]
print(
    f"imported urllib3 {urllib3.__version__}, pip says {version('urllib3')}, status {status},"
    f" archived: {' '.join(records) or 'nothing'}"
)
PY
probe() { timeout 60 "$folder/venv/bin/python" "$folder/probe.py" "$folder/$1.warc.gz"; }
before=$(probe before)
"${pip[@]}" niquests==3.21.2 urllib3-future==2.25.904 || exit 2
seen="before: $before
after: $(probe after)"
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
