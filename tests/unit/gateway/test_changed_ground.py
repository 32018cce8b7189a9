"""An act stands on what it was decided on: whatever of that changes before the append refuses it.

Each act on grants is begun on one state of the ledger; then one thing changes; then the act goes on. The
ledger is the real fold with its conditions, in memory.
"""

import pytest
from tests.unit.gateway.test_granting import FACTS, START, MemoryLedger

from ringfort.config import EEA
from ringfort.gateway.granting import Desk
from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_grants import GrantRevoked, PrincipalRegisteredUnder
from ringfort.ledger.errors import ConditionFailedError
from ringfort.policy.bundle import EVALUATOR, default_bundle
from ringfort.policy.grants import GrantFacts

BY = {"time": format_time(START), "actor": "tester"}
# aoife answers to olga, who answers to brid; ronan to fiona; sorcha has approved before
ABOVE = {
    "brid": ("operator", ""),
    "fiona": ("operator", ""),
    "olga": ("operator", "brid"),
    "aoife": ("support", "olga"),
    "ronan": ("approver", "fiona"),
    "sorcha": ("approver", "fiona"),
}


def registered(name, manager=None, role=None, country="IE"):
    role_of, manager_of = ABOVE[name]
    facts = {**BY, "name": name, "country": country, "employer": "x", "role": role or role_of}
    manager = manager_of if manager is None else manager
    if manager:
        return PrincipalRegisteredUnder(**facts, manager=manager)
    return control.PrincipalRegistered(**facts)


@pytest.fixture
def ledger():
    made = MemoryLedger()
    for name in ABOVE:
        made.append([registered(name)])
    return made


class Following:
    """A command's view of the ledger: what it was when it was opened, until it appends."""

    def __init__(self, ledger):
        self.ledger, self.state, self.get_blob = ledger, ledger.state.copy(), ledger.get_blob

    def append(self, entries, **more):
        indices = self.ledger.append(entries, **more)
        self.state = self.ledger.state.copy()
        return indices


def begun(ledger):
    return Desk(Following(ledger), EEA, ledger.now)


def waiting(ledger):
    """A request for the real tables that one of two has approved."""
    ledger.append([registered("aoife", role="operator")])
    facts = GrantFacts("", "operate", "maintenance", "T-1", ("shop",), 600)
    grant = ledger.desk().request("aoife", facts, "")
    return ledger.desk().approve("sorcha", grant.id).id


def asked(ledger):
    return ledger.desk().request("aoife", FACTS, "").id


def in_force(ledger):
    grant = asked(ledger)
    return ledger.desk().approve("sorcha", grant).id


def broken(ledger):
    return ledger.desk().break_glass("aoife", FACTS, "why").id


ACTS = {
    "request": (lambda _: "", lambda desk, _: desk.request("aoife", FACTS, "")),
    "approve": (waiting, lambda desk, grant: desk.approve("ronan", grant)),
    "deny": (waiting, lambda desk, grant: desk.deny("ronan", grant, "")),
    "revoke": (in_force, lambda desk, grant: desk.revoke("ronan", grant, "")),
    "break glass": (lambda _: "", lambda desk, _: desk.break_glass("aoife", FACTS, "why")),
    "review": (broken, lambda desk, grant: desk.review("ronan", grant, "justified", "")),
}
POLICY = control.PolicyActivated(**BY, bundle=default_bundle().digest, evaluator=EVALUATOR)
REQUESTER = ["aoife", "olga", "brid"]
ACTOR = ["ronan", "fiona"]


def catalogue(ledger):
    return control.CatalogueActivated(**BY, catalogue=ledger.state.catalogue)


def cases():
    for act in ACTS:
        people = REQUESTER if act in {"request", "break glass"} else [*REQUESTER, *ACTOR]
        for name in people:
            yield act, f"{name} is registered anew", lambda _, name=name: registered(name)
        yield act, "the policy", lambda _: POLICY
        yield act, "the catalogue", catalogue
        yield act, "the chain of managers", lambda _: registered("olga", manager="")
    for act in ("approve", "deny", "revoke"):
        yield act, "somebody who approved", lambda _: registered("sorcha")
        yield act, "somebody who approved is gone", lambda _: control.PrincipalRemoved(**BY, name="sorcha")


@pytest.mark.parametrize(
    ("act", "what", "change"), [pytest.param(*each, id=f"{each[0]}: {each[1]}") for each in cases()]
)
def test_what_an_act_stands_on_refuses_it_when_it_changes(ledger, act, what, change):
    del what
    prepare, do = ACTS[act]
    grant = prepare(ledger)
    desk = begun(ledger)
    ledger.append([change(ledger)])
    before = len(ledger.entries)
    with pytest.raises(ConditionFailedError):
        do(desk, grant)
    assert len(ledger.entries) == before


@pytest.mark.parametrize("act", ["approve", "deny", "revoke"])
def test_a_grant_that_was_ended_meanwhile(ledger, act):
    prepare, do = ACTS[act]
    grant = prepare(ledger)
    desk = begun(ledger)
    now = format_time(ledger.now())
    ledger.append([GrantRevoked(time=now, actor="x", grant=grant, principal="aoife", reason="")])
    before = len(ledger.entries)
    with pytest.raises(ConditionFailedError):
        do(desk, grant)
    assert len(ledger.entries) == before


@pytest.mark.parametrize("act", list(ACTS))
def test_what_it_does_not_stand_on_does_not(ledger, act):
    prepare, do = ACTS[act]
    grant = prepare(ledger)
    desk = begun(ledger)
    ledger.append([control.PrincipalRegistered(**BY, name="zed", country="IE", employer="x", role="support")])
    assert do(desk, grant).id


def test_two_reviews_at_once(ledger):
    grant = broken(ledger)
    first, second = begun(ledger), begun(ledger)
    first.review("ronan", grant, "justified", "")
    with pytest.raises(ConditionFailedError):
        second.review("sorcha", grant, "unjustified", "")
