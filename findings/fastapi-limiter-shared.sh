#!/bin/sh
# fastapi-limiter: all clients share one quota, though the identifier names the client.
#
# Guess:     As set up in its README, Limiter(Rate(3, Duration.MINUTE)), each client has three requests a minute: "default
#            is by IP + path". A second address begins with three of its own.
# Behaviour: That Limiter holds one bucket, and every key goes into it. Once the first client has used the three, the
#            second is refused at its first request. A client cannot know its share: its own pace says nothing.
# Versions:  fastapi-limiter 0.2.0, pyrate-limiter 4.5.1, fastapi 0.165.0
# Output seen:
#   from 127.0.0.1: 200 200 200 429
#   from 127.0.0.2: 429
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
    fastapi-limiter==0.2.0 pyrate-limiter==4.5.1 fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0

cat >trial.py <<'END'
import http.client
import socket
import sys
import threading
import time

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import Duration, Limiter, Rate

app = FastAPI()


@app.get("/", dependencies=[Depends(RateLimiter(limiter=Limiter(Rate(3, Duration.MINUTE))))])
async def page():
    return "ok"


listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, args=([listener],), daemon=True).start()
until = time.monotonic() + 30
while not server.started and time.monotonic() < until:
    time.sleep(0.05)


def ask(address):
    port = listener.getsockname()[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(address, 0))
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


first = [ask("127.0.0.1") for _ in range(4)]
second = ask("127.0.0.2")
print("from 127.0.0.1:", *first)
print("from 127.0.0.2:", second)
server.should_exit = True
sys.exit((first, second) != ([200, 200, 200, 429], 429))
END
venv/bin/python trial.py
