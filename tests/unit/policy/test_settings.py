"""policy.toml: purposes as a closed list in one spelling, and datasets whose stored order may show."""

import pytest

from ringfort.errors import ConfigurationError
from ringfort.policy.bundle import (
    SCHEMA_FILE,
    PolicyBundle,
    PolicyError,
    default_bundle,
    load_bundle,
    write_defaults,
)
from ringfort.policy.settings import PolicySettings, canonical_purpose, parse_settings
from ringfort.policy.source import SourceFile
from ringfort.policy.tests_file import load_tests

ANALYSTS = '@id("it") permit(principal, action, resource) when {{ {} }};'


def with_settings(text, *policies, **files):
    made = [default_bundle().file(SCHEMA_FILE), SourceFile("policy.toml", text)]
    made += [SourceFile(f"{number}.cedar", each) for number, each in enumerate(policies)]
    made += [SourceFile(name.replace("_", "."), each) for name, each in files.items()]
    return PolicyBundle(tuple(made))


@pytest.mark.parametrize(
    "written",
    [
        "customer-support",
        "Customer-Support",
        "CUSTOMER_SUPPORT",
        "customer support",
        "  customer   support ",
        "customer\u2013support",  # en dash
        "customer\u2011support",  # non-breaking hyphen
        "customer\u00a0support",
        "customer\u00adsupport",  # soft hyphen
        "\uff43\uff55\uff53\uff54\uff4f\uff4d\uff45\uff52-support",  # full width
        "customer--support",
    ],
)
def test_one_spelling(written):
    purposes = parse_settings('[purposes]\ncustomer-support = ""').purposes
    assert purposes.admitted(written) == "customer-support"


@pytest.mark.parametrize(
    "written",
    [
        "customer-suppоrt",  # a Cyrillic o
        "customersupport",
        "customer-support2",
        "customer.support",
        "сustomer-support",
        "customer-support\x00",
        "x" * 5000,
        "-",
        " ",
    ],
)
def test_another_purpose_is_not_taken_for_it(written):
    purposes = parse_settings('[purposes]\ncustomer-support = ""').purposes
    assert purposes.admitted(written) is None
    assert purposes.nearest(written) == ("customer-support",)


def test_the_nearest_comes_first():
    purposes = parse_settings('[purposes]\ncomplaint = ""\ncustomer-support = ""\nincident = ""').purposes
    assert purposes.nearest("Customer Suport")[0] == "customer-support"
    assert purposes.nearest("complain")[0] == "complaint"


def test_to_state_none_is_no_purpose_on_the_list():
    assert parse_settings("[purposes]").purposes.admitted("") == ""
    assert parse_settings("[purposes]").purposes.admitted("p") is None


def test_a_bundle_of_before_admits_any_purpose_as_written():
    files = tuple(each for each in default_bundle().files if each.name != "policy.toml")
    before = PolicyBundle.from_bytes(PolicyBundle(files).to_bytes())
    settings = before.compile().settings
    assert settings == PolicySettings()
    assert settings.purposes.admitted("Any Thing") == "Any Thing"
    assert before.digest != default_bundle().digest


def test_the_shipped_list_is_part_of_the_bundle(tmp_path):
    write_defaults(tmp_path)
    settings = load_bundle(tmp_path).compile().settings
    assert {"customer-support", "product-analytics"} <= set(settings.purposes.listed)
    assert settings.accept_stored_order == frozenset()
    (tmp_path / "policy.toml").unlink()
    remarks = load_bundle(tmp_path).compile().remarks()
    assert len(remarks) == 1
    assert "policy.toml" in remarks[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "`purposes` is missing"),
        ("purposes = 1", "must be a table"),
        ('purposes = ["a"]', "must be a table"),
        ("[purposes]\na = 1", "must be a text"),
        ('[purposes]\n"Two Words" = ""', "not in the one spelling"),
        ('[purposes]\n"" = ""', "not in the one spelling"),
        ('[purposes]\n"*" = ""', "not in the one spelling"),
        ('[purposes]\n"suppоrt" = ""', "not in the one spelling"),
        ("[purposes]\n[other]", "unknown key"),
        ("accept_stored_order = true\n[purposes]", "must be a list"),
        ('accept_stored_order = [""]\n[purposes]', "must be a list"),
        ("[purposes", "not valid TOML"),
        ("[purposes]\n" + "\n".join(f'p{number} = ""' for number in range(201)), "more than"),
    ],
)
def test_faults_name_file_and_line(text, word):
    problems = with_settings(text).try_compile()[1]
    assert any(word in each.message and each.line for each in problems)


@pytest.mark.parametrize(
    "condition",
    [
        'context.purpose == "suport"',
        '"Support" == context.purpose',
        'context.granted.contains("suport")',
        '["support", "suport"].contains(context.purpose)',
        'context.grants.contains({ kind: "view", purpose: "suport", ticket: context.ticket })',
    ],
)
def test_a_purpose_that_a_policy_names_and_nobody_can_state_is_a_fault(condition):
    with pytest.raises(PolicyError, match=r"purpose `[Ss]u") as raised:
        with_settings('[purposes]\nsupport = ""', ANALYSTS.format(condition)).compile()
    assert "support" in raised.value.hint
    assert raised.value.line == 1


@pytest.mark.parametrize(
    "field", ['purpose = "other"', 'granted = ["other"]', 'holds = [{ purpose = "other" }]']
)
def test_a_purpose_that_a_test_names_is_listed(field):
    test = f"""[[test]]
name = "it"
as = {{ role = "r", country = "IE" }}
{field}
column = {{ protection = "public", identifiability = "none" }}
expect = "raw"
"""
    bundle = with_settings(
        '[purposes]\nsupport = ""', ANALYSTS.format('context.purpose == "support"'), tests_toml=test
    )
    with pytest.raises(ConfigurationError, match="`other`"):
        load_tests(bundle.compile())


def test_stored_order_names_a_dataset_of_the_catalogue(shop):
    compiled = with_settings('accept_stored_order = ["shop", "ship"]\n[purposes]').compile()
    problems = compiled.catalogue_problems(shop)
    assert [each.line for each in problems] == [1]
    assert "`ship`" in problems[0].message
    assert compiled.settings.accept_stored_order == {"shop", "ship"}


def test_the_spelling_is_a_fixed_point():
    for text in ("A b", "\ufb01x", "İ", "ß", "Å", "x-_- y"):
        assert canonical_purpose(canonical_purpose(text)) == canonical_purpose(text)
