"""The command `curl --parallel`: one process, bodies written to files, sizes as curl tells them."""

import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hurtle.race.launch import Got, Job


def quoted(url: str) -> str:
    """Return a URL as it stands between quotes in curl's configuration."""
    return url.replace("\\", "\\\\").replace('"', '\\"')


def fetch(job: "Job", got: "Got") -> None:
    """Fetch every URL."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = (
            f'url = "{quoted(url)}"\noutput = "{folder}/{index}"\n' for index, url in enumerate(job.urls)
        )
        options = [
            "--parallel",
            "--parallel-max",
            str(job.connections),
            "--no-progress-meter",
            "--location",
            "--fail",
            "--globoff",
            "--fail-early",
        ]
        if job.ca_path is not None:
            options += ["--cacert", job.ca_path]
        told = "%{urlnum} %{size_download}\n"
        said = job.run_tool("-q", *options, "--write-out", told, "--config", "-", stdin="".join(pairs))
    for line in said.splitlines():
        index, size = line.split()
        got(int(index), int(size))
