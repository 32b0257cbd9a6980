#!/usr/bin/env bash
# guess:   `hey -n 100 -c 30` sends 100 requests: a load tool that is told a number sends that number.
# with:    github.com/rakyll/hey v0.1.5 (needs go)
# happens: each of the 30 workers sends 100 / 30 = 3, and the remainder is dropped without a word. Figures that are
#          divided by the number that was asked for are off by up to one request a worker. Its report counts what
#          was sent, and agrees with the server.
# seen:
#   | -n 100 -c 30: the server saw 90, hey reports 90
#   | -n 100 -c 25: the server saw 100, hey reports 100
#   | -n 199 -c 100: the server saw 100, hey reports 100
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GOPATH="$folder/go" GOCACHE="$folder/cache" GOFLAGS=-modcacherw
go install github.com/rakyll/hey@v0.1.5 2>/dev/null || exit 2

cat >"$folder/probe.py" <<'PY'
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

seen = count()


class Server(ThreadingHTTPServer):
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        next(seen)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
before = 0
for number, workers in (("100", "30"), ("100", "25"), ("199", "100")):
    command = [sys.argv[1], "-n", number, "-c", workers, f"http://127.0.0.1:{server.server_port}/"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    after = next(seen)
    reported = re.search(r"\[200\]\s+(\d+) responses", report)[1]
    print(f"-n {number} -c {workers}: the server saw {after - before}, hey reports {reported}")
    before = after + 1
PY
seen=$(timeout 60 python3 "$folder/probe.py" "$folder/go/bin/hey")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
