"""The public names: to add or remove one, change this list."""

import hurtle

NAMES = {
    "verbs": ["stream", "fetch", "run", "download", "stream_arrow", "astream", "afetch", "arun", "adownload"],
    "a client": ["Client"],
    "a comparison": ["race"],
    "before anything is sent": ["plan", "Plan"],
    "a run that is on disk": ["open_run", "Run", "retry"],
    "what goes in": ["Request"],
    "what comes out": ["Response", "Headers", "Results", "Summary"],
    "groups of options": ["Timeout", "Retry", "Limits"],
    "exceptions": ["HurtleError"],
    "about a run": ["ConfigError", "MissingExtraError", "ClosedError", "SinkError", "InternalError"],
    "a request's failure": ["RequestError", "StatusError", "errors"],
    "about hurtle": ["__version__"],
}


def test_the_public_names_are_these() -> None:
    assert sorted(hurtle.__all__) == sorted(name for names in NAMES.values() for name in names)
    assert all(getattr(hurtle, name) is not None for name in hurtle.__all__)
    assert dir(hurtle) == sorted(hurtle.__all__)
