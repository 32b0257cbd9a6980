"""`python -m tests.faults`: write docs/faults.md."""

from tests.faults.page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
