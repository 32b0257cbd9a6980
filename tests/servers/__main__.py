"""`make servers`: runs hurtle against real servers, and writes docs/servers.md.

Usage: python -m tests.servers [SERVER ...]: only servers whose name holds one of these words.
Ends with 1 when a row was not right, 2 for a word that is in no name.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.limiters.installs import MissingError
from tests.servers.report import Result, load, page, save
from tests.servers.rounds import ROUNDS
from tests.servers.servers import ROOT, Kind, Running, chosen, install_all, version_of
from tests.servers.site import Site, make_site

PAGE = ROOT / "docs" / "servers.md"
AT_ONCE = 3
"""Servers at once: most of the time is waiting."""


def main(words: Sequence[str]) -> int:
    try:
        kinds = chosen(words)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    install_all(kinds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fresh: dict[str, Result] = {}
    with TemporaryDirectory(prefix="servers-") as place, ThreadPoolExecutor(AT_ONCE) as pool:
        site = make_site(Path(place))
        trials = {pool.submit(on_trial, name, kind, site): name for name, kind in kinds.items()}
        try:
            for trial in as_completed(trials):
                name = trials[trial]
                fresh[name] = result = trial.result()
                print(f"{name}: {result.problem or ', '.join(result.misses) or 'all right'}", flush=True)
                kept = load() | fresh
                save(kept)
                PAGE.write_text(page(kept), encoding="utf-8")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return 1 if any(result.misses or result.problem for result in fresh.values()) else 0


def on_trial(name: str, kind: Kind, site: Site) -> Result:
    """Run every round against one server."""
    with TemporaryDirectory(prefix="server-") as folder:
        Path(folder).chmod(0o777)  # some servers change to a user of their own
        server = Running(name, kind, site.folder, Path(folder))
        try:
            version = version_of(kind)
            server.start()
            return Result(
                version=version, figures={title: ask(server, site) for title, ask in ROUNDS.items()}
            )
        except (RuntimeError, MissingError) as error:
            return Result(problem=str(error))
        finally:
            server.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
