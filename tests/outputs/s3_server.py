"""A private S3 server: moto's, in a separate process, on a loopback port, with switches for faults."""

import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from urllib.request import urlopen

BUCKET = "bucket"
STOP_SECONDS = 10.0

_PROGRAM = """
import logging, sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
s3 = DomainDispatcherApplication(create_backend_app)
faults = {"fail": "", "lose": "", "commits": "0"}

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/-/"):
        _, _, fault, what = path.split("/", 3)
        faults[fault] = what
        start_response("200 OK", [])
        return [b""]
    request = environ["REQUEST_METHOD"] + " " + path
    lost = bool(faults["lose"]) and faults["lose"] in request
    if lost:
        faults["lose"] = ""
        list(s3(environ, lambda *_: None))
    if lost or (faults["fail"] and faults["commits"] == "0" and faults["fail"] in request):
        start_response("503 Slow Down", [("Content-Length", "0"), ("Connection", "close")])
        return [b""]
    if faults["commits"] != "0" and request.startswith("PUT") and "/journal/" in request:
        faults["commits"] = str(int(faults["commits"]) - 1)
    return s3(environ, start_response)

server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


class S3:
    """One server with one bucket; a context manager. Its content is gone when it stops."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.endpoint = ""

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        try:
            port = int(self._process.stdout.readline())
        except BaseException:
            self.stop()
            raise
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client().create_bucket(Bucket=BUCKET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """End the process, by its id, and wait for it; harmless when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)
            if process.stdout is not None:
                process.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that give a client its address and credentials."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "the-key-id",
            "AWS_SECRET_ACCESS_KEY": "the-secret-key",
        }

    def client(self) -> Any:
        """Return a boto3 client, independent of hurtle."""
        import boto3

        known = {name.lower(): value for name, value in self.environment.items()}
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=known["aws_region"],
            aws_access_key_id=known["aws_access_key_id"],
            aws_secret_access_key=known["aws_secret_access_key"],
        )

    def fail(self, what: str = "", *, commits: int = 0) -> None:
        """Answer 503 to every request whose method and path contain this; empty: to none.

        Args:
            what: The text.
            commits: How many entries of journals are written before.
        """
        self._switch("commits", str(commits))
        self._switch("fail", what)

    def lose(self, what: str) -> None:
        """Carry out the next such request, but answer 503."""
        self._switch("lose", what)

    def _switch(self, fault: str, what: str) -> None:
        with urlopen(f"{self.endpoint}/-/{fault}/{quote(what)}"):
            return

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Return what is under a prefix, by the rest of the name."""
        client = self.client()
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {
            one["Key"].removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
            for one in listed
        }

    def put(self, key: str, data: bytes) -> None:
        """Put an object there."""
        self.client().put_object(Bucket=BUCKET, Key=key, Body=data)
