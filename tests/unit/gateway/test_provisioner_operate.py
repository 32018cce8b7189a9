"""Which operate session a request is given, without a database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.unit.policy.conftest import make_request, shop_catalogue

from ringfort.catalog.model import Catalogue
from ringfort.gateway.provisioner_decision import Ground, NotDecidedError
from ringfort.gateway.provisioner_operate import PREFIX, decide_operation
from ringfort.policy.disclosure_map import DisclosureMap
from ringfort.policy.forms import Form
from ringfort.policy.request import AccessRequest, HeldGrant

REGION = frozenset({"IE", "DE"})
HELD = HeldGrant("g1", "operate", "maintenance", "T-9", ("shop.orders",), "2026-11-21T13:00:00Z")
STATED = {"purpose": "maintenance", "ticket": "T-9"}


def decide(catalogue=None, *, country="IE", seen_from=("IE",), grants=(HELD,), **stated):
    request = make_request("operator", country, seen_from=seen_from, grants=grants, **(STATED | stated))
    ground = Ground(7, "aa" * 32, "ringfort-policy/2", "bb" * 32, "", request.principal)
    return decide_operation(ground, catalogue or shop_catalogue(), REGION, request)


def test_the_tables_that_the_grants_cover_until_the_first_ends():
    operation = decide()
    assert [each.name for each in operation.tables] == ["orders"]
    assert (operation.schema, operation.until) == ("public", HELD.until)
    assert operation.columns == ["amount", "customer_id"]
    assert operation.role.startswith(PREFIX)
    assert not operation.role.startswith("rf_")
    shown = DisclosureMap.from_json(operation.map)
    assert shown.form("shop", "orders", "amount") is Form.RAW
    assert shown.form("shop", "customers", "email") is Form.HIDDEN
    both = decide(grants=(HELD, replace(HELD, id="g2", tables=("shop",), until="2026-11-21T12:30:00Z")))
    assert {each.name for each in both.tables} == {"orders", "customers"}
    assert both.until == "2026-11-21T12:30:00Z"
    assert both.role != operation.role


def test_the_input_holds_what_it_stands_on():
    document = json.loads(decide().input)
    assert document["format"] == "ringfort-operate-input/1"
    assert AccessRequest.from_json(document["request"]).grants == (HELD,)
    assert document["region"] == ["DE", "IE"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"grants": ()}, "no operate grant"),
        ({"ticket": "T-8"}, "no operate grant"),
        ({"purpose": ""}, "no operate grant"),
        ({"country": "US"}, "within the region"),
        ({"seen_from": ("US",)}, "within the region"),
        ({"seen_from": ("",)}, "within the region"),
        ({"database": "other"}, "several schemas, or none"),
    ],
)
def test_who_gets_none(changes, why):
    with pytest.raises(NotDecidedError, match=why) as raised:
        decide(**changes)
    assert raised.value.sqlstate == "42501"


def test_tables_of_several_schemas_are_refused():
    (shop,) = shop_catalogue().datasets
    moved = tuple(replace(each, schema=each.name) for each in shop.tables)
    with pytest.raises(NotDecidedError, match="several schemas"):
        decide(Catalogue((replace(shop, tables=moved),)), grants=(replace(HELD, tables=("shop",)),))
