"""Who may approve a grant, who may take one, and the rules of grants.toml."""

from dataclasses import replace

import pytest

from ringfort.config import EEA
from ringfort.errors import ConfigurationError, UsageError
from ringfort.policy.bundle import PolicyBundle, default_bundle
from ringfort.policy.grant_rules import GrantRules, duration_seconds, parse_rules
from ringfort.policy.grants import (
    ActRequest,
    GrantFacts,
    Outcome,
    covered,
    decide_grant,
    grant_input,
    protections,
)
from ringfort.policy.request import Principal
from ringfort.policy.source import SourceFile
from ringfort.policy.tests_file import load_tests, run_tests

APPROVER = Principal("ronan", "IE", "controller", "approver")
SUPPORT = Principal("maeve", "IE", "controller", "support")
FACTS = GrantFacts("g1", "view", "customer-support", "T-1", ("shop.customers",), 600)
REQUEST = ActRequest("approve", APPROVER, (), SUPPORT, (), FACTS, 0, 1, "2026-01-02T03:04:05Z")


def with_grants(text, **files):
    made = {each.name: each.text for each in default_bundle().files}
    made |= {"grants.cedar": text, "tests.toml": ""} | {k.replace("_", "."): v for k, v in files.items()}
    return PolicyBundle(tuple(SourceFile(*each) for each in made.items()))


def ask(policies, shop, **changes):
    compiled = with_grants(policies).compile() if isinstance(policies, str) else policies
    return decide_grant(compiled, shop, EEA, replace(REQUEST, **changes))


def test_the_shipped_policies(defaults, shop):
    decision = ask(defaults, shop)
    assert decision.form is Outcome.PERMITTED
    assert decision.policies == ("approvers-in-the-region-approve",)
    for changes, why in (
        ({"actor": replace(APPROVER, country="US")}, "no policy permits it"),
        ({"actor": replace(APPROVER, role="operator")}, "no policy permits it"),
        ({"requester": APPROVER}, "nobody-approves-their-own"),
        ({"requester_managers": ("sorcha", "ronan")}, "no-approval-within-a-report-line"),
        ({"actor_managers": ("maeve",)}, "no-approval-within-a-report-line"),
        ({"grant": replace(FACTS, kind="operate")}, "operate-is-for-operators-in-the-region"),
        ({"grant": replace(FACTS, tables=("shop.none",))}, "no table or dataset"),
        ({"action": "raw"}, "no such act"),
    ):
        denied = ask(defaults, shop, **changes)
        assert not denied.permitted
        assert why in denied.reason


def test_a_bundle_without_policies_about_grants_permits_nobody(bundle_of, shop):
    compiled = bundle_of('@id("a") permit(principal, action, resource);').compile()
    assert compiled.grant_engine is None
    assert "no grants.cedar" in ask(compiled, shop).reason
    assert compiled.grant_rules == GrantRules()


@pytest.mark.parametrize(
    "condition",
    [
        'resource in Table::"shop.customers"',
        'resource in Dataset::"shop"',
        'resource.kind == "view" && resource.seconds == 600 && resource.ticket == "T-1"',
        'resource.protection == "restricted" && resource.protections.contains("protected")',
        'context.requester.role == "support" && context.requester.in_region',
        "context.needed == 1 && context.approvals == 0 && !context.manager_known && !context.report_line",
    ],
)
def test_what_a_policy_about_grants_can_ask_about(shop, condition):
    policy = f'@id("a") permit(principal, action == Action::"approve", resource) when {{ {condition} }};'
    assert ask(policy, shop).permitted


def test_a_policy_that_errs_denies(shop):
    policy = """@id("a") permit(principal, action, resource);
@id("b") forbid(principal, action, resource) when { resource.seconds * 9223372036854775807 > 1 };"""
    decision = ask(policy, shop)
    assert not decision.permitted
    assert "policy `b` failed" in decision.reason


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ('@id("a") permit(principal, action == Action::"raw", resource);', "unrecognized action"),
        ('@id("a") permit(principal, action, resource) when { resource.kind == "key" };', "not a value"),
        ('@id("a") permit(principal, action, resource) when { resource.protection == "x" };', "not a value"),
        (
            '@id("a") permit(principal, action, resource) when { resource.identifiability == "x" };',
            "attribute",
        ),
    ],
)
def test_a_bad_policy_about_grants_is_refused_with_file_and_line(policy, word):
    (problem,) = with_grants("// a comment\n" + policy).problems()
    assert (str(problem.path), problem.line) == ("grants.cedar", 2)
    assert word in problem.message


def test_a_table_that_is_not_catalogued_is_refused(shop):
    bundle = with_grants('@id("a") permit(principal, action, resource) when { resource in Table::"shop.x" };')
    (problem,) = bundle.problems(shop)
    assert "no table `shop.x`" in problem.message


def test_policies_without_their_schema_and_another_schema_are_refused():
    files = [each for each in default_bundle().files if each.name != "grants.cedarschema"]
    assert "no `grants.cedarschema`" in PolicyBundle(tuple(files)).problems()[0].message
    schema = default_bundle().file("grants.cedarschema").text
    changed = SourceFile("grants.cedarschema", schema.replace("oneself: Bool", "alone: Bool"))
    bundle = PolicyBundle(
        (*files, changed, SourceFile("grants.cedar", '@id("a") permit(principal, action, resource);'))
    )
    assert any("does not describe" in each.message or "oneself" in each.message for each in bundle.problems())


def test_the_input_can_be_read_back(defaults, shop):
    assert ActRequest.from_json(REQUEST.to_json()) == REQUEST
    blob = grant_input(defaults, shop, EEA, REQUEST)
    assert blob == grant_input(defaults, shop, reversed(EEA), REQUEST)
    for change in ({"grant": {}}, {"actor": {"name": "x"}}, {"needed": None, "more": 1}):
        with pytest.raises(ValueError, match="is not a request"):
            ActRequest.from_json(REQUEST.to_json() | change)


def test_what_names_cover(shop):
    assert [each.name for _, each in covered(shop, ["shop"])] == ["customers", "orders"]
    assert [each.name for _, each in covered(shop, ["shop.orders", "shop.orders"])] == ["orders"]
    with pytest.raises(UsageError, match=r"no table or dataset `orders`"):
        covered(shop, ["orders"])
    # `added` of customers is unclassified
    assert protections(covered(shop, ["shop.customers"])) == ("restricted", "protected", "interoperable")
    assert protections(covered(shop, ["shop.orders"])) == ("protected", "interoperable")
    assert protections([]) == ("restricted",)


def test_rules_are_read_and_what_is_not_said_is_as_shipped():
    shipped = default_bundle().file("grants.toml").text
    assert parse_rules(shipped) == GrantRules() == parse_rules("")
    rules = parse_rules('[approvals.view]\nrestricted = 3\n[longest]\nview = "90s"\n[within]\nreview = "2d"')
    assert rules.approvals["view"] == {"restricted": 3, "protected": 1, "interoperable": 1, "public": 1}
    assert rules.approvals["operate"]["restricted"] == 2
    assert (rules.longest["view"], rules.longest["break_glass"]) == (90, 3600)
    assert rules.within["review"] == 172_800


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("\n[approval]", 2, "unknown key `approval`"),
        ("[approvals]\nview = 1", 2, "must be a table"),
        ("[approvals.write]", 1, "unknown key `write`"),
        ("[approvals.view]\nsecret = 1", 2, "unknown key `secret`"),
        ("[approvals.view]\npublic = 0", 2, "must be 1 to"),
        ("[approvals.view]\npublic = true", 2, "must be 1 to"),
        ('[longest]\nview = "1 hour"', 2, "not a duration"),
        ("[longest]\nview = 3600", 2, "not a duration"),
        ('[within]\nreview = "91d"', 2, "not a duration"),
        ("[within", 1, "not valid TOML"),
    ],
)
def test_bad_rules_are_refused_with_file_and_line(text, line, word):
    with pytest.raises(ConfigurationError, match=word) as raised:
        parse_rules(text)
    assert raised.value.line == line
    (problem,) = with_grants('@id("a") permit(principal, action, resource);', grants_toml=text).problems()
    assert problem.line == line


def test_durations():
    assert [duration_seconds(each) for each in ("90s", "30m", "8h", "3d")] == [90, 1800, 28_800, 259_200]
    for text in ("", "0s", "1", "h", "1.5h", "-1h", "1h30m", "91d", "1 h"):
        with pytest.raises(UsageError):
            duration_seconds(text)


TEST = """
[[test]]
name = "it"
action = "approve"
as = { role = "approver", country = "IE" }
asked_by = { role = "support", country = "IE" }
grant = { table = "shop.orders", purpose = "complaint", for = "2h" }
expect = "permitted"
"""


def run(shop, text):
    compiled = with_grants(
        '@id("a") permit(principal, action, resource) when { resource.seconds == 7200 };', tests_toml=text
    ).compile()
    return run_tests(compiled, shop, EEA, load_tests(compiled))


def test_examples_of_acts(shop):
    (result,) = run(shop, TEST)
    assert result.passed
    (result,) = run(shop, TEST.replace('"2h"', '"1h"'))
    assert not result.passed
    assert (result.got.form, result.test.expect) == ("denied", "permitted")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('action = "approve"', 'action = "look"', "`look` is not known"),
        ('action = "approve"', "", "no `action`"),
        ('expect = "permitted"', 'expect = "raw"', "`raw` is not known"),
        ('expect = "permitted"', 'expect = "permitted"\nviewer = "US"', "unknown key `viewer`"),
        ('table = "shop.orders"', 'protection = "secret"', "`secret` is not known"),
        ('table = "shop.orders", ', "", "either"),
        ('for = "2h"', 'for = "x"', "not a duration"),
        ('for = "2h"', 'kind = "write"', "`write` is not known"),
        ('expect = "permitted"', 'expect = "permitted"\nrelated = "self"', "asked_by"),
        ('expect = "permitted"', 'expect = "permitted"\nbecause = "b"', "no policy `b`"),
    ],
)
def test_bad_examples_are_refused(shop, old, new, word):
    assert old in TEST
    with pytest.raises(ConfigurationError, match=word):
        run(shop, TEST.replace(old, new))
