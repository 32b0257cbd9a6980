"""Every exception of hurtle.

    HurtleError
    ├── ConfigError (ValueError)        an option, a path or an input that cannot work; nothing was sent
    ├── MissingExtraError (ImportError) an optional package is not installed
    ├── ClosedError                     a client used after it was closed
    ├── InternalError                   a bug in hurtle itself
    ├── SinkError                       the output could not be written
    ├── JournalError                    the record of committed rows could not be written or read
    │   └── LedgerError                 a request that must not be sent twice could not be recorded
    └── RequestError                    why ONE request has no whole, usable response
        ├── InvalidRequest (ValueError) input.*
        ├── BlockedError                blocked.*
        ├── DnsError                    dns.*
        ├── ConnectError                connect.*
        ├── TlsError                    tls.*
        ├── TimeoutError (TimeoutError) timeout.*
        ├── ProtocolError               protocol.*
        ├── TruncatedError              truncated.*
        ├── DecodeError                 decode.*
        ├── TooLargeError               too_large.*
        ├── RedirectError               redirect.*
        ├── ProxyError                  proxy.*
        ├── HostError                   host.*
        ├── LocalError                  local.*
        ├── RequestPanicError (InternalError) internal.*
        └── StatusError                 only from Response.raise_for_status()

The failure of a request is data: it is in `Response.error`, and is raised only with `on_error="raise"`.
Decide by type, `code` and `phase`, never by the text of the message.
"""

import builtins


class HurtleError(Exception):
    """The root of all exceptions that hurtle raises on purpose."""


class ConfigError(HurtleError, ValueError):
    """An option, a path or an input that cannot work, found before anything was sent."""

    def __init__(self, message: str, *, option: str | None = None) -> None:
        """Keep the message and the public name of the option at fault, if there is one."""
        super().__init__(message)
        self.option = option


class MissingExtraError(HurtleError, ImportError):
    """An optional package is not installed."""

    def __init__(self, extra: str, needed_for: str = "this") -> None:
        """Say what is missing and how to get it.

        Args:
            extra: The name of hurtle's extra, such as "parquet".
            needed_for: What needs the package, as the subject of the message.
        """
        super().__init__(f"{needed_for} needs an optional package: pip install 'hurtle[{extra}]'")
        self.extra = extra
        self.needed_for = needed_for

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the constructor's arguments."""
        return type(self), (self.extra, self.needed_for)


class ClosedError(HurtleError):
    """A client, engine or server used after it was closed."""


class InternalError(HurtleError):
    """A bug in hurtle itself, such as a caught panic. Please report it."""


class SinkError(HurtleError):
    """The output could not be written; the run stopped."""


class JournalError(HurtleError):
    """The record of committed rows could not be written or read; the run stopped."""


class LedgerError(JournalError):
    """A request that must not be sent twice could not be recorded, or is recorded only on another machine.

    The run stopped, and the request was not sent.
    """


class RequestError(HurtleError):
    """Why one request has no whole, usable response.

    Attributes:
        code: `class.reason` from the closed list of `hurtle._engine.error_codes()`.
        detail: An explanation for people, without secrets.
        phase: What the attempt was doing ("dns", "connect", "tls", "send", "first_byte", "body", …), or None.
        retryable: Whether another attempt of an idempotent request may end differently.
        attempts: How many attempts were made, the first included.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        phase: str | None = None,
        retryable: bool = False,
        attempts: int = 1,
    ) -> None:
        """Keep the parts; the message is `code: detail`."""
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.phase = phase
        self.retryable = retryable
        self.attempts = attempts

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the parts, so that the error stays complete in another process."""
        return _rebuild, (type(self), self.code, self.detail, self.phase, self.retryable, self.attempts)


class InvalidRequest(RequestError, ValueError):
    """The row of the input is not a request that can be sent (input.*)."""


class BlockedError(RequestError):
    """The caller's guard refuses the address (blocked.*)."""


class DnsError(RequestError):
    """The host's name has no usable address (dns.*)."""


class ConnectError(RequestError):
    """No connection to the host (connect.*)."""


class TlsError(RequestError):
    """The TLS handshake or the certificate failed (tls.*)."""


class TimeoutError(RequestError, builtins.TimeoutError):
    """A phase took longer than its limit (timeout.*)."""


class ProtocolError(RequestError):
    """The response broke HTTP (protocol.*)."""


class TruncatedError(RequestError):
    """The connection ended inside the body (truncated.*)."""


class DecodeError(RequestError):
    """The body could not be decompressed (decode.*)."""


class TooLargeError(RequestError):
    """The headers or the body exceed their limit (too_large.*)."""


class RedirectError(RequestError):
    """A redirect that is not followed (redirect.*)."""


class ProxyError(RequestError):
    """The proxy failed or refused (proxy.*)."""


class HostError(RequestError):
    """The host is down or refuses everything, or its robots.txt does not allow the request (host.*)."""


class LocalError(RequestError):
    """The cause is this machine: it ran out of a resource, or an earlier run was interrupted (local.*)."""


class RequestPanicError(RequestError, InternalError):
    """A bug in hurtle failed one request; the others continued (internal.*)."""


class StatusError(RequestError):
    """A complete response with a status of 400 or more; only `raise_for_status()` raises it."""

    def __init__(self, status: int, url: str, reason: str | None = None, *, attempts: int = 1) -> None:
        """Keep the status and the final URL.

        Args:
            status: The response's status, 400 to 599.
            url: Where the response came from.
            reason: The reason phrase of the status line, if there is one.
            attempts: How many attempts were made.
        """
        words = f"{status} {reason}" if reason else str(status)
        super().__init__(f"status.{status}", f"{words} for {url}", phase="response", attempts=attempts)
        self.status = status
        self.url = url
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the status and the URL."""
        return _rebuild_status, (type(self), self.status, self.url, self.reason, self.attempts)


ERROR_CLASSES: dict[str, type[RequestError]] = {
    "input": InvalidRequest,
    "blocked": BlockedError,
    "dns": DnsError,
    "connect": ConnectError,
    "tls": TlsError,
    "timeout": TimeoutError,
    "protocol": ProtocolError,
    "truncated": TruncatedError,
    "decode": DecodeError,
    "too_large": TooLargeError,
    "redirect": RedirectError,
    "proxy": ProxyError,
    "host": HostError,
    "local": LocalError,
    "internal": RequestPanicError,
}
"""The exception for each class of code: the part before the dot."""


def error_for(
    code: str,
    detail: str = "",
    *,
    phase: str | None = None,
    retryable: bool = False,
    attempts: int = 1,
) -> RequestError:
    """Create the exception for a code.

    Args:
        code: `class.reason`.
        detail: An explanation for people.
        phase: What the attempt was doing.
        retryable: Whether another attempt may end differently.
        attempts: How many attempts were made.

    Returns:
        An instance of the class's exception, or a plain RequestError if this version does not know the class.
    """
    cls = ERROR_CLASSES.get(code.partition(".")[0], RequestError)
    return cls(code, detail, phase=phase, retryable=retryable, attempts=attempts)


def _rebuild(
    cls: type[RequestError], code: str, detail: str, phase: str | None, retryable: bool, attempts: int
) -> RequestError:
    return cls(code, detail, phase=phase, retryable=retryable, attempts=attempts)


def _rebuild_status(
    cls: type[StatusError], status: int, url: str, reason: str | None, attempts: int
) -> StatusError:
    return cls(status, url, reason, attempts=attempts)
