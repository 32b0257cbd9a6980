"""The interface of the Rust extension. It is crossed once per batch, never per request."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, final

from hurtle.errors import RequestError
from hurtle.models import Attempt, BadRow, Group, Headers, Hop, Request, Timings, Withheld
from hurtle.options import Options

__all__ = [
    "IDEMPOTENT_METHODS",
    "ArrowStream",
    "Batch",
    "BodyFile",
    "EarlierRows",
    "Engine",
    "Exchange",
    "Job",
    "ParquetFile",
    "ParquetReader",
    "Progress",
    "Response",
    "Schema",
    "TestServer",
    "__version__",
    "arrow_schema",
    "body_text",
    "decode_body",
    "error_codes",
    "groups_of",
    "identify",
    "option_defaults",
    "rows_of_lines",
]

__version__: str

IDEMPOTENT_METHODS: tuple[str, ...]
"""Methods whose requests may be sent twice. Source: RFC 9110, section 9.2.2; RFC 10008 (QUERY)."""

def error_codes() -> dict[str, bool]:
    """Return every error code, and whether a request that ends with it can be retried."""

def groups_of(options: Options, hosts: Sequence[str]) -> list[tuple[str, int | None]]:
    """Return the group of each host: its name, and the place of its limits in `options.hosts`.

    The place is None if the general limits apply. Nothing is resolved: where limits are by address, each name
    is a group of its own.
    """

def identify(
    rows: Sequence[str | Request | BadRow], params: str | None = None
) -> list[tuple[str, bool, bytes] | str]:
    """Return where each row goes and what it sends: (host, whether encrypted, identity), or its error code.

    Rows with the same identity send the same bytes, with the same timeout, and decode alike. `params` are the
    parameters of every request, already encoded.
    """

def body_text(body: bytes, content_type: str | None = None) -> str:
    """Return a body as text, as `Response.text` does."""

def decode_body(body: bytes, content_encoding: str, max_bytes: int, *, whole: bool = False) -> bytes:
    """Return a body without its content codings.

    Return its first `max_bytes`, and of a body that ends early what there is; `whole`: it has to be whole.
    ValueError: it does not have that coding, or is not whole.
    """

def rows_of_lines(lines: bytes, columns: Sequence[str]) -> list[dict[str, Any] | None]:
    """Return the wanted columns of each JSON line; a key that it lacks is None.

    `meta` is its JSON as text; `body` comes from `body` or `body_base64`. None stands for a line that is
    damaged or unusual: Python's parser has to judge it.
    """

def option_defaults() -> dict[str, object]:
    """Return the engine's defaults by option name (scalars; timeouts in seconds)."""

@final
class EarlierRows:
    """The newest whole response for each method and URL of an earlier run: a refresh compares with it.

    Memory: 16 bytes for each row; the rest is in a temporary file that disappears with the process.
    """

    def __new__(cls, name: str) -> EarlierRows: ...
    @property
    def runs(self) -> list[str]:
        """The names of the runs that hold the bodies: first the earlier one."""

    def add(
        self, rows: list[dict[str, Any]], fetched_us: Sequence[int], digests: Sequence[bytes | None]
    ) -> None:
        """Add rows of the run that are answers to compare with.

        `fetched_us` is when each was fetched, in microseconds since 1970; `digests` are those of the bodies.
        """

    def follow(
        self, run: str, rows: list[dict[str, Any]], fetched_us: Sequence[int], digests: Sequence[bytes | None]
    ) -> None:
        """Read from the rows of another run what this run's rows refer to. Call it after the last `add`."""

    def dangling(self) -> str | None:
        """Return a run that lacks a row that is referred to; None: there is none."""

    def find(
        self, method: str, url: str
    ) -> tuple[int, bytes | None, str | None, str | None, str | None, int, int, bool] | None:
        """Return what the run has for a request.

        That is status, digest, ETag, Last-Modified, where redirects ended, the number in `runs` of the run
        that has the body, the row's position there, and whether there were different answers.
        """

@final
class Engine:
    """Threads, connections, DNS and TLS state. Several jobs can run on it at the same time."""

    def __new__(cls, options: Options) -> Engine: ...
    def job(
        self,
        *,
        max_duration: float | None = None,
        ledger: str | PathLike[str] | None = None,
        records_exchanges: bool = False,
        keeps_codings: bool = False,
        body_folder: str | PathLike[str] | None = None,
        bodies_above: int = 0,
        hashes_bodies: bool = False,
    ) -> Job:
        """Open a job: one stream of requests in, one stream of batches out.

        With a `ledger`, the index of each request whose method is not idempotent is on the disk, in that
        file, before its first byte can leave. With `records_exchanges`, rows keep their exchanges. With
        `keeps_codings`, bodies in memory keep their content codings, which `Response` undoes. Bodies
        of `bodies_above` bytes or more are written to the `body_folder` while they come, decoded, and hashed
        with `hashes_bodies`: see `Response.body_file`.
        """

    def close(self) -> None:
        """Cancel every job and end the threads. Further calls raise ClosedError."""

@final
class Job:
    """One stream of requests through an engine. Methods may be called from different threads."""

    def submit(self, requests: Sequence[str | Request | BadRow | Group | Withheld]) -> bool:
        """Queue requests; wait, without the GIL, while the look-ahead is full. False: no more are taken."""

    def finish(self) -> None:
        """Declare the end of the input."""

    def next_batch(self, timeout: float | None = None) -> Batch | None:
        """Wait, without the GIL and checking signals, for finished rows.

        None: the job is done, or the timeout, in seconds, has passed: then `done` is False.
        LedgerError or SinkError, after the last row: the ledger or a body could not be written, and the job
        has stopped.
        """

    def stop(self) -> None:
        """Start no more requests: those queued are dropped without a row, those in flight continue."""

    def cancel(self) -> None:
        """Drop all requests, queued and in flight. Idempotent."""

    @property
    def done(self) -> bool:
        """Whether the input has ended and every row was taken, or the job was cancelled."""

    def hold_back(self, held_bytes: int, awaited: int) -> None:
        """Say that rows of so many bytes in all are kept until the row at `awaited` comes."""

    def progress(self) -> Progress:
        """Return the counters of this moment."""

@final
class Progress:
    """Counters of a job at one moment. `done` counts rows taken with next_batch."""

    submitted: int
    done: int
    ok: int
    failed: int
    in_flight: int
    queued: int
    attempts: int
    bytes_wire: int
    bytes_body: int
    bytes_coming: int
    """Bytes that have come of large bodies which are still being read; `bytes_wire` lacks them."""
    statuses: dict[int, int]
    errors: dict[str, int]
    first_byte: dict[str, float]
    """Seconds by name: p50, p95, p99, max. Empty without a response."""
    total: dict[str, float]
    conns_opened: int
    limited_by: dict[str, int]
    """How often each bottleneck was seen, by its name, as crates/engine/src/job/bottleneck.rs lists them."""
    phases: dict[str, float]
    """Seconds spent in each phase of the last attempts, summed over `done` rows: queue, dns, connect, tls,
    first_byte, body."""
    throttled: int
    """Requests that their host refused because it gets too many, among `done` rows."""
    throttled_for: float
    """Seconds from the first refusal of each of them to its last attempt, in all."""
    throttled_by: tuple[str, int, int, float | None, float | None] | None
    """The host that refused the most requests: its name, the last status, how often, the last wait that it
    asked for, in seconds, and the requests per second that it accepts, as far as known."""

@final
class Batch:
    """Finished rows. Iterate for Response objects, or take the columns through Arrow; never pay for both."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Response]: ...
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...
    def values(
        self,
        places: Sequence[int] | None = None,
        without_body: Sequence[bool] | None = None,
        *,
        with_flags: bool = True,
    ) -> list[tuple[Any, ...]]:
        """Return the values of rows, in the order of the columns: those at some places, or all.

        Lists are JSON in ASCII, instants ISO 8601. Bodies of rows that are marked in `without_body` are None.
        Without `with_flags`, 1 and 0 stand for True and False.
        """

    def to_jsonl(self, *, bodies: bool = True) -> bytes:
        """Return the rows as JSON lines, with the columns as keys; without `bodies` every body is null."""

    def indexes(self) -> list[int]:
        """Return the rows' positions in the input."""

    def pieces(self) -> list[tuple[Batch, list[int] | None]]:
        """Return the batches that have the rows, each with the places of the rows in it; None: all."""

    def added(self) -> dict[str, Sequence[object]]:
        """Return the columns behind those of the result table: none."""

    def without_body(self) -> list[bool] | None:
        """Return which rows are written without their bodies: None."""

    def body_sizes(self) -> list[int]:
        """Return how much memory each row's body takes, in bytes."""

    @property
    def file_bytes(self) -> int:
        """The length of all bodies that are on the disk, in bytes."""

    def failures(self) -> list[int]:
        """Return the positions in the input of the rows that are not ok."""

    def exchanges(self) -> list[tuple[Exchange, ...]]:
        """Return, for each row, what went over the wire in its last attempt, redirects first.

        The tuples are empty for rows without a response, and unless the job records exchanges.
        """

    @property
    def nbytes(self) -> int:
        """Memory of the rows, in bytes."""

    @property
    def unrepeatable(self) -> int:
        """How many rows belong to requests that were sent and must not be sent again."""

@final
class ParquetFile:
    """A Parquet file in the making: takes rows, and returns pieces of bytes that come next in the file."""

    def __new__(cls, added: Sequence[tuple[str, str, bool]], compression: str) -> ParquetFile:
        """Begin a file with the columns of the result table and those `added`.

        Each of these has a name, a kind ("text" or "integer") and whether it may be null. `compression` is
        "zstd:1" to "zstd:22", "lz4", "snappy" or "none". ValueError: it is not.
        """

    @staticmethod
    def like(path: str | PathLike[str], compression: str) -> ParquetFile:
        """Begin a file with the columns of another one. OSError, ValueError: that cannot be read."""

    def __len__(self) -> int:
        """Return how many rows wait for the next row group."""

    def append(
        self,
        batch: Batch,
        places: Sequence[int] | None,
        added: Mapping[str, Sequence[object]],
        without_body: Sequence[bool] | None,
        start: int = 0,
    ) -> int:
        """Add rows of a batch to the next row group: those at some places in it, or all.

        `added` and `without_body` have a value for each row, beginning at `start`. Return where the next
        batch begins there.
        """

    def flush(self) -> list[memoryview]:
        """Encode the rows so far as a row group; no bytes if there are none."""

    def write_stream(self, stream: bytes) -> list[memoryview]:
        """Encode the rows of an Arrow IPC stream as a row group; columns that it lacks are null."""

    def copy(self, path: str | PathLike[str], group: int, hidden: bytes) -> list[memoryview]:
        """Copy a row group of a file: as it is encoded there, if it has the same columns and all are wanted.

        `hidden` has one bit for each position, the lowest first: it is set if the row is not wanted.
        OSError, ValueError: the file cannot be read.
        """

    def finish(self) -> list[memoryview]:
        """Encode the rest and the footer. Nothing more can be written."""

@final
class ParquetReader:
    """Rows of a Parquet file, in batches of bounded size. OSError, ValueError: they cannot be read."""

    def __new__(cls, path: str | PathLike[str], batch_rows: int, batch_bytes: int) -> ParquetReader:
        """Read the footer. A batch ends at so many rows, at about so many bytes, and with its row group."""

    @property
    def groups(self) -> list[int]:
        """The number of rows in each row group."""

    @property
    def names(self) -> list[str]:
        """The names of the columns."""

    def rows(self, columns: Sequence[str], group: int = 0) -> Iterator[list[dict[str, Any]]]:
        """Read rows as dicts with some columns, from a row group on; a column that the file lacks is None."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return all rows as an Arrow stream, with the types that the writer had. Each call reads again."""

    def __arrow_c_schema__(self) -> object:
        """Return the columns, with the types that the writer had."""

@final
class Exchange:
    """One request and its response as they went over the wire; HTTP/2 is written in HTTP/1.1 form."""

    @property
    def url(self) -> str:
        """The requested URL."""

    @property
    def started_us(self) -> int:
        """Start, in microseconds since 1970-01-01 UTC."""

    @property
    def remote_ip(self) -> str | None:
        """The peer's address."""

    @property
    def http_version(self) -> str:
        """HTTP version of the response: "1.0", "1.1" or "2"."""

    @property
    def request(self) -> bytes:
        """Head and body as sent."""

    @property
    def response(self) -> bytes:
        """Head and body as received, with their framing and content codings, without interim responses."""

    @property
    def body_at(self) -> int:
        """Where the body begins in `response`."""

    @property
    def truncated(self) -> str | None:
        """Why the body is a prefix: "length", "time" or "disconnect"."""

@final
class Schema:
    """The result table's schema."""

    def __arrow_c_schema__(self) -> object: ...

def arrow_schema() -> Schema:
    """Return the result table's schema: an object with __arrow_c_schema__."""

@final
class ArrowStream:
    """Batches as one Arrow stream. It can be read once."""

    def __new__(cls, batches: Iterator[Batch]) -> ArrowStream: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...

@final
class BodyFile:
    """A body on the disk.

    The file is removed with the last object that has it, unless it was renamed before.
    """

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def nbytes(self) -> int:
        """Its length, in bytes."""

    @property
    def sha256(self) -> bytes | None:
        """Its SHA-256, if the job hashes bodies."""

@final
class Response:
    """One finished request: the response, or why there is none.

    Headers, text and JSON are created on first access.
    """

    index: int
    id: str
    meta: Any
    request: Request
    method: str
    url: str
    final_url: str
    redirects: tuple[Hop, ...]
    history: tuple[Hop, ...]
    ok: bool
    status: int | None
    status_code: int | None
    reason: str | None
    headers: Headers
    content: bytes
    """The body; one that is on the disk is read from there, and OSError says why it cannot be."""
    content_view: memoryview
    """The bytes of `content`, read-only. It spares a body of 4 KiB or more the copy that `content` makes."""
    body_file: BodyFile | None
    """The body on the disk; None: it is in memory."""
    encoding_left: str | None
    """The content codings that are still on `content`, as Content-Encoding would list them; None: none."""
    text: str
    """The body as text. Never raises: what is not in its encoding becomes U+FFFD."""
    encoding: str
    """The encoding in which `text` reads the body, in lower case, such as "utf-8" or "windows-1252".

    The first of these that says one: a byte order mark; the `charset` of Content-Type; the document itself,
    in the way of its type. HTML, XHTML and a body without a type: `<meta>` or an XML declaration in the first
    1,024 bytes. Other XML: its declaration. JSON: the zero bytes of UTF-16. Other types: nothing. Otherwise
    it is "utf-8". Labels mean what they mean to browsers: "latin1" is windows-1252. Unknown ones are passed
    over.

    Source: https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding
    """
    http_version: str | None
    remote_ip: str | None
    attempts: int
    throttled: int
    """Attempts that the host refused because it gets too many requests."""
    attempt_log: tuple[Attempt, ...]
    elapsed: float
    timings: Timings
    bytes_wire: int
    truncated: str | None
    error: RequestError | None
    def text_as(self, label: str) -> str:
        """Return the body as text in an encoding of the caller's choice, whatever the response says.

        Args:
            label: A label of the Encoding Standard, such as "shift_jis", in any case.

        Raises:
            ValueError: There is no such encoding.
        """

    def json(self) -> Any:
        """Return the body parsed as JSON.

        It is read in the encoding of its byte order mark, in the `charset` of Content-Type, or in UTF-8,
        UTF-16 or UTF-32, whichever it is.

        Raises:
            ValueError: It is not JSON, or not in that charset.
        """

    def stream_to(self, path: str | PathLike[str]) -> None:
        """Write the body to a file, which appears under its name when it is complete and fsynced.

        Args:
            path: The file. An existing one is replaced.

        Raises:
            OSError: The file could not be written, or a body on the disk is gone.
        """

    def raise_for_status(self) -> Response: ...

@final
class TestServer:
    """The scripted server, on its own threads, on loopback."""

    def __new__(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_port: int | None = ...,
        tls_fault: str | None = None,
        all_loopback: bool = False,
        latency: float = 0.0,
        jitter: float = 0.0,
        error_rate: float = 0.0,
        error_status: int = 503,
        reset_rate: float = 0.0,
        robots: str | int | None = None,
        robots_by_host: Mapping[str, str | int] = ...,
        threads: int = 1,
    ) -> TestServer: ...
    @property
    def port(self) -> int: ...
    @property
    def tls_port(self) -> int | None: ...
    @property
    def ca_pem(self) -> str: ...
    def stats(self) -> dict[str, int]:
        """Return counters since the start: requests, connections, most requests in flight to one Host."""

    def host_stats(self) -> list[tuple[str, int, int, int, int, int]]:
        """Return a row for each host, sorted by name, with the fields of `HostStats` in order."""

    def limited_stats(self) -> list[tuple[str, str, int, int, list[int], list[int]]]:
        """Return a row for each host and key, sorted by both, with the fields of `LimitedStats` in order."""

    def go_down(self, how: str | int) -> None:
        """Stop serving: "refuse", "reset", "stall", or answer with this status."""

    def come_back(self) -> None:
        """Serve again, on the same ports. No-op for a server that is up."""

    def close(self) -> None: ...
