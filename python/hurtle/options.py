"""Every option, with its default, in the form that the engine receives.

Callers write options by their public names (`OptionsDict`); `Options.resolve` turns them into the one frozen
value that crosses the boundary. The engine has the same defaults; a contract test proves that they are equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict, cast, get_args

from hurtle import checks, rates, wire
from hurtle.attempts import PATIENCE_S, Retry, Timeout, names_of
from hurtle.errors import ConfigError
from hurtle.file_names import NameFrom
from hurtle.limits import WAYS, Concurrency, HostLimits, LimitBy, Limits, read_limits
from hurtle.proxies import ProxySpec, Routes, environment_routes, given_routes
from hurtle.version import __version__

USER_AGENT = f"hurtle/{__version__}"
MOST_THREADS = 1024
"""More threads than any machine has cores. A larger number is a typing error."""

ProgressCallback: TypeAlias = Callable[[Any], None]
"""Called with `hurtle._engine.Progress`, about ten times a second, on the thread that takes the rows.

An exception from it ends the call and reaches the caller: from `stream`, after the rows yielded so far; from
`run`, with the rows so far in the output; from `fetch`, in place of its results.
"""


class JobOptions(TypedDict, total=False):
    """The options that each call may set for itself, on a `Client` too."""

    ordered: bool
    dedupe: bool
    idempotency_key: bool
    on_error: Literal["record", "raise"]
    progress: bool | ProgressCallback | None
    max_duration: float | None
    body_folder: str | PathLike[str] | None


class EngineOptions(TypedDict, total=False):
    """The options that stay fixed as long as a `Client` lives."""

    concurrency: Concurrency
    concurrency_per_host: Concurrency
    rate_limit: rates.RateSpec | None
    rate_limit_per_host: rates.RateSpec | None
    limit_by: LimitBy
    hosts: HostLimits | None
    robots: bool
    strict: bool
    timeout: float | tuple[float | None, float | None] | Timeout | Mapping[str, float | None] | None
    deadline: float | None
    retries: int | Retry | Mapping[str, object]
    follow_redirects: bool
    allow_redirects: bool
    max_redirects: int
    keep_on_redirect: Sequence[str]
    https_only: bool
    block_private: bool
    allow_private: Sequence[str]
    proxy: ProxySpec
    trust_env: bool
    verify: bool | str | PathLike[str]
    http2: Literal["auto"] | bool
    max_body_size: int | str
    on_oversize: Literal["error", "truncate"]
    decode_content: bool
    max_buffer: int | str
    threads: int
    headers: wire.HeaderPairs | None
    params: wire.Params | None
    cookies: Mapping[str, str] | None
    auth: wire.Auth | None
    user_agent: str | None


class OptionsDict(EngineOptions, JobOptions, total=False):
    """Every option by its public name."""


BodyPlace: TypeAlias = Literal["inline", "apart", "coded"]
"""Where bodies are: in their rows, each in a file of its own, or in their rows as they came, compressed."""

BODY_PLACES: tuple[BodyPlace, ...] = get_args(BodyPlace)

CODED: BodyPlace = "coded"
"""In the rows, as they came."""


class OutputOptions(TypedDict, total=False):
    """How `run` and `arun` write their output, and what they do with a run that it already holds.

    Attributes:
        format: "parquet", "jsonl", "warc" or another, if the extension does not name it.
        bodies: "apart", for a folder on this disk: each body is a file there, stored once if equal, and
            its row names it in the column `body_path`. "inline": in the rows. "coded": in the rows as the
            server compressed them; the column `body_encoding` says how, and reading the run undoes it. None:
            the format's default.
        compression: For Parquet "zstd:1" to "zstd:22", "lz4", "snappy" or "none"; None: "zstd:1". For
            `.jsonl.gz` "gzip:1" to "gzip:9"; None: "gzip:6".
        resume: Whether to resume a run that the output holds. None: if input and options are provably the
            same. True: also if the input can be read only once. False: never.
        restart: Drop a run that the output holds, and start over.
        resend_unknown: Whether to resend requests that an earlier run may have sent and that must not be
            sent twice, such as a POST. False: such a request gets a row with the error `local.sent_unknown`.
        since: The output of an earlier run to compare with. URLs that it has are downloaded only if they
            have changed; the column `change` says what happened to each.
    """

    format: str | None
    bodies: BodyPlace | None
    compression: str | None
    resume: bool | None
    restart: bool
    resend_unknown: bool
    since: str | PathLike[str] | None


class RunOptions(OutputOptions, JobOptions, total=False):
    """What `Client.run` and `Client.arun` take: the options of the output, and of the call."""


class RunOptionsDict(OutputOptions, OptionsDict, total=False):
    """What `run` and `arun` take: the options of the output, and every other one."""


class NameOptions(TypedDict, total=False):
    """How `download` names files.

    Attributes:
        name_from: "url": by the last part of the URL's path. "header": by Content-Disposition where there is
            one, with the position of the row added.
        name_column: The key of `meta`, such as a column of the list, that has the name of a row.
        restart: Drop the download that the folder holds, with its files, and start over.
    """

    name_from: NameFrom
    name_column: str | None
    restart: bool


class DownloadOptions(NameOptions, JobOptions, total=False):
    """What `Client.download` takes: how files are named, and the options of the call."""


class DownloadOptionsDict(NameOptions, OptionsDict, total=False):
    """What `download` takes: how files are named, and every option."""


FILE_DEFAULTS: OptionsDict = {
    "max_body_size": 1 << 40,
    "timeout": Timeout(total=None, connect=30.0, first_byte=30.0, read=30.0),
}
"""The options of `download` that differ from those of other verbs: silence has a limit, size hardly."""


def split_names(given: DownloadOptions) -> tuple[NameOptions, OptionsDict]:
    """Return the names of files apart from all other options, known or not."""
    names = {name: value for name, value in given.items() if name in NameOptions.__annotations__}
    others = {name: value for name, value in given.items() if name not in names}
    return cast("NameOptions", names), cast("OptionsDict", others)


def split_output(given: RunOptions) -> tuple[OutputOptions, OptionsDict]:
    """Return the options of the output apart from all others, known or not."""
    output = {name: value for name, value in given.items() if name in OutputOptions.__annotations__}
    others = {name: value for name, value in given.items() if name not in output}
    return cast("OutputOptions", output), cast("OptionsDict", others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All options, resolved: the attributes that the engine reads, and those that the Python side needs.

    Times are seconds, sizes bytes. `headers` holds user agent, cookies and credentials as header fields;
    `params` is an encoded query; `threads` 0 means one per core that this process may use. A rate of None
    means no limit; `hosts` are pairs of a name and its limits, as `limits.host_limits` returns them. The
    representation leaves out headers and params, which may be secrets.
    """

    concurrency: Concurrency = 256
    concurrency_per_host: Concurrency = 10
    rate_limit: rates.Rate | Literal["auto"] | None = None
    rate_limit_per_host: rates.Rate | Literal["auto"] | None = None
    limit_by: LimitBy = "host"
    hosts: tuple[tuple[str, Limits], ...] = ()
    robots: bool = False
    strict: bool = False
    timeout_total: float | None = 30.0
    timeout_connect: float | None = None
    timeout_first_byte: float | None = None
    timeout_read: float | None = None
    deadline: float | None = None
    retry_total: int = 2
    retry_statuses: tuple[int, ...] = Retry().statuses
    retry_methods: tuple[str, ...] | None = None
    retry_backoff: float = 0.5
    retry_max_backoff: float = 60.0
    retry_jitter: float = 1.0
    retry_respect_retry_after: bool = True
    retry_max_retry_after: float = 120.0
    retry_rounds: int = 6
    retry_patience: float | None = PATIENCE_S
    retry_refused: Literal["any", "idempotent"] = "any"
    follow_redirects: bool = True
    max_redirects: int = 10
    keep_on_redirect: tuple[str, ...] = ()
    https_only: bool = False
    block_private: bool = False
    allow_private: tuple[str, ...] = ()
    routes: Routes = field(default=(), repr=False)
    verify: bool | str = True
    http2: Literal["auto"] | bool = "auto"
    max_body_size: int = 64 << 20
    truncate_oversize: bool = False
    decode_content: bool = True
    headers: tuple[tuple[str, str], ...] = field(default=(("user-agent", USER_AGENT),), repr=False)
    params: str | None = field(default=None, repr=False)
    max_buffer: int = 64 << 20
    threads: int = 0
    ordered: bool = False
    dedupe: bool = False
    idempotency_key: bool = False
    on_error: Literal["record", "raise"] = "record"
    progress: bool | ProgressCallback | None = None
    max_duration: float | None = None
    body_folder: str | None = None

    def __post_init__(self) -> None:
        """Check every value whose check does not depend on how it was written."""
        checks.count_or_auto("concurrency", self.concurrency)
        checks.count_or_auto("concurrency_per_host", self.concurrency_per_host)
        checks.count("max_redirects", self.max_redirects, least=0)
        checks.count("threads", self.threads, least=0, most=MOST_THREADS)
        for name in ("deadline", "max_duration"):
            checks.seconds_or_none(name, getattr(self, name))
        for name in _FLAGS:
            checks.flag(name, getattr(self, name))
        if self.block_private and any(through for _, through in self.routes):
            raise ConfigError(
                "block_private cannot be kept through a proxy, which resolves names itself: leave one out"
                " (proxy=False ignores the environment's proxies)",
                option="block_private",
            )
        if self.allow_private and not self.block_private:
            raise ConfigError(
                "allow_private has an effect only with block_private=True", option="allow_private"
            )
        if not (isinstance(self.http2, bool) or self.http2 == "auto"):
            raise checks.wrong("http2", self.http2, '"auto", True or False')
        if self.limit_by not in WAYS:
            raise checks.wrong("limit_by", self.limit_by, '"host", "domain" or "ip"')
        if self.on_error not in ("record", "raise"):
            raise checks.wrong("on_error", self.on_error, '"record" or "raise"')
        if not (self.progress is None or isinstance(self.progress, bool) or callable(self.progress)):
            raise checks.wrong("progress", self.progress, "True, False, None or a function of one argument")

    @classmethod
    def resolve(cls, given: Mapping[str, Any]) -> "Options":
        """Resolve options given by their public names.

        Args:
            given: What the caller wrote, as in `OptionsDict`.

        Raises:
            ConfigError: A name is unknown, a value is not allowed, or this version lacks the option.
        """
        return cls(**_resolved(_named(given)))

    def for_job(self, given: Mapping[str, Any]) -> "Options":
        """Return these options, with those of one job replaced.

        Raises:
            ConfigError: An option belongs to the client, a name is unknown, or a value is not allowed.
        """
        for name in given:
            if name in EngineOptions.__annotations__:
                raise ConfigError(f"{name} belongs to the client: give it to Client({name}=...)", option=name)
        if not given:
            return self
        from dataclasses import replace

        return replace(self, **_named(given))


_UNAVAILABLE: dict[str, tuple[object, ...]] = {
    "cert": (None,),
}
"""Reserved names, with the values that have no effect; any other value is refused, never ignored."""

ALIASES = {"allow_redirects": "follow_redirects", "proxies": "proxy"}
"""Other spellings of an option, from other libraries."""

_KNOWN = frozenset(OptionsDict.__annotations__) | _UNAVAILABLE.keys() | ALIASES.keys()
_FLAGS = (
    "follow_redirects", "robots", "https_only", "block_private", "decode_content", "strict", "ordered",
    "dedupe", "idempotency_key",
)  # fmt: skip
_AS_GIVEN = (
    *_FLAGS, "concurrency", "concurrency_per_host", "limit_by", "deadline", "max_redirects", "http2",
    "threads", "on_error", "progress", "max_duration",
)  # fmt: skip


_CHECKED: dict[str, Callable[[str, Any], Any]] = {
    "max_body_size": checks.size,
    "max_buffer": checks.size,
    "keep_on_redirect": checks.header_names,
    "allow_private": checks.networks,
    "verify": checks.trust,
    "body_folder": checks.folder_or_none,
}
"""How to check and read a value, given the name of its option."""


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Replace aliases; refuse unknown names and options that this version lacks."""
    named: dict[str, Any] = {}
    for written, value in given.items():
        if written not in _KNOWN:
            raise _unknown(written)
        name = ALIASES.get(written, written)
        if name in named:
            raise ConfigError(f"{written} and {name} are the same option; give one of them", option=name)
        if name in _UNAVAILABLE:
            if not any(value is nothing for nothing in _UNAVAILABLE[name]):
                raise ConfigError(f"{written} is not available in this version", option=name)
            continue
        named[name] = value
    return named


def _unknown(name: str) -> ConfigError:
    if name in OutputOptions.__annotations__:
        return ConfigError(f"{name} is an argument of run and arun, not an option of a client", option=name)
    from difflib import get_close_matches

    names = sorted(_KNOWN - _UNAVAILABLE.keys() - ALIASES.keys())
    close = get_close_matches(name, [*names, *OutputOptions.__annotations__], n=1)
    hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(names)}"
    return ConfigError(f"unknown option {name!r}; {hint}", option=name)


def _resolved(named: dict[str, Any]) -> dict[str, Any]:
    """Turn public names and shorthand values into the fields of Options."""
    values = {name: named[name] for name in _AS_GIVEN if name in named}
    if "timeout" in named:
        timeout = Timeout.of(named["timeout"])
        values |= {f"timeout_{name}": getattr(timeout, name) for name in names_of(Timeout)}
    if "retries" in named:
        retry = Retry.of(named["retries"])
        values |= {f"retry_{name}": getattr(retry, name) for name in names_of(Retry)}
        values["retry_patience"] = retry.patience_s
    values |= read_limits(named)
    values |= {name: check(name, named[name]) for name, check in _CHECKED.items() if name in named}
    if "on_oversize" in named:
        if named["on_oversize"] not in ("error", "truncate"):
            raise checks.wrong("on_oversize", named["on_oversize"], '"error" or "truncate"')
        values["truncate_oversize"] = named["on_oversize"] == "truncate"
    values["routes"] = _routes(named)
    values["headers"] = _headers(named)
    if named.get("params") is not None:
        try:
            values["params"] = wire.query_string(named["params"])
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error), option="params") from error
    return values


def _routes(named: dict[str, Any]) -> Routes:
    """Return the rules for proxies: the option's, or else those of the environment."""
    checks.flag("trust_env", named.get("trust_env", True))
    given = named.get("proxy")
    if given is None and named.get("trust_env", True):
        return environment_routes()
    return given_routes(given)


def _headers(named: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Render headers, cookies, credentials and user agent. No message shows a value: it may be a secret."""
    try:
        pairs = wire.rendered(named.get("headers"), named.get("cookies"), named.get("auth"))
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error), option=str(error).partition(" ")[0].rstrip(":")) from error
    agent = named.get("user_agent")
    if agent is not None and (not isinstance(agent, str) or not agent):
        raise checks.wrong("user_agent", agent, "text that is not empty")
    if agent is not None or not wire.has_field(pairs, "user-agent"):
        pairs = [
            ("user-agent", agent or USER_AGENT),
            *(pair for pair in pairs if pair[0].lower() != "user-agent"),
        ]
    return checks.header_fields("headers", pairs)
