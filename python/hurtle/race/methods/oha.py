"""oha, a load generator in Rust: the list of URLs, as many connections."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def fetch(job: "Job", _got: "Got") -> int:
    """Send as many requests as the list is long, to URLs drawn from it, and count the answers."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "urls.txt")
        listed.write_text("\n".join(job.urls) + "\n", encoding="utf-8")
        shape = ["-n", str(len(job.urls)), "-c", str(job.connections), "--no-tui", "--output-format", "json"]
        if job.ca_path is not None:
            shape += ["--cacert", job.ca_path]
        said = json.loads(job.run_tool(*shape, "--urls-from-file", str(listed)))
    wrong = {status: count for status, count in said["statusCodeDistribution"].items() if status >= "400"}
    if wrong or said["errorDistribution"]:
        raise RuntimeError(f"{wrong or said['errorDistribution']}")
    return int(sum(said["statusCodeDistribution"].values()))
