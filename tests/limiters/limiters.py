"""Every limiter of the lab. A new one is a server file and an entry here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.limiters.ideal import All, FixedWindow, Model, Quota, Rule
from tests.limiters.installs import Kit, Node
from tests.limiters.modes import MODES

NODE = Node()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """A limiter in one of its forms.

    Attributes:
        name: What it is chosen by.
        title: What the page calls it.
        package: Whose version the page gives.
        kit: Installs it.
        server: Its server file.
        variant: Which of that file's forms.
        rule: What it admits, by its own rules.
        units: What its header lines mean.
        note: What else a client has to know.
        quotas: What it grants, by mode, where it cannot be set to the mode's own quota.
    """

    name: str
    title: str
    package: str
    kit: Kit
    server: str
    variant: str = ""
    rule: Rule = FixedWindow
    units: str
    note: str = ""
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    def quota_of(self, mode: str) -> Quota:
        """Return what it grants in a mode."""
        return self.quotas.get(mode, MODES[mode].quota)


def with_a_wider(rule: Rule) -> Rule:
    """Return the rule of two limiters in a row: the quota, and three times as much in four times the time."""

    def both(quota: Quota) -> Model:
        return All([rule(quota), rule(Quota(3 * quota.limit, 4 * quota.window_s))])

    return both


def _express(variant: str, units: str) -> Limiter:
    return Limiter(
        name=f"express-{variant}",
        title=f"express-rate-limit, {variant.replace('two-', 'two limiters, ')}",
        package="express-rate-limit",
        kit=NODE,
        server="express.mjs",
        variant=variant,
        units=units,
        rule=with_a_wider(FixedWindow) if variant.startswith("two") else FixedWindow,
    )


LIMITERS = (
    _express("legacy", "reset: epoch s, rounded up; `Retry-After`: until the window ends"),
    _express("draft-6", "reset: s until the window ends"),
    _express("draft-7", "reset: s until the window ends"),
    _express("draft-8", "t: s until the window ends"),
    _express("two-draft-6", "the fields of the last limiter only"),
    _express("two-draft-8", "both limiters in one list, on two lines"),
)


def chosen(words: Sequence[str]) -> list[Limiter]:
    """Return the limiters whose name holds one of these words; all, where there are none.

    Raises:
        ValueError: A word is in no name.
    """
    for word in words:
        if not any(word in one.name for one in LIMITERS):
            names = ", ".join(one.name for one in LIMITERS)
            raise ValueError(f"no limiter is called {word!r}: {names}")
    return [one for one in LIMITERS if not words or any(word in one.name for word in words)]
