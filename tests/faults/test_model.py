"""The ledger's protocol through every interleaving of small worlds: nothing breaks, and each rule that is left out breaks something."""

import pytest

from tests.conftest import SHARE
from tests.faults.model.explore import explore
from tests.faults.model.state import Rules
from tests.faults.model.table import OMISSIONS, QUICK, SAFETY

pytestmark = pytest.mark.once

LEAST_STATES = {
    "alone": 475,
    "race": 45_308,
    "compaction": 23_095,
    "collector": 31_376,
    "late": 19_883,
    "three": 8_230,
    "source": 28_816,
    "stale": 139_547,
}
NEEDED = {name: one for name, one in OMISSIONS.items() if one.breaks}
NOT_NEEDED = {name: one for name, one in OMISSIONS.items() if not one.breaks}
SMALL = ("alone", "compaction", "late") if SHARE == 1 else ("alone", "late")


@pytest.mark.parametrize("name", QUICK)
def test_nothing_breaks(name):
    found = explore(QUICK[name])
    assert not found.broken, "\n".join([found.broken, *found.trace])
    assert found.states >= LEAST_STATES[name], "the model has become smaller"


def test_every_rule_is_left_out_once():
    assert {rule for one in OMISSIONS.values() for rule in one.rules} == set(Rules._fields)


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_left_out_is_noticed(name):
    omission = NEEDED[name]
    found = explore(QUICK[omission.where], Rules(**omission.rules), omission.breaks in SAFETY)
    assert found.broken.startswith(omission.breaks)
    assert found.trace


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_what_may_be_done_otherwise(name):
    for where in SMALL:
        found = explore(QUICK[where], Rules(**NOT_NEEDED[name].rules))
        assert not found.broken, "\n".join([found.broken, *found.trace])
