#!/usr/bin/env bash
# guess:   a file server that heeds If-Range heeds both forms of it. One that has sent an ETag and is asked for a
#          range of another version, by its ETag, sends the whole file (RFC 9110, section 13.1.5).
# with:    aiohttp 3.14.5 (server: `add_static`, FileResponse)
# happens: dates are compared, ETags are not: If-Range is read as a date, what is none counts as absent, and the
#          range of the new file is sent with 206. A download that is resumed by ETag becomes a mixture.
# seen:
#   | if-range: the file's ETag: 206
#   | if-range: another ETag: 206
#   | if-range: the file's date: 206
#   | if-range: an earlier date: 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir aiohttp==3.14.5 || exit 2

mkdir "$folder/files"
printf 0123456789 >"$folder/files/file"
cat >"$folder/probe.py" <<'PY'
import asyncio
import sys
from http.client import HTTPConnection

from aiohttp import web


def ask(port, **fields):
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/file", headers={name.replace("_", "-"): text for name, text in fields.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def probe(port):
    whole = ask(port)
    for name, text in (
        ("the file's ETag", whole.headers["etag"]),
        ("another ETag", '"another"'),
        ("the file's date", whole.headers["last-modified"]),
        ("an earlier date", "Thu, 01 Jan 1998 00:00:00 GMT"),
    ):
        print(f"if-range: {name}: {ask(port, range='bytes=5-', if_range=text).status}")


async def main():
    app = web.Application()
    app.router.add_static("/", sys.argv[1])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await asyncio.to_thread(probe, runner.addresses[0][1])
    await runner.cleanup()


asyncio.run(main())
PY
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/probe.py" "$folder/files")
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
