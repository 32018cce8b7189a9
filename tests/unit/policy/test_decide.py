import dataclasses
import json

import pytest

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.policy.decide import AccessRequest, Principal, ViewerSource, decide, decision_input
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import Form

ALL = '@id("all") permit(principal, action, resource);\n'


def one(form):
    return f'@id("{form}") permit(principal, action == Action::"{form}", resource);\n'


@pytest.mark.parametrize("form", ["raw", "masked", "generalised", "pseudonym"])
def test_the_first_permitted_form_is_taken(decide_shop, form):
    got = decide_shop(one(form) + one("noisy"))["customers.email"]
    assert got == ColumnDisclosure(Form(form), (form,), form)


def test_a_forbidden_form_is_passed_over_and_the_reason_names_the_forbid(decide_shop):
    guard = '@id("guard") forbid(principal, action in [Action::"raw", Action::"masked"], resource);'
    got = decide_shop(ALL + guard)["customers.email"]
    assert got == ColumnDisclosure(Form.GENERALISED, ("all",), "all (guard forbids raw, masked)")


def test_nothing_permitted_is_hidden(decide_shop):
    got = decide_shop('@id("guard") forbid(principal, action == Action::"raw", resource);')
    assert got["customers.email"] == ColumnDisclosure(
        Form.HIDDEN, ("guard",), "no policy permits any form (guard forbids raw)"
    )
    everything = decide_shop(ALL + '@id("no") forbid(principal, action, resource);')["customers.email"]
    assert everything.reason == "no policy permits any form (no forbids every form)"
    assert decide_shop("")["customers.email"].reason == "no policy permits any form"


def test_an_unclassified_column_is_hidden_without_asking(decide_shop):
    got = decide_shop(ALL)
    assert got["customers.added"] == ColumnDisclosure(Form.HIDDEN, (), "not classified in the catalogue")
    assert got["customers.email"].form is Form.RAW


@pytest.mark.parametrize("form", ["aggregate", "noisy"])
def test_forms_without_an_answer_act_as_hidden_and_say_so(decide_shop, form):
    got = decide_shop(one(form))["customers.email"]
    assert got.form is Form.HIDDEN
    assert got.policies == (form,)
    assert got.reason == f"{form} acts as hidden: permitted by {form}, not available yet"


# -- errors deny ---------------------------------------------------------------------------------------

OVERFLOW = """
@id("sum") {effect}(principal, action == Action::"raw", resource)
when {{ 9223372036854775807 + 1 > 0 }};
"""


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_denies_its_form_whatever_its_effect(decide_shop, effect):
    # Cedar itself would skip the failing forbid and allow
    broken = OVERFLOW.format(effect=effect)
    got = decide_shop(ALL + broken)["customers.email"]
    assert got.form is Form.MASKED
    assert got.policies == ("all",)
    assert got.reason == (
        "all (raw denied because policy `sum` failed: integer overflow while attempting to add the values"
        " `9223372036854775807` and `1`)"
    )


def test_a_failure_that_depends_on_the_request_denies_too(decide_shop):
    # only the principal who asks is known to Cedar, so the other one's role cannot be read
    text = ALL + '@id("boss") forbid(principal, action, resource) when { User::"boss".role == "none" };'
    boss = Principal("boss", "IE", "controller", "support")
    assert decide_shop(text, principal=boss)["customers.email"].form is Form.RAW
    got = decide_shop(text)["customers.email"]
    assert got.form is Form.HIDDEN
    assert "every form denied because policy `boss` failed" in got.reason


# -- places --------------------------------------------------------------------------------------------

HOME = '@id("home") permit(principal, action == Action::"raw", resource) when { context.in_region };\n'
AWAY = '@id("away") permit(principal, action == Action::"pseudonym", resource);\n'


@pytest.mark.parametrize(
    ("seen_from", "form"),
    [
        ([], "raw"),
        (["IE"], "raw"),
        (["FR"], "raw"),
        (["US"], "pseudonym"),
        ([""], "pseudonym"),
        (["ZZ"], "pseudonym"),
        (["ie"], "pseudonym"),
        (["Ireland"], "pseudonym"),
        (["IE", "DE", "US"], "pseudonym"),
    ],
)
def test_the_least_revealing_of_the_claimed_countries_stands(decide_shop, seen_from, form):
    assert decide_shop(HOME + AWAY, seen_from=seen_from)["customers.email"].form == form


def test_a_disagreement_is_told(decide_shop):
    got = decide_shop(HOME + AWAY, seen_from=["US"])["customers.email"]
    assert got.policies == ("away",)
    assert got.reason == "away [sources for the viewer's country disagree: US decides, IE raw]"


def test_no_source_at_all_is_unproven(decide_shop):
    assert decide_shop(HOME + AWAY, viewer=())["customers.email"].form == "pseudonym"


def test_the_unproven_country_is_never_in_the_region(decide_shop):
    assert (
        decide_shop(HOME + AWAY, region=["IE", "ZZ"], seen_from=["ZZ"])["customers.email"].form == "pseudonym"
    )


def test_each_column_takes_its_own_least_revealing_country(decide_shop):
    text = """
    @id("email-at-home") permit(principal, action == Action::"raw", resource)
    when { context.in_region && resource.kind == "email" };
    @id("dates-abroad") permit(principal, action == Action::"raw", resource)
    when { !context.in_region && resource.kind == "birth_date" };
    """
    got = decide_shop(text, seen_from=["US"])
    assert got["customers.email"].form is Form.HIDDEN
    assert got["customers.born"].form is Form.HIDDEN


# -- identity classes ----------------------------------------------------------------------------------


def test_a_key_and_its_foreign_keys_end_in_one_form(decide_shop):
    text = (
        ALL
        + """
    @id("orders-blind") forbid(principal, action in [Action::"raw", Action::"masked", Action::"generalised"],
    resource in Table::"shop.orders");
    """
    )
    got = decide_shop(text)
    assert got["orders.customer_id"].form is Form.PSEUDONYM
    assert got["customers.id"].form is Form.PSEUDONYM
    assert got["customers.id"].policies == got["orders.customer_id"].policies
    assert got["customers.id"].reason == (
        "one form with shop.orders.customer_id, the same identity:"
        " all (orders-blind forbids raw, masked, generalised)"
    )
    assert got["customers.email"].form is Form.RAW


def test_hidden_wins_in_a_class(decide_shop, shop):
    dataset = shop.datasets[0]
    customers, orders = dataset.tables
    blank = Column("customer_id", "bigint", identity_space="shop.customers.id", kind="key")
    changed = dataclasses.replace(orders, columns=(blank, *orders.columns[1:]))
    catalogue = Catalogue((dataclasses.replace(dataset, tables=(customers, changed)),))
    got = decide_shop(ALL, catalogue=catalogue)
    assert got["customers.id"].form is Form.HIDDEN
    assert "not classified" in got["customers.id"].reason


def test_another_database_is_another_matter(decide_shop, shop):
    table = Table("public", "visits", (Column("who", "bigint", identity_space="shop.customers.id"),))
    catalogue = Catalogue((*shop.datasets, Dataset("web", "web", "", (table,))))
    got = decide_shop(ALL, catalogue=catalogue)
    assert got["customers.id"].form is Form.RAW
    assert "visits.who" not in got


# -- what policies can name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "condition", "columns"),
    [
        ('resource in Table::"shop.orders"', "true", {"orders.amount"}),
        ('resource == Column::"shop.customers.born"', "true", {"customers.born"}),
        ("resource", 'resource.name == "country"', {"customers.country"}),
        ("resource", 'resource.table == "orders"', {"orders.amount"}),
        ("resource", 'resource.name like "*mail"', {"customers.email"}),
        ("resource", 'resource in [Column::"shop.orders.amount"]', {"orders.amount"}),
        ("resource", 'resource.dataset == "shop" && resource.kind == "email"', {"customers.email"}),
        ('resource is Column in Dataset::"shop"', 'resource.kind == "email"', {"customers.email"}),
    ],
)
def test_columns_that_policies_tell_apart_are_asked_apart(decide_shop, scope, condition, columns):
    text = f'@id("a") permit(principal, action == Action::"masked", {scope}) when {{ {condition} }};'
    got = {name for name, each in decide_shop(text).items() if each.form is Form.MASKED}
    assert got == columns  # never a key: the other column of its class is hidden


def test_columns_that_nothing_tells_apart_share_an_answer(defaults, request_of):
    wide = tuple(Column(f"c{n}", "text", "protected", "none", "amount") for n in range(300))
    catalogue = Catalogue((Dataset("shop", "shop", "", (Table("public", "wide", wide),)),))
    asked = []
    engine = defaults.engine

    class Counting:
        distinctions, entities = engine.distinctions, engine.entities

        def authorise(self, entities, queries):
            asked.append(len(queries))
            return engine.authorise(entities, queries)

    class Bundle:
        engine = Counting()
        sees_grants = True

    decision = decide(Bundle(), catalogue, ["IE"], request_of("analyst", "US"))
    assert len(decision.columns) == 300
    assert set(decision.forms().values()) == {Form.RAW}
    assert max(asked) == 1


# -- total ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"purpose": None},
        {"purpose": 7},
        {"purpose": "\ud800"},
        {"ticket": b"x"},
        {"principal": None},
        {"principal": Principal("a", "IE", "e", None)},
        {"principal": Principal("a\udfff", "IE", "e", "support")},
        {"viewer": None},
        {"viewer": ("IE",)},
        {"viewer": [ViewerSource("registration", "IE")]},
        {"viewer": (ViewerSource("registration", None),)},
        {"granted": None},
        {"granted": frozenset({1})},
        {"site": None},
        {"time": None},
    ],
)
def test_an_odd_request_is_decided_as_hidden(decide_shop, odd):
    got = decide_shop(ALL, **odd)
    assert {each.form for each in got.values()} == {Form.HIDDEN}
    assert all("request" in each.reason for each in got.values())


@pytest.mark.parametrize(
    "text", ["", " ", '"', "\\", "\n", "\0", 'a"; permit', "😀", "x" * 100_000, 'User::"root"', "policy0"]
)
def test_any_text_is_only_text(decide_shop, text):
    policy = '@id("a") permit(principal, action == Action::"raw", resource) when { context.purpose == "p" };'
    odd = {
        "principal": Principal(text, text, text, text),
        "ticket": text,
        "site": text,
        "granted": frozenset({text}),
    }
    assert decide_shop(policy, purpose="p", **odd)["customers.email"].form is Form.RAW
    assert decide_shop(policy, purpose=text, **odd)["customers.email"].form is Form.HIDDEN


@pytest.mark.parametrize("database", ["", "other", None])
def test_an_unknown_database_has_no_columns(decide_shop, database):
    assert decide_shop(ALL, database=database) == {}


def test_odd_names_do_not_run_into_each_other(bundle_of, request_of):
    def dataset(name, table):
        return Dataset(name, "shop", "", (Table("public", table, (Column("c", "text", "public", "none"),)),))

    catalogue = Catalogue((dataset("a.b", "c"), dataset("a", "b.c"), dataset('a"', ".")))
    text = '@id("x") permit(principal, action, resource in Table::"\\"a.b\\".c");'
    bundle = bundle_of(text)
    assert bundle.problems(catalogue) == ()
    decision = decide(bundle.compile(), catalogue, ["IE"], request_of())
    assert {key: form for key, form in decision.forms().items() if form is Form.RAW} == {
        ("a.b", "c", "c"): Form.RAW
    }


# -- what is recorded ----------------------------------------------------------------------------------


def test_equal_input_gives_an_equal_map_and_the_map_survives_json(defaults, shop, request_of):
    request = request_of("analyst", "US", seen_from=["CN"])
    first, again = (decide(defaults, shop, ["IE"], request) for _ in range(2))
    assert first == again
    assert first.digest() == again.digest()
    assert DisclosureMap.from_json(first.to_json()) == first
    assert hash(DisclosureMap.from_json(first.to_json())) == hash(first)
    assert first.form("shop", "customers", "email") is Form.HIDDEN
    assert first.form("no", "such", "column") is Form.HIDDEN


def test_a_map_of_other_bytes_is_refused():
    good = DisclosureMap({("a", "b", "c"): ColumnDisclosure(Form.RAW, ("p",), "p")}).to_json()
    for bad in (
        good.replace(b'"raw"', b'"row"'),
        good + b" ",
        good.replace(b"map/1", b"map/2"),
        b"[]",
        b'{"columns":[],"format":1}',
        good.replace(b'["a",', b"["),
    ):
        with pytest.raises(ValueError):
            DisclosureMap.from_json(bad)


def test_the_recorded_input_is_whole_and_decides_again(defaults, shop, request_of):
    request = request_of(
        "support", purpose="customer-support", granted=frozenset({"b", "a"}), seen_from=["US", ""]
    )
    recorded = decision_input(defaults, shop, ["IE", "DE", "IE"], request)
    assert recorded == decision_input(defaults, shop, ["DE", "IE"], request)
    assert AccessRequest.from_json(request.to_json()) == request
    document = json.loads(recorded)
    assert document["region"] == ["DE", "IE"]
    assert document["policy"] == defaults.digest
    assert document["catalogue"] == shop.digest()
    assert AccessRequest.from_json(document["request"]) == request


def test_a_request_of_another_shape_is_refused(request_of):
    good = request_of().to_json()
    for bad in (
        good | {"more": 1},
        {key: value for key, value in good.items() if key != "ticket"},
        good | {"principal": {"name": "x"}},
        good | {"granted": ["b", "a"]},
        good | {"purpose": None},
        good | {"viewer": [{"source": "registration"}]},
    ):
        with pytest.raises(ValueError):
            AccessRequest.from_json(bad)
