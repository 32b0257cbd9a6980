#!/usr/bin/env bash
# guess:   a 429 has one Retry-After, a number of seconds that a client can read.
# with:    quart-rate-limiter 0.12.1 (with quart 0.20.0, hypercorn 0.17.3)
# happens: the header is sent twice. A client that joins repeated fields, as HTTP lets it, reads "5, 5", which is
#          neither a number nor a date.
# seen:
#   | status 200, Retry-After None, joined None
#   | status 429, Retry-After ['5', '5'], joined 5, 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir quart-rate-limiter==0.12.1 quart==0.20.0 hypercorn==0.17.3 || exit 2

cat >"$folder/probe.py" <<'PY'
import asyncio
import socket
from datetime import timedelta
from http.client import HTTPConnection

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart
from quart_rate_limiter import RateLimiter, rate_limit

app = Quart(__name__)
RateLimiter(app)


@app.get("/")
@rate_limit(1, timedelta(seconds=5))
async def page():
    return "ok"


def ask(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    fields, joined = answer.headers.get_all("Retry-After"), answer.getheader("Retry-After")
    print(f"status {answer.status}, Retry-After {fields}, joined {joined}")
    connection.close()


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    config = Config()
    config.bind, config.loglevel = [f"fd://{listener.fileno()}"], "ERROR"
    end = asyncio.Event()
    server = asyncio.create_task(serve(app, config, shutdown_trigger=end.wait))
    for _ in range(2):
        await asyncio.to_thread(ask, listener.getsockname()[1])
    end.set()
    await server


asyncio.run(main())
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
