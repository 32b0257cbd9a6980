"""A refresh whose bodies are files, and the refresh of such a run."""

from pathlib import Path

import pytest

import hurtle
from hurtle.formats import FORMATS
from hurtle.formats.registry import bodies_apart
from tests.refresh.test_outputs import CHANGES, edit, pages
from tests.refresh.test_refresh import rows_of
from tests.refresh.validating_server import ValidatingServer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format", [name for name in FORMATS if bodies_apart(name)])
def test_a_body_that_has_not_changed_has_no_file(
    tmp_path: Path,
    site: ValidatingServer,
    format: str,  # noqa: A002
) -> None:
    site.pages = pages()
    urls, old, new = [site.url(path) for path in site.pages], f"{tmp_path}/old/", f"{tmp_path}/new/"
    hurtle.run(urls, old, format=format, bodies="apart")
    edit(site)
    hurtle.run(urls, new, format=format, bodies="apart", since=old)
    rows = rows_of(Path(new))
    assert [row["change"] for row in rows] == CHANGES
    assert [row["body_path"] is None for row in rows] == [True] * 3 + [False] * 2
    assert [row["body_index"] for row in rows] == [0, 1, 2, None, None]
    run = hurtle.open_run(new)
    assert [run.body(row) for row in rows] == [b"tag", b"date", b"none \xff", b"new", b""]
    bodies = [path for path in (Path(new) / "bodies").rglob("*") if path.is_file()]
    assert sorted(path.read_bytes() for path in bodies) == [b"", b"new"]
    assert run.to_arrow()["change"].to_pylist() == CHANGES
    assert len(run.where("change = 'unchanged' AND body_path IS NULL")) == 3
    hurtle.run(urls, f"{tmp_path}/newest/", format=format, bodies="apart", since=new)
    assert [row["change"] for row in rows_of(tmp_path / "newest")] == ["unchanged"] * 5
