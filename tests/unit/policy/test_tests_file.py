from pathlib import Path

import pytest

from ringfort.config import EEA
from ringfort.errors import ConfigurationError
from ringfort.policy.tests_file import load_tests, parse_tests, run_tests

POLICY = """
@id("home") permit(principal, action == Action::"raw", resource) when { context.in_region };
@id("case") permit(principal, action == Action::"masked", resource)
when { context.purpose == "p" && context.ticket == "T-1" && context.granted.contains("g")
       && principal.employer == "acme" && context.site == "dublin-1" && context.site_country == "IE" };
"""
GOOD = """
# a comment
[[test]]
name = "at home"
as = { role = "support", country = "IE" }
column = "shop.customers.email"
expect = "raw"
because = "home"

[[test]]
name = "elsewhere"
as = { role = "support", country = "IE" }
viewer = ["IE", "US"]
column = { protection = "protected", identifiability = "none" }
expect = "hidden"

[[test]]
name = "everything else that a test can say"
as = { role = "x", country = "US", employer = "acme" }
viewer = ""
purpose = "p"
ticket = "T-1"
granted = ["g"]
site = "dublin-1"
site_country = "IE"
column = { protection = "restricted", identifiability = "direct", kind = "email" }
expect = "masked"
"""


def run(bundle_of, shop, tests, **options):
    compiled = bundle_of(POLICY, tests=tests).compile()
    return run_tests(compiled, shop, EEA, load_tests(compiled), **options)


def test_tests_say_who_from_where_for_what(bundle_of, shop):
    results = run(bundle_of, shop, GOOD)
    assert [each.passed for each in results] == [True, True, True]
    assert [each.test.line for each in results] == [3, 10, 17]


def test_site_and_country_come_from_the_configuration(bundle_of, shop):
    tests = GOOD.replace('site = "dublin-1"\nsite_country = "IE"\n', "").replace(
        'column = { protection = "restricted", identifiability = "direct", kind = "email" }',
        'column = "shop.customers.email"',
    )
    assert [each.passed for each in run(bundle_of, shop, tests)] == [True, True, False]
    assert all(each.passed for each in run(bundle_of, shop, tests, sites={"shop": ("dublin-1", "IE")}))


def test_a_failing_test_shows_what_came_instead(bundle_of, shop):
    first, second, _ = run(
        bundle_of, shop, GOOD.replace('"raw"', '"masked"').replace('because = "home"', 'because = "case"')
    )
    assert not first.passed
    assert first.got.form == "raw"
    assert second.passed
    wrong_reason = run(bundle_of, shop, GOOD.replace('because = "home"', 'because = "case"'))[0]
    assert not wrong_reason.passed


def test_no_file_is_no_tests(bundle_of):
    assert load_tests(bundle_of(POLICY).compile()) == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ('expect = "raw"', 'expect = "row"', 7, "`row` is not a form"),
        ('expect = "raw"', "expect = 1", 7, "`expect` must be a text"),
        ('expect = "raw"', "", 3, "has no `expect`"),
        ('name = "at home"', 'nmae = "x"', 4, "unknown key `nmae`"),
        ('name = "at home"', 'name = ""', 4, "`name` must be a text"),
        ('name = "elsewhere"', 'name = "at home"', 11, "already used on line 3"),
        (
            'as = { role = "support", country = "IE" }',
            'as = { role = "support" }',
            5,
            "`as` has no `country`",
        ),
        ('country = "IE" }', 'country = "Ireland" }', 5, "`Ireland` is not an ISO"),
        ('country = "IE" }', 'country = "IE", age = "7" }', 5, "unknown key `age`"),
        ('as = { role = "support", country = "IE" }', 'as = "support"', 5, "`as` must be a table"),
        ('viewer = ["IE", "US"]', 'viewer = ["IE", "us"]', 13, "`us` is not an ISO"),
        ('viewer = ["IE", "US"]', "viewer = 3", 13, "`viewer` must be a list of texts"),
        (
            'protection = "protected", ',
            'protection = "secret", ',
            14,
            "`secret` is not a value of `protection`",
        ),
        ('protection = "protected", ', "", 14, "`column` has no `protection`"),
        ('site_country = "IE"', 'site_country = "xx"', 25, "`xx` is not an ISO"),
        ('[[test]]\nname = "at', '[test]\nname = "at', 10, "not valid TOML"),
        ("# a comment", "more = 1", 2, "unknown key `more`"),
    ],
)
def test_a_slip_is_refused_with_file_and_line(old, new, line, word):
    assert old in GOOD
    with pytest.raises(ConfigurationError, match=r"tests\.toml") as caught:
        parse_tests(GOOD.replace(old, new, 1), Path("policy/tests.toml"))
    assert word in caught.value.message
    assert caught.value.line == line


def test_a_policy_that_is_not_there_is_refused(bundle_of, shop):
    with pytest.raises(ConfigurationError, match="no policy `hme`") as caught:
        run(bundle_of, shop, GOOD.replace('because = "home"', 'because = "hme"'))
    assert caught.value.line == 3


def test_a_column_that_is_not_there_is_refused(bundle_of, shop):
    with pytest.raises(ConfigurationError, match=r"no column `shop.customers.mail`") as caught:
        run(bundle_of, shop, GOOD.replace("customers.email", "customers.mail"))
    assert caught.value.line == 3
