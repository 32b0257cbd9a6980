"""Pick the sink of a rerun by where the run is."""

from os import PathLike

from hurtle.errors import ConfigError
from hurtle.outputs.names import DatabaseAt, File, Folder, Remote, place_found
from hurtle.rerun.base import RerunSink
from hurtle.rerun.parts import rerun_in_parts
from hurtle.rerun.table import RerunTableSink
from hurtle.runs.opened import find
from hurtle.runs.where import Where


def open_rerun(
    out: str | PathLike[str], where: str, *, restart: bool = False, resend_unknown: bool = False
) -> RerunSink:
    """Pick the rows of an ended run to request again, and keep other runs out.

    Args:
        out: What `run` was given.
        where: See `Where`.
        restart: Whether to drop what an earlier rerun still wanted, and pick rows again.
        resend_unknown: Whether to pick also requests that may have been sent.

    Raises:
        ConfigError: There is no run, it has not ended, another one uses it, its format cannot be read back,
            or the expression is none.
        JournalError: The record is damaged.
    """
    Where(where).close()
    match place_found(out):
        case Remote(address):
            raise ConfigError(
                f"{address}: a run in an object store cannot be retried; fetch what failed to another output",
                option="out",
            )
        case DatabaseAt(make=make):
            return RerunTableSink(make(), where, restart=restart, resend_unknown=resend_unknown)
        case Folder() | File() as place:
            return rerun_in_parts(find(place), where, restart=restart, resend_unknown=resend_unknown)
