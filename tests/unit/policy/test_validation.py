"""What is refused, and where it is said to be."""

import pytest

from ringfort.policy.bundle import PolicyError, default_bundle
from ringfort.policy.source import SourceFile

OK = '@id("ok") permit(principal, action, resource);\n'


def problems_of(bundle, catalogue=None):
    return [(str(each.path), each.line, each.message) for each in bundle.problems(catalogue)]


@pytest.mark.parametrize(
    ("policy", "line", "word"),
    [
        ("permit(principal, action, resource);", 1, "no @id"),
        ("@id permit(principal, action, resource);", 1, "no @id"),
        ('@id("two words") permit(principal, action, resource);', 1, "@id has characters"),
        ('@id("a") permit(principal == ?principal, action, resource);', 1, "template"),
        ('@id("a")\npermit(principal, action, resource)\nwhen { resource.nme == "x" };', 3, "`nme`"),
        ('@id("a")\npermit(principal, action, resource)\nwhen {\n context.who };', 4, "`who`"),
        ('@id("a") permit(principal,\n action == Action::"see", resource);', 2, "unrecognized action"),
        ('@id("a") permit(principal, action,\n resource in Tabel::"shop.orders");', 2, "`Tabel`"),
        (
            '@id("a") permit(principal, action, resource) when {\n context.in_region && };',
            2,
            "not a valid Cedar",
        ),
        ('@id("a") permit(principal, action, resource) when { "x };', 1, "not a valid Cedar"),
        ('@id("a")\npermit(principal, action, resource)', 1, "not a valid Cedar"),
        ('@id("a")\npermit(principal, action, resource) when { resource.kind == 3 };', 1, "not compatible"),
        ('@id("a") permit(principal, action, resource) when { ip("x").isLoopback() };', 1, "IP address"),
    ],
)
def test_a_bad_policy_is_refused_with_file_and_line(bundle_of, policy, line, word):
    found = problems_of(bundle_of(OK, "// first line\n" + policy))
    assert found, "accepted"
    path, at, message = found[0]
    assert (path, at) == ("1.cedar", line + 1)
    assert word in message


@pytest.mark.parametrize(
    "condition",
    [
        "(" * 51 + "true" + ")" * 51,
        "(" * 100_000 + "true" + ")" * 100_000,
        "[" * 60_000,
        "(1 > " * 50_000,
        "{a:" * 60_000,
        " || ".join(["context.in_region"] * 151),
        " || ".join(["true"] * 100_000),
        "context" + ".a" * 50_000 + " == 1",
        "context" + '["a"]' * 50_000,
        "1" + " + 1" * 50_000 + " > 0",
        "if true then " * 50_000,
        "!" * 100_000 + "true",
    ],
)
def test_what_would_overrun_the_parser_is_refused_before_it(bundle_of, condition):
    # Cedar recurses: given to it, most of these end the process
    ((_, line, message),) = problems_of(
        bundle_of(f'\n@id("a") permit(principal, action, resource) when {{ {condition} }};')
    )
    assert line == 2
    assert "nested" in message or "operators" in message


def test_what_is_just_allowed_compiles(bundle_of):
    sides = " || ".join(["context.in_region"] * 150)
    nested = "(" * 48 + sides + ")" * 48
    countries = ", ".join(f'"{a}{b}"' for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    text = f"""
    @id("a") permit(principal, action, resource) when {{ {nested} }};
    @id("b") permit(principal, action, resource) when {{ [{countries}].contains(context.viewer_country) }};
    """
    assert bundle_of(text).problems() == ()


def test_a_schema_that_would_overrun_the_parser_is_refused(bundle_of):
    deep = "entity Deep = { x: " + "Set<" * 50_000 + "Long" + ">" * 50_000 + " };"
    ((path, _, message),) = problems_of(replaced(bundle_of(OK), deep))
    assert path == "schema.cedarschema"
    assert "nested" in message


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ('resource.protection == "restrictd"', "`restrictd` is not a value of `protection`"),
        ('"qausi" != resource.identifiability', "`qausi` is not a value of `identifiability`"),
        ('["key", "emial"].contains(resource.kind)', "`emial` is not a value of `kind`"),
        ('["IE", "Ireland"].contains(context.viewer_country)', "`Ireland` is not an ISO 3166-1"),
        ('principal.country == "ie"', "`ie` is not an ISO 3166-1"),
    ],
)
def test_a_slip_in_a_known_value_is_refused(bundle_of, condition, word):
    text = f'@id("a") forbid(principal, action, resource)\nwhen {{ {condition} }};'
    ((path, line, message),) = problems_of(bundle_of(text))
    assert (path, line) == ("0.cedar", 2)
    assert word in message


def test_two_policies_with_one_id_are_refused(bundle_of):
    ((path, line, message),) = problems_of(bundle_of(OK, "\n\n" + OK))
    assert (path, line) == ("1.cedar", 3)
    assert "already used at 0.cedar:1" in message


def test_every_fault_is_told(bundle_of):
    text = """permit(principal, action, resource);
    @id("b") forbid(principal, action, resource) when { resource.x };"""
    bundle = bundle_of(text)
    assert len(bundle.problems()) == 2
    with pytest.raises(PolicyError) as caught:
        bundle.compile()
    assert caught.value.line == 1
    assert "1 more" in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('@id("a") permit(principal, action, resource in Table::"shop.ordrs");', "no table `shop.ordrs`"),
        ('@id("a") forbid(principal, action, resource in Dataset::"hr");', "no dataset `hr`"),
        (
            '@id("a") forbid(principal, action, resource == Column::"shop.orders.iban");',
            "no column `shop.orders.iban`",
        ),
        (
            '@id("a") forbid(principal, action, resource) when { resource in [Table::"shop.x"] };',
            "no table `shop.x`",
        ),
        (
            '@id("a") forbid(principal, action, resource) when { resource.table == "ordrs" };',
            "no table called `ordrs`",
        ),
        (
            '@id("a") forbid(principal, action, resource) when { resource.name == "ssn" };',
            "no column called `ssn`",
        ),
    ],
)
def test_what_the_catalogue_does_not_have_is_refused_with_it(bundle_of, shop, text, word):
    bundle = bundle_of("// here\n" + text)
    assert bundle.problems() == ()
    ((path, line, message),) = problems_of(bundle, shop)
    assert (path, line) == ("0.cedar", 2)
    assert word in message


def test_what_the_catalogue_has_may_be_named(bundle_of, shop):
    text = """
    @id("a") permit(principal, action, resource in Table::"shop.orders");
    @id("b") forbid(principal, action, resource == Column::"shop.customers.email");
    @id("c") permit(principal, action, resource in Dataset::"shop") when { resource.name == "born" };
    """
    assert bundle_of(text).problems(shop) == ()


def test_a_broken_schema_is_refused_with_its_line(bundle_of):
    bundle = bundle_of(OK)
    schema = bundle.file("schema.cedarschema")
    broken = schema.text.replace("entity Dataset;", "entity Dataset !")
    line = broken[: broken.index("entity Dataset !")].count("\n") + 1
    ((path, at, message),) = problems_of(replaced(bundle, broken))
    assert (path, at) == ("schema.cedarschema", line)
    assert "not a valid Cedar schema" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  ticket: String,", ""),
        ("  in_region: Bool, ", "  in_region: String, "),
        ("raw, masked, generalised", "raw, masked"),
        ("  granted: Set<String>,", "  granted: Set<String>, colour: String,"),
        ("entity Table in [Dataset];", "entity Table;"),
    ],
)
def test_a_schema_of_something_else_is_refused(bundle_of, old, new):
    bundle = bundle_of('@id("a") permit(principal, action == Action::"raw", resource);')
    text = bundle.file("schema.cedarschema").text
    assert old in text
    ((path, _, message),) = problems_of(replaced(bundle, text.replace(old, new)))
    assert path == "schema.cedarschema"
    assert "does not describe what the gateway asks" in message


def test_nothing_permitted_is_allowed_but_told(bundle_of):
    compiled = bundle_of('@id("a") forbid(principal, action, resource);').compile()
    assert "every column is hidden" in compiled.remarks()[0]
    assert "no tests.toml" in bundle_of(OK).compile().remarks()[0]
    assert default_bundle().compile().remarks() == ()


def replaced(bundle, schema):
    files = [each for each in bundle.files if each.name != "schema.cedarschema"]
    return type(bundle)((*files, SourceFile("schema.cedarschema", schema)))
