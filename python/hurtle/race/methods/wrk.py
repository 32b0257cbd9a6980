"""wrk, a load generator in C: one thread, as many connections, told by a script to stop after the list."""

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job

# wrk takes a duration, not a number of requests: after the last answer, the script stops its thread and then
# wrk, as Ctrl-C does.
SCRIPT = """
local ffi = require("ffi")
ffi.cdef("int getpid(void); int kill(int, int);")
local paths = {%(paths)s}
local sent, answered = 0, 0
function request()
  sent = sent + 1
  return wrk.format("GET", paths[(sent - 1) %% #paths + 1])
end
function response()
  answered = answered + 1
  if answered == #paths then
    wrk.thread:stop()
    ffi.C.kill(ffi.C.getpid(), 2)
  end
end
"""


def fetch(job: "Job", _got: "Got") -> int:
    """Send every request and count the answers. Certificates are not verified: wrk cannot."""
    parts = [urlsplit(url) for url in job.urls]
    if len({(part.scheme, part.netloc) for part in parts}) > 1:
        job.refuse("wrk supports one host only")
    paths = ",".join(json.dumps(part._replace(scheme="", netloc="").geturl() or "/") for part in parts)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "list.lua")
        script.write_text(SCRIPT % {"paths": paths}, encoding="utf-8")
        shape = [
            "--threads",
            "1",
            "--connections",
            str(job.connections),
            "--duration",
            "1h",
            "--timeout",
            "30s",
        ]
        said = job.run_tool(*shape, "--script", str(script), f"{parts[0].scheme}://{parts[0].netloc}/")
    if failed := re.search(r"Socket errors.*|Non-2xx.*", said):
        raise RuntimeError(failed[0])
    answered = re.search(r"(\d+) requests in", said)
    return int(answered[1]) if answered else 0
