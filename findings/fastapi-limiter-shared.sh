#!/usr/bin/env bash
# guess:   set up as in its README, `Limiter(Rate(3, Duration.MINUTE))` gives each client three requests a minute:
#          "default is by IP + path". A second address begins with three of its own.
# with:    fastapi-limiter 0.2.0, pyrate-limiter 4.5.1 (with fastapi 0.165.0, starlette 1.10.0, uvicorn 0.54.0)
# happens: that Limiter holds one bucket, and every key goes into it. Once the first client has used the three, the
#          second is refused at its first request. One busy client locks out all others, and a client that keeps to
#          the limit by its own count is refused all the same.
# seen:
#   | from 127.0.0.1: 200 200 200 429
#   | from 127.0.0.2: 429
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir fastapi-limiter==0.2.0 pyrate-limiter==4.5.1 \
  fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0 || exit 2

cat >"$folder/probe.py" <<'PY'
import socket
import threading
import time
from http.client import HTTPConnection

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import Duration, Limiter, Rate

app = FastAPI()


@app.get("/", dependencies=[Depends(RateLimiter(limiter=Limiter(Rate(3, Duration.MINUTE))))])
async def page():
    return "ok"


def ask(address):
    port = listener.getsockname()[1]
    connection = HTTPConnection("127.0.0.1", port, timeout=10, source_address=(address, 0))
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, args=([listener],), daemon=True).start()
while not server.started:
    time.sleep(0.05)
print("from 127.0.0.1:", *[ask("127.0.0.1") for _ in range(4)])
print("from 127.0.0.2:", ask("127.0.0.2"))
server.should_exit = True
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
