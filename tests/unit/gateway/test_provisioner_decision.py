"""What a decision stands on, and which grants a principal holds, without processes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.gateway.test_granting import FACTS, MemoryLedger

from ringfort.catalog.zones import Zone, Zones
from ringfort.config import EEA
from ringfort.gateway.provisioner_decision import ControlView, Decider, grant_key, read_request
from ringfort.ledger.entry import encode, format_time
from ringfort.policy.forms import Form
from ringfort.policy.grants import GrantFacts

ZONES = Zones((Zone("192.0.2.0/24", "IE"),))
PLACE = ("dublin-1", "IE")


class Gateway:
    """A ledger in memory, and the provisioner's view of it."""

    def __init__(self):
        self.ledger = MemoryLedger()
        self.decider = Decider(self.ledger.blobs.get, frozenset(EEA))

    @property
    def view(self):
        made = ControlView()
        for index, each in enumerate(self.ledger.entries):
            made.take(index, encode(each))
        return made

    def grant(self, tables=("shop.customers",), **changes):
        facts = GrantFacts(**(FACTS.__dict__ | {"tables": tables} | changes))
        asked = self.ledger.desk().request("olga", facts, "")
        return self.ledger.desk().approve("ronan", asked.id)

    def decide(self, view=None, **stated):
        view = view or self.view
        ground = view.ground("olga")
        now = self.ledger.now()
        fields = {
            "purpose": "customer-support",
            "ticket": "T-1",
            "address": "192.0.2.7",
            "proofs": [],
            "database": "shop",
        } | stated
        held = view.held("olga", "view", now)
        return self.decider.decide(ground, read_request(fields, ground, ZONES, PLACE, format_time(now), held))


@pytest.fixture
def gateway():
    return Gateway()


def email(decision):
    return decision.disclosure.form("shop", "customers", "email")


def test_a_session_stands_on_the_grants_that_changed_its_decision(gateway):
    assert email(gateway.decide()) is Form.MASKED
    grant = gateway.grant()
    decision = gateway.decide()
    assert email(decision) is Form.RAW
    assert [each.id for each in decision.stands_on] == [grant.id]
    assert decision.stands_on[0].until == format_time(grant.ends)
    other = gateway.decide(ticket="T-2")
    assert (email(other), other.stands_on) == (Form.MASKED, ())
    assert grant.id.encode() in other.input  # what policy saw is recorded all the same


def test_grants_that_are_over_or_of_another_kind_or_person_do_not_count(gateway):
    gateway.grant()
    view = gateway.view
    assert view.held("aoife", "view", gateway.ledger.now()) == ()
    assert view.held("olga", "operate", gateway.ledger.now()) == ()
    gateway.ledger.clock += timedelta(seconds=FACTS.seconds)
    assert email(gateway.decide(view)) is Form.MASKED


def test_a_decision_does_not_outlive_its_grants(gateway):
    grant = gateway.grant()
    view = gateway.view
    decision = gateway.decide(view)
    assert view.still(decision.ground, decision.stands_on) is not None
    gateway.ledger.desk().revoke("olga", grant.id, "")
    view.take(0, encode(gateway.ledger.entries[-1]))
    assert view.still(decision.ground) is not None
    assert view.still(decision.ground, decision.stands_on) is None
    assert grant_key(decision.stands_on[0]) == f"grant:{grant.id}"


def test_decisions_are_remembered_apart_by_their_grants(gateway):
    before = gateway.decide()
    gateway.grant()
    gateway.grant(tables=("shop.orders",))
    with_both = gateway.decide()
    assert with_both.disclosure.forms() != before.disclosure.forms()
    assert len(with_both.stands_on) == 2
