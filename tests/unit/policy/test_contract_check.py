"""A contract may never give more than policy: each way in which it could is refused by name."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from tests.transfer_deployment import CATALOGUE, CONTRACT, ENTITY, NAME

from ringfort.catalog.load import parse_catalogue
from ringfort.config import EEA
from ringfort.errors import UsageError
from ringfort.policy.bundle import PolicyBundle, default_bundle
from ringfort.policy.contract import ContractColumn, Recipient, Target
from ringfort.policy.contract_check import ContractRefusedError, Place, approval_request, check_contract
from ringfort.policy.contract_source import parse_contract
from ringfort.policy.forms import Form
from ringfort.policy.grants import decide_grant
from ringfort.policy.request import Principal
from ringfort.policy.source import SourceFile
from ringfort.transfer.plan import rendering_faults

CATALOG = parse_catalogue(CATALOGUE, Path("catalog.toml"))
DEFAULT = default_bundle().compile()
PRINCIPALS = {
    each.name: each
    for each in (
        Principal("acme", "US", ENTITY, "analyst"),
        Principal("olga", "IE", "Example", "operator"),
        Principal("ronan", "IE", "Example", "approver"),
    )
}


def contract(*changes):
    text = CONTRACT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_contract(text, Path(f"{NAME}.toml"))[0]


def checked(stated, bundle=DEFAULT, principals=PRINCIPALS, catalogue=CATALOG):
    return check_contract(
        stated,
        bundle=bundle,
        catalogue=catalogue,
        region=EEA,
        principals=principals,
        place=Place("dublin-1", "IE"),
        time="2026-11-22T00:00:00.000000Z",
    )


def faults(*changes, **more):
    return [each.message for each in checked(contract(*changes), **more).faults]


def with_policy(text):
    files = [each for each in default_bundle().files if each.name not in {"staff.cedar", "tests.toml"}]
    return PolicyBundle((*files, SourceFile("staff.cedar", text))).compile()


def test_what_policy_gives_may_leave():
    found = checked(contract())
    assert found.faults == ()
    found.require()
    assert found.request.countries() == ("US",)


@pytest.mark.parametrize(
    ("change", "column", "permitted", "policy"),
    [
        (('id = "pseudonym"\nname', 'id = "raw"\nname'), "customers.id", "pseudonym", "analysts-see-pseud"),
        (('born = "generalised"', 'born = "raw"'), "customers.born", "generalised", "quasi-identifiers"),
        (('born = "generalised"', 'born = "masked"'), "customers.born", "generalised", "quasi-identifiers"),
        (('note = "raw"', 'email = "masked"'), "customers.email", "hidden", "restricted-never"),
        (('note = "raw"', 'note = "raw"\nemail = "pseudonym"'), "customers.email", "hidden", "no policy"),
    ],
)  # fmt: skip
def test_a_more_revealing_form_is_refused_by_name_with_the_policies(change, column, permitted, policy):
    (message, *_) = faults(change)
    assert message.startswith(f"`shop.{column}` would leave as")
    assert f"policy gives {permitted}" in message
    assert policy in message
    with pytest.raises(ContractRefusedError) as caught:
        checked(contract(change)).require()
    assert caught.value.sqlstate == "42501"
    assert caught.value.hint


def test_a_less_revealing_form_is_in_order():
    assert faults(('note = "raw"', 'note = "pseudonym"')) == []
    assert faults(('note = "raw"', 'note = "generalised"')) == []


def test_a_pseudonym_links_rows_so_a_generalisation_does_not_permit_it():
    (message,) = faults(('born = "generalised"', 'born = "pseudonym"'))
    assert "`shop.customers.born` would leave as pseudonym, which policy does not permit" in message
    both = with_policy(
        '@id("quasi") permit(principal, action in [Action::"generalised", Action::"pseudonym"], resource);'
        '@id("plain") permit(principal, action == Action::"raw", resource)'
        ' when { resource.identifiability == "none" };'
    )
    assert faults(('born = "generalised"', 'born = "pseudonym"'), ('id = "pseudonym"', 'id = "pseudonym"'),
                  bundle=both) == []  # fmt: skip


def test_one_identity_leaves_in_one_form_by_one_method():
    everything = with_policy('@id("all") permit(principal, action, resource);')
    (message,) = faults(('customer_id = "pseudonym"', 'customer_id = "raw"'), bundle=everything)
    assert "`shop.orders.customer_id` and `shop.customers.id` are the same identity" in message
    (message,) = faults(
        ('customer_id = "pseudonym"', 'customer_id = { form = "pseudonym", method = "ff1" }'),
        bundle=everything,
    )
    assert "same identity" in message


def test_one_identity_leaves_by_ff1_as_one_kind():
    """Every kind has a key of its own there: they would not join."""
    everything = with_policy('@id("all") permit(principal, action, resource);')
    changes = [
        (f'{each} = "pseudonym"', f'{each} = {{ form = "pseudonym", method = "ff1" }}')
        for each in ("\nid", "customer_id")
    ]
    assert faults(*changes, bundle=everything) == []
    for kind in ("number", "code", "national_id", "phone"):
        other = CATALOGUE.replace('kind = "key"\nreferences', f'kind = "{kind}"\nreferences')
        assert other != CATALOGUE
        catalogue = parse_catalogue(other, Path("catalog.toml"))
        (message,) = faults(*changes, bundle=everything, catalogue=catalogue)
        assert "same identity, and `ff1` keeps their kinds apart" in message
        assert faults(bundle=everything, catalogue=catalogue) == []  # by `cmac` they join


def test_the_record_and_the_contract_must_agree_on_the_recipient():
    (message,) = faults((f'entity = "{ENTITY}"', 'entity = "Acme Holding"'))
    assert "the recipient's entity is `Acme Holding`" in message
    assert any("country is `CA`" in each for each in faults(('country = "US"', 'country = "CA"')))


def test_every_named_country_is_decided_on_and_the_strictest_stands():
    found = faults(('address = "outbox"', 'address = "outbox"\ncountry = "CN"'))
    assert any("`shop.customers.born`" in each and "CN decides" in each for each in found)


def test_a_recipient_in_a_forbidden_country_gets_next_to_nothing():
    there = replace(contract(), recipient=Recipient("far", "Far Ltd", "CN"))
    far = PRINCIPALS | {"far": Principal("far", "CN", "Far Ltd", "analyst")}
    found = [each.message for each in checked(there, principals=far).faults]
    assert any("high-risk-countries-see-no-personal-data" in each for each in found)


def test_the_mechanism_must_fit_where_the_recipient_is():
    (message,) = faults(
        (
            'mechanism = "standard-contractual-clauses"\nassessment = "TIA-2026-014"',
            'mechanism = "within-region"',
        )
    )
    assert "outside the region" in message
    home = PRINCIPALS | {"acme": Principal("acme", "FR", ENTITY, "analyst")}
    (message,) = faults(('country = "US"', 'country = "FR"'), principals=home)
    assert "no transfer that needs this mechanism" in message
    abroad = replace(
        contract(),
        mechanism="within-region",
        recipient=Recipient("acme", ENTITY, "FR"),
        target=Target("o", "US"),
    )
    assert any("outside the region" in each.message for each in checked(abroad, principals=home).faults)


@pytest.mark.parametrize("who", ["olga", "acme"])
def test_the_approver_is_somebody_else(who):
    found = faults(('approver = "ronan"', f'approver = "{who}"'))
    assert any("approver is also owner or recipient" in each for each in found)


def test_who_is_named_must_be_registered():
    assert any(
        "owner `nobody` is not registered" in each for each in faults(('owner = "olga"', 'owner = "nobody"'))
    )
    with pytest.raises(UsageError, match="recipient `nobody` is not registered"):
        faults(('principal = "acme"', 'principal = "nobody"'))


def test_what_is_not_catalogued_is_named():
    assert "table `customers` has no catalogued column `shoe_size`" in faults(
        ('note = "raw"', 'note = "raw"\nshoe_size = "raw"')
    )
    stated = replace(contract(), tables=(replace(contract().tables[0], name="suppliers"),))
    assert "dataset `shop` has no table `suppliers`" in [each.message for each in checked(stated).faults]
    with pytest.raises(UsageError, match="no dataset `other`"):
        faults(('dataset = "shop"', 'dataset = "other"'))


def test_what_nobody_classified_does_not_leave():
    classes = 'protection = "protected", identifiability = "none", kind = "category"'
    assert classes in CATALOGUE
    text = CATALOGUE.replace(classes, 'kind = "category"')
    catalogue = parse_catalogue(text, Path("catalog.toml"))
    found = check_contract(
        contract(), bundle=DEFAULT, catalogue=catalogue, region=EEA, principals=PRINCIPALS,
        place=Place("dublin-1", "IE"), time="",
    )  # fmt: skip
    assert ["not classified" in each.message for each in found.faults] == [True]


def test_the_decision_is_the_same_for_the_same_input():
    first, second = checked(contract()), checked(contract())
    assert first.map.to_json() == second.map.to_json()


def decided(approver, owner="olga"):
    request = approval_request(
        contract(),
        approver=PRINCIPALS[approver],
        approver_managers=(),
        owner=PRINCIPALS[owner],
        owner_managers=("ronan",) if owner == "acme" else (),
        time="",
    )
    return decide_grant(DEFAULT, CATALOG, EEA, request)


def test_who_may_approve_is_policy():
    assert decided("ronan").permitted
    assert not decided("olga").permitted
    assert "no-approval-within-a-report-line" in decided("ronan", owner="acme").policies


def test_the_demos_example_is_in_order():
    shipped = files("ringfort.demo")
    catalogue = parse_catalogue(shipped.joinpath("catalog.toml").read_text(), Path("catalog.toml"))
    stated = parse_contract(shipped.joinpath("us-analytics.toml").read_text(), Path("us-analytics.toml"))[0]
    found = check_contract(
        stated,
        bundle=DEFAULT,
        catalogue=catalogue,
        region=EEA,
        principals=PRINCIPALS | {"dana": Principal("dana", "US", "Example Video Inc", "analyst")},
        place=Place("dublin-1", "IE"),
        time="",
    )
    assert (found.faults, rendering_faults(stated, catalogue)) == ((), [])


def test_a_column_stated_twice_counts_once():
    stated = contract()
    table = replace(stated.tables[0], columns=(ContractColumn("note", Form.RAW),))
    assert checked(replace(stated, tables=(table,))).faults == ()
