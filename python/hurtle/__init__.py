"""Send hundreds to millions of HTTP requests, fast and politely, and lose none.

Names are loaded on first use, so that `import hurtle` costs next to nothing.
"""

from hurtle.version import __version__

# Type checkers know this name. Importing typing for it would cost more than all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from hurtle._engine import Response  # noqa: I001 - several names on a line
    from hurtle.api import (
        Client, adownload, afetch, arun, astream, download, fetch, run, stream, stream_arrow,
    )  # fmt: skip
    from hurtle.attempts import Retry, Timeout
    from hurtle.errors import (
        ClosedError, ConfigError, HurtleError, InternalError, MissingExtraError, RequestError, SinkError,
        StatusError,
    )  # fmt: skip
    from hurtle.limits import Limits
    from hurtle.models import Headers, Request
    from hurtle.planning import Plan, plan
    from hurtle.race import race
    from hurtle.report import Results, Summary
    from hurtle.rerun import retry
    from hurtle.runs import Run, open_run

_HOMES = {
    "_engine": ("Response",), "limits": ("Limits",), "models": ("Headers", "Request"), "race": ("race",),
    "api": ("Client", "adownload", "afetch", "arun", "astream", "download", "fetch", "run", "stream",
            "stream_arrow"),
    "errors": ("ClosedError", "ConfigError", "HurtleError", "InternalError", "MissingExtraError",
               "RequestError", "SinkError", "StatusError"), "rerun": ("retry",), "runs": ("Run", "open_run"),
    "options": ("Retry", "Timeout"), "planning": ("Plan", "plan"), "report": ("Results", "Summary"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "Client", "ClosedError", "ConfigError", "Headers", "HurtleError", "InternalError", "Limits",
    "MissingExtraError", "Plan", "Request", "RequestError", "Response", "Results", "Retry", "Run",
    "SinkError", "StatusError", "Summary", "Timeout", "__version__", "adownload", "afetch", "arun", "astream",
    "download", "errors", "fetch", "open_run", "plan", "race", "retry", "run", "stream", "stream_arrow",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None and name != "errors":
        raise AttributeError(f"module 'hurtle' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"hurtle.{home or name}")
    value = globals()[name] = module if home is None else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
