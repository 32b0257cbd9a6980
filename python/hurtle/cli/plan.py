"""`hurtle plan`: estimate how long a list will take, before anything is sent."""

from argparse import Namespace

from hurtle import checks
from hurtle.cli.fetch import given_source
from hurtle.cli.run_options import given_options
from hurtle.cli.status import EXIT_OK, EXIT_SOME_FAILED
from hurtle.options import Options
from hurtle.planning.assemble import LATENCY_S, plan_source


def plan(given: Namespace) -> int:
    """Read the list and print the estimate on stdout.

    Returns:
        0 if every row can be sent, 1 if some cannot.
    """
    options = Options.resolve(given_options(given))
    latency = LATENCY_S if given.latency is None else checks.seconds("--latency", given.latency)
    found = plan_source(given_source(given), options, latency=latency)
    if given.format == "json":
        from json import dumps

        print(dumps(found.as_dict(), ensure_ascii=False, indent=2))
    else:
        print(found.to_text())
    return EXIT_SOME_FAILED if found.errors else EXIT_OK
