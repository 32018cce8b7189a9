import pytest

from ringfort.policy.distinctions import distinctions


def of(bundle_of, condition, scope="resource"):
    text = f'@id("a") permit(principal, action, {scope}) when {{ {condition} }};'
    return distinctions([each.tree for each in bundle_of(text).compile().engine.policies])


@pytest.mark.parametrize(
    ("condition", "texts"),
    [
        ('resource.kind == "key"', {"key"}),
        ('"key" != resource.kind || resource.kind == "email"', {"key", "email"}),
        ('["key", "url"].contains(resource.kind) && !(resource.kind == "iban")', {"key", "url", "iban"}),
        ('if resource.kind == "key" then context.in_region else true', {"key"}),
    ],
)
def test_plain_comparisons_tell_only_their_texts_apart(bundle_of, condition, texts):
    told = of(bundle_of, condition)
    assert {told.attribute("kind", each) for each in ("key", "url", "email", "iban", "phone")} == texts | {
        None
    }
    assert told.attribute("name", "anything") is None


@pytest.mark.parametrize(
    "condition",
    [
        'resource.kind == "key" && resource.kind like "k*"',
        "resource.kind == resource.name",
        "resource.kind == context.purpose",
        "context.granted.contains(resource.kind)",
        '[resource.kind].contains("key")',
        '["key", context.purpose].contains(resource.kind)',
        '["key", "email"].containsAll([resource.kind])',
        '{"a": resource.kind} == {"a": "key"}',
        "resource has kind",
        '(if context.in_region then resource else resource).kind == "key"',
    ],
)
def test_any_other_use_keeps_all_values_apart(bundle_of, condition):
    told = of(bundle_of, condition)
    assert told.attribute("kind", "phone") == "phone"


def test_entities_are_apart_where_they_are_named(bundle_of):
    told = of(bundle_of, 'resource in [Dataset::"shop", Dataset::"web"]', 'resource in Table::"shop.orders"')
    assert told.entity("Table", "shop.orders") == "shop.orders"
    assert told.entity("Dataset", "web") == "web"
    assert told.entity("Dataset", "hr") is None
    assert told.entity("Column", "shop.orders.id") is None
