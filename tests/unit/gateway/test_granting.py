"""Acts on grants over a ledger in memory."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.policy.conftest import shop_catalogue

from ringfort.config import EEA
from ringfort.errors import UsageError
from ringfort.gateway.granting import Desk, NotPermittedError, proven
from ringfort.gateway.verifiers import make_verifier
from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import encode, format_time
from ringfort.ledger.entry_control_grants import PrincipalRegisteredUnder
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import ControlState
from ringfort.policy.bundle import EVALUATOR, PolicyBundle, default_bundle
from ringfort.policy.grants import ActRequest, GrantFacts, decide_grant
from ringfort.policy.source import SourceFile
from ringfort.private_files import write_private
from ringfort.system import SystemRandomness

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FACTS = GrantFacts("", "view", "customer-support", "T-1", ("shop.orders",), 600)
PEOPLE = {
    "aoife": ("IE", "support"),
    "olga": ("IE", "operator"),
    "ronan": ("IE", "approver"),
    "sorcha": ("IE", "approver"),
    "hank": ("US", "approver"),
}


class MemoryLedger:
    """A `SyncLedger` that holds everything in memory."""

    def __init__(self):
        self.state = ControlState()
        self.blobs = {}
        self.entries = []
        self.clock = START
        time = format_time(START)
        bundle, catalogue = default_bundle(), shop_catalogue()
        self.put_blob(bundle.to_bytes())
        self.put_blob(catalogue.to_json())
        basic = {"time": time, "actor": "tester"}
        self.append(
            [
                control.LogOpened(**basic, origin="o", vkey="v"),
                control.PolicyActivated(**basic, bundle=bundle.digest, evaluator=EVALUATOR),
                control.CatalogueActivated(**basic, catalogue=catalogue.digest()),
                *(
                    control.PrincipalRegistered(**basic, name=name, country=country, employer="x", role=role)
                    for name, (country, role) in PEOPLE.items()
                ),
            ]
        )

    def append(self, entries, *, condition=None, blobs=()):
        if condition is not None:
            self.state.require(condition)
        for each in blobs:
            self.put_blob(each)
        self.entries += entries
        return [self.state.apply(encode(each)) for each in entries]

    def put_blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    def get_blob(self, digest):
        return self.blobs[digest]

    def now(self):
        self.clock += timedelta(milliseconds=1)
        return self.clock

    def desk(self):
        return Desk(self, EEA, self.now)


@pytest.fixture
def ledger():
    return MemoryLedger()


def test_from_request_to_the_end(ledger):
    grant = ledger.desk().request("aoife", FACTS, "a refund")
    assert (grant.needed, grant.kind, grant.tables) == (1, "view", ("shop.orders",))
    grant = ledger.desk().approve("ronan", grant.id)
    assert grant.status(ledger.now()) == "active"
    assert ledger.desk().revoke("aoife", grant.id, "done").status(ledger.now()) == "revoked"


def test_an_approval_can_be_decided_again_from_its_input(ledger):
    grant = ledger.desk().request("aoife", FACTS, "")
    ledger.desk().approve("ronan", grant.id)
    document = json.loads(ledger.blobs[ledger.entries[-1].input])
    bundle = PolicyBundle.from_bytes(ledger.blobs[document["policy"]]).compile()
    request = ActRequest.from_json(document["request"])
    assert decide_grant(bundle, shop_catalogue(), document["region"], request).permitted
    assert document["evaluator"] == bundle.evaluator
    assert (request.actor.name, request.requester.name, request.grant.id) == ("ronan", "aoife", grant.id)


def test_real_tables_with_restricted_columns_need_two(ledger):
    facts = GrantFacts("", "operate", "maintenance", "T-1", ("shop",), 600)
    grant = ledger.desk().request("olga", facts, "")
    assert grant.needed == 2
    assert ledger.desk().approve("ronan", grant.id).status(ledger.now()) == "requested"
    with pytest.raises(NotPermittedError, match="already"):
        ledger.desk().approve("ronan", grant.id)
    assert ledger.desk().approve("sorcha", grant.id).status(ledger.now()) == "active"


def test_a_request_does_not_profit_from_rules_that_have_become_stricter(ledger):
    grant = ledger.desk().request("aoife", FACTS, "")
    files = {each.name: each for each in default_bundle().files}
    stricter = SourceFile("grants.toml", "[approvals.view]\nprotected = 2")
    bundle = PolicyBundle(tuple((files | {"grants.toml": stricter}).values()))
    ledger.put_blob(bundle.to_bytes())
    entry = control.PolicyActivated(
        time=format_time(START), actor="x", bundle=bundle.digest, evaluator=EVALUATOR
    )
    ledger.append([entry])
    with pytest.raises(NotPermittedError, match="fewer approvals"):
        ledger.desk().approve("ronan", grant.id)
    assert ledger.desk().request("aoife", FACTS, "").needed == 2


@pytest.mark.parametrize("act", ["approve", "deny"])
def test_whom_policy_does_not_permit(ledger, act):
    grant = ledger.desk().request("aoife", FACTS, "")
    more = () if act == "approve" else ("",)
    for who, why in (("aoife", "their own"), ("hank", "no policy"), ("olga", "no policy")):
        with pytest.raises(NotPermittedError, match=why):
            getattr(ledger.desk(), act)(who, grant.id, *more)
    with pytest.raises(UsageError, match="not registered"):
        getattr(ledger.desk(), act)("nobody", grant.id, *more)


def test_a_report_line_is_followed_through_everybody(ledger):
    basic = {"time": format_time(START), "actor": "tester", "country": "IE", "employer": "x"}
    for name, role, manager in (("brid", "support", "olga"), ("olga", "operator", "ronan")):
        ledger.append([PrincipalRegisteredUnder(**basic, name=name, role=role, manager=manager)])
    grant = ledger.desk().request("brid", FACTS, "")
    with pytest.raises(NotPermittedError, match="report-line"):
        ledger.desk().approve("ronan", grant.id)
    assert ledger.desk().approve("sorcha", grant.id).status(ledger.now()) == "active"


def test_who_may_revoke(ledger):
    def approved():
        grant = ledger.desk().request("aoife", FACTS, "")
        return ledger.desk().approve("ronan", grant.id).id

    for who in ("aoife", "ronan", "sorcha"):
        grant = approved()
        assert ledger.desk().revoke(who, grant, "").over == "revoked"
    grant = approved()
    with pytest.raises(NotPermittedError):
        ledger.desk().revoke("olga", grant, "")
    ledger.clock += timedelta(hours=1)
    with pytest.raises(UsageError, match="expired already"):
        ledger.desk().revoke("aoife", grant, "")


def test_breaking_the_glass(ledger):
    desk = ledger.desk()
    grant = desk.break_glass("aoife", FACTS, "payments fail")
    assert grant.status(ledger.now()) == "active"
    assert ledger.blobs[ledger.entries[-1].input]
    with pytest.raises(NotPermittedError):
        ledger.desk().review("aoife", grant.id, "justified", "")
    with pytest.raises(UsageError, match="no outcome"):
        ledger.desk().review("ronan", grant.id, "fine", "")
    ledger.clock += timedelta(days=1)
    with pytest.raises(NotPermittedError, match="past its deadline"):
        ledger.desk().break_glass("aoife", FACTS, "again")
    assert ledger.desk().review("ronan", grant.id, "justified", "").outcome == "justified"
    assert ledger.desk().break_glass("aoife", FACTS, "again").break_glass
    with pytest.raises(UsageError, match="waits for no review"):
        ledger.desk().review("ronan", grant.id, "justified", "")
    for who, facts in (("ronan", FACTS), ("aoife", GrantFacts("", "view", "incident", "", ("shop",), 60))):
        with pytest.raises(NotPermittedError):
            ledger.desk().break_glass(who, facts, "why")


@pytest.mark.parametrize(
    ("facts", "reason", "word"),
    [
        ({"purpose": ""}, "", "purpose"),
        ({"purpose": "two words"}, "", "purpose"),
        ({"ticket": "a b"}, "", "ticket"),
        ({"tables": ()}, "", "no table"),
        ({"tables": ("orders",)}, "", "no table or dataset"),
        ({"seconds": 8 * 3600 + 1}, "", "lasts at most 8h"),
        ({"seconds": 0}, "", "at most"),
        ({}, "ask jo@example.com", "look like an e-mail address"),
        ({}, "customer 482 913 7", "look like a telephone"),
        ({}, "x" * 201, "more than 200"),
        ({}, "a\nb", "a line break"),
    ],
)
def test_what_is_not_a_request_is_refused(ledger, facts, reason, word):
    asked = GrantFacts(**(FACTS.__dict__ | facts))
    with pytest.raises(UsageError, match=word):
        ledger.desk().request("aoife", asked, reason)


def test_what_was_read_must_still_hold(ledger):
    grant = ledger.desk().request("aoife", FACTS, "")
    desk = ledger.desk()
    ledger.append(
        [
            control.PrincipalRegistered(
                time=format_time(START), actor="x", name="ronan", country="US", employer="x", role="approver"
            )
        ]
    )
    with pytest.raises(ConditionFailedError):
        desk._append(ledger.entries[-2], grant.id, "ronan")  # what `approve` would append
    other = ledger.desk()
    ledger.desk().deny("sorcha", grant.id, "")
    with pytest.raises(UsageError, match="denied"):
        other.approve("sorcha", grant.id)


def test_nothing_is_decided_before_a_policy_is_in_force():
    empty = MemoryLedger()
    empty.state = ControlState()
    with pytest.raises(UsageError, match="no policy"):
        empty.desk()


def test_who_acts_proves_it(ledger, tmp_path):
    (tmp_path / "scram").mkdir()
    write_private(tmp_path / "scram" / "ronan.json", make_verifier("his own", SystemRandomness()))
    write_private(tmp_path / "scram" / "gone.json", make_verifier("his own", SystemRandomness()))
    assert proven(tmp_path, ledger.state, "ronan", "his own", 0) == "ronan"
    for name, password in (("ronan", "another"), ("ronan", ""), ("gone", "his own"), ("aoife", "his own")):
        with pytest.raises(NotPermittedError) as raised:
            proven(tmp_path, ledger.state, name, password, 0)
        assert raised.value.sqlstate == "28P01"
