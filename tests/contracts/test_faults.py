"""docs/faults.md is what cases.txt and the tests say, and every fault has a test."""

import pytest

from hurtle._engine import error_codes
from tests.faults.page import CODE, PAGE, Fault, page, sections, where_tested

FAULTS = [fault for _, faults in sections() for fault in faults]
TESTS = where_tested()


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make faults"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_has_a_test_or_a_reason(fault: Fault) -> None:
    assert bool(TESTS.get(fault.id)) != bool(fault.why_not), "one of them"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_its_codes_exist(fault: Fault) -> None:
    assert set(CODE.findall(fault.ends)) <= error_codes().keys()


def test_every_id_in_the_name_of_a_test_is_in_the_list() -> None:
    known = {fault.id for fault in FAULTS}
    assert len(known) == len(FAULTS) > 130
    assert {name: where for name, where in TESTS.items() if name not in known} == {}
