"""The exception tree: every failure can be caught by what it is."""

import builtins
import pickle

import pytest

from hurtle import errors


@pytest.mark.parametrize(("prefix", "cls"), errors.ERROR_CLASSES.items())
def test_error_for_gives_the_class_when_the_code_has_its_prefix(
    prefix: str, cls: type[errors.RequestError]
) -> None:
    error = errors.error_for(f"{prefix}.reason", "words", phase="connect", retryable=True, attempts=2)
    assert type(error) is cls
    assert (error.code, error.detail, error.phase) == (f"{prefix}.reason", "words", "connect")
    assert (error.retryable, error.attempts) == (True, 2)
    assert str(error) == f"{prefix}.reason: words"


def test_error_for_gives_the_base_when_the_class_is_unknown() -> None:
    assert type(errors.error_for("future.thing")) is errors.RequestError


def test_a_timeout_is_caught_as_the_builtin() -> None:
    with pytest.raises(builtins.TimeoutError):
        raise errors.error_for("timeout.connect")


def test_a_panic_is_caught_as_internal_error() -> None:
    assert isinstance(errors.error_for("internal.panic"), errors.InternalError)


@pytest.mark.parametrize(
    "error",
    [
        errors.error_for("dns.not_found", "no such name", phase="dns", attempts=3),
        errors.StatusError(404, "http://a/", "Not Found", attempts=2),
        errors.ConfigError("timeout=-1: must be more", option="timeout"),
        errors.MissingExtraError("parquet", "writing Parquet"),
        errors.ClosedError("the client is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_pickles_when_it_crosses_processes(error: errors.HurtleError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_status_error_names_status_and_url() -> None:
    error = errors.StatusError(503, "http://a/b", "Service Unavailable")
    assert (error.status, error.url, error.code) == (503, "http://a/b", "status.503")
    assert "503 Service Unavailable for http://a/b" in str(error)


def test_a_missing_extra_says_how_to_get_it() -> None:
    error = errors.MissingExtraError("parquet", "writing Parquet")
    assert isinstance(error, ImportError)
    assert str(error) == "writing Parquet needs an optional package: pip install 'hurtle[parquet]'"
