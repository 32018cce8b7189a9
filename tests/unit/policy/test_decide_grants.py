"""Decisions that see the grants in force, for the tables that they cover, and record them in their input."""

import json
from dataclasses import replace

import pytest

from ringfort.config import EEA
from ringfort.errors import ConfigurationError
from ringfort.policy.bundle import SCHEMA_FILE, PolicyBundle, default_bundle
from ringfort.policy.decide import AccessRequest, decide, decision_input
from ringfort.policy.forms import Form
from ringfort.policy.request import HeldGrant
from ringfort.policy.source import SourceFile
from ringfort.policy.tests_file import parse_tests

HELD = HeldGrant("g1", "view", "customer-support", "T-1", ("shop.orders",), "2026-01-02T04:00:00Z")
BY_RECORD = """@id("held") permit(principal, action == Action::"raw", resource)
when { context.grants.contains({ kind: "view", purpose: context.purpose, ticket: context.ticket }) };"""
BY_NAME = """@id("held") permit(principal, action == Action::"raw", resource)
when { context.granted.contains(context.purpose) };"""


def raw(decided):
    return {name for name, each in decided.items() if each.form is Form.RAW}


@pytest.mark.parametrize("policy", [BY_RECORD, BY_NAME])
def test_a_grant_counts_for_the_tables_that_it_covers(decide_shop, policy):
    stated = {"purpose": "customer-support", "ticket": "T-1"}
    orders = {"orders.amount"}  # its key has one form with that of customers
    assert raw(decide_shop(policy, **stated)) == set()
    assert raw(decide_shop(policy, **stated, grants=(HELD,))) == orders
    whole = replace(HELD, tables=("shop",))
    everything = {
        "customers.id", "customers.email", "customers.born", "customers.country", "orders.customer_id",
        "orders.amount",
    }  # fmt: skip
    assert raw(decide_shop(policy, **stated, grants=(whole,))) == everything
    both = (HELD, replace(HELD, id="g2", tables=("shop.customers",)))
    assert raw(decide_shop(policy, **stated, grants=both)) == everything
    elsewhere = replace(HELD, tables=("shop.none", "other"))
    assert raw(decide_shop(policy, **stated, grants=(elsewhere,))) == set()


def test_purpose_ticket_and_kind_are_those_of_one_grant(decide_shop):
    stated = {"purpose": "customer-support", "ticket": "T-1"}
    for change in ({"purpose": "other"}, {"ticket": "T-2"}, {"kind": "operate"}):
        held = (replace(HELD, **change), replace(HELD, id="g2", purpose="p2", ticket="T-2"))
        assert raw(decide_shop(BY_RECORD, **stated, grants=held)) == set()
    assert raw(decide_shop(BY_NAME, **stated, grants=(replace(HELD, kind="operate"),))) == set()


def test_the_shipped_policies_show_more_with_a_grant(defaults, decide_shop):
    facts = {"purpose": "customer-support", "ticket": "T-1"}
    operator = decide_shop(defaults, role="operator", **facts)
    assert operator["customers.email"].form is Form.MASKED
    whole = replace(HELD, tables=("shop.customers",))
    operator = decide_shop(defaults, role="operator", **facts, grants=(whole,))
    assert operator["customers.email"].form is Form.RAW
    assert operator["customers.email"].policies == ("a-grant-shows-raw-in-region",)
    away = decide_shop(defaults, role="operator", country="US", **facts, grants=(whole,))
    assert away["customers.email"].form is Form.HIDDEN


def test_the_recorded_input_holds_the_grants_and_decides_again(defaults, shop, request_of):
    request = request_of(purpose="customer-support", ticket="T-1", grants=(HELD,))
    document = json.loads(decision_input(defaults, shop, EEA, request))
    assert document["request"]["grants"] == [HELD.to_json()]
    again = AccessRequest.from_json(document["request"])
    assert again == request
    assert decide(defaults, shop, EEA, again) == decide(defaults, shop, EEA, request)
    assert "grants" not in request_of().to_json()
    assert AccessRequest.from_json(request_of().to_json()) == request_of()
    for broken in ({}, {"id": "g"}, HELD.to_json() | {"more": 1}, HELD.to_json() | {"tables": [1]}):
        with pytest.raises(ValueError, match="is not a request"):
            AccessRequest.from_json(request.to_json() | {"grants": [broken]})


@pytest.mark.parametrize("grants", [None, ["g"], ({},), (replace(HELD, purpose="\ud800"),)])
def test_what_is_no_grant_hides_everything(decide_shop, grants):
    policy = '@id("a") permit(principal, action, resource);'
    assert {each.form for each in decide_shop(policy, grants=grants).values()} == {Form.HIDDEN}


def test_a_schema_of_before_still_decides(shop, request_of):
    schema = default_bundle().file(SCHEMA_FILE).text
    start = schema.index("  // The grants in force")
    old = schema[:start] + schema[schema.index("  granted: Set<String>") :]
    bundle = PolicyBundle((SourceFile(SCHEMA_FILE, old), SourceFile("a.cedar", BY_NAME))).compile()
    assert not bundle.sees_grants
    request = request_of(purpose="customer-support", grants=(HELD,))
    assert decide(bundle, shop, EEA, request).form("shop", "orders", "amount") is Form.RAW
    refused = PolicyBundle((SourceFile(SCHEMA_FILE, old), SourceFile("a.cedar", BY_RECORD)))
    assert "`grants`" in refused.problems()[0].message


def test_a_kind_that_there_is_not_is_refused(bundle_of):
    (problem,) = bundle_of(BY_RECORD.replace('"view"', '"veiw"')).problems()
    assert "`veiw` is not a value of `grants.kind`" in problem.message


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        ('"view"', "must be a list"),
        ('["view"]', "must be a table of texts"),
        ('[{ kind = "write" }]', "`write` is not known"),
        ('[{ tickets = "x" }]', "unknown key `tickets`"),
    ],
)
def test_bad_grants_in_a_test_are_refused(tmp_path, holds, word):
    text = f"""[[test]]
name = "x"
as = {{ role = "support", country = "IE" }}
holds = {holds}
column = "a.b.c"
expect = "raw"
"""
    with pytest.raises(ConfigurationError, match=word) as raised:
        parse_tests(text, tmp_path)
    assert raised.value.line == 4
