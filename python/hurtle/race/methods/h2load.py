"""h2load, a load generator in C++: HTTP/1.1 on as many connections, one request in flight on each."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", _got: "Got") -> int:
    """Send every request and count the answers. Certificates are not verified: h2load cannot."""
    if len({urlsplit(url)[:2] for url in job.urls}) > 1:
        job.refuse("h2load supports one host only")
    clients = min(job.connections, len(job.urls))
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "urls.txt")
        listed.write_text("\n".join(job.urls) + "\n", encoding="utf-8")
        shape = ["--h1", "--requests", str(len(job.urls)), "--clients", str(clients)]
        said = job.run_tool(*shape, "--max-concurrent-streams", "1", "--input-file", str(listed))
    if (failed := re.search(r"status codes:.*", said)) and not re.search(r" 0 3xx, 0 4xx, 0 5xx", failed[0]):
        raise RuntimeError(failed[0])
    answered = re.search(r"(\d+) succeeded", said)
    return int(answered[1]) if answered else 0
