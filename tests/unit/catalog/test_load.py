"""Catalogue files: what is written is read, what is wrong is refused with file and line."""

from dataclasses import replace
from pathlib import Path

import pytest

from ringfort.catalog.check import problems
from ringfort.catalog.load import dump_catalogue, load_catalogue, parse_catalogue
from ringfort.catalog.model import Catalogue, Hop
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.errors import ConfigurationError, UsageError

PATH = Path("catalog.toml")
SHOP = """\
[dataset.shop]
subject = "customers.id"

[dataset.shop.table.customers]
primary_key = ["id"]

[dataset.shop.table.customers.column]
id    = { protection = "interoperable", identifiability = "direct", kind = "key", type = "bigint" }
email = { protection = "restricted", identifiability = "direct", kind = "email", type = "text" }
note  = { type = "text" }

[dataset.shop.table.orders]
subject_path = "customer_id -> customers.id"

[dataset.shop.table.orders.column]
id          = { protection = "interoperable", identifiability = "none", kind = "key", type = "bigint" }
customer_id = {references = "customers.id", protection = "public", identifiability = "direct", type = "int8" }

[dataset.shop.table.items]
subject_path = "order_id -> orders.id, customer_id -> customers.id"

[dataset.shop.table.items.column]
order_id = { protection = "public", identifiability = "none", type = "int8", references = "orders.id" }
"""


def test_a_catalogue_is_read():
    shop = parse_catalogue(SHOP, PATH).dataset("shop")
    assert shop.database == "shop"
    assert shop.subject_column() == ("customers", "id")
    assert not shop.table("customers").column("note").classified
    assert shop.hops(shop.table("items")) == (
        Hop("order_id", "orders", "id"),
        Hop("customer_id", "customers", "id"),
    )


def test_a_foreign_key_inherits_the_identity_space():
    shop = parse_catalogue(SHOP, PATH).dataset("shop")
    assert shop.table("customers").column("id").identity_space == "shop.customers.id"
    assert shop.table("orders").column("customer_id").identity_space == "shop.customers.id"
    assert shop.table("items").column("order_id").identity_space == "shop.orders.id"
    assert shop.table("customers").column("email").identity_space is None


def test_an_empty_identity_space_says_that_there_is_none():
    text = SHOP.replace("id    = { protection", 'id    = { identity_space = "", protection')
    shop = parse_catalogue(text, PATH).dataset("shop")
    assert shop.table("customers").column("id").identity_space is None
    assert shop.table("orders").column("customer_id").identity_space is None


def test_for_database_gives_the_datasets_of_a_database():
    catalogue = parse_catalogue(SHOP + '\n[dataset.other]\ndatabase = "shop"\n[dataset.third]\n', PATH)
    assert [each.name for each in catalogue.for_database("shop")] == ["shop", "other"]


def test_a_name_with_dots_is_found():
    text = '[dataset.d]\nsubject = "a.b.c"\n[dataset.d.table."a.b".column]\nc = { type = "text" }\n'
    assert parse_catalogue(text, PATH).dataset("d").subject_column() == ("a.b", "c")
    text = '[dataset.d]\nsubject = "a.b.c"\n[dataset.d.table.a.column]\n"b.c" = { type = "text" }\n'
    assert parse_catalogue(text, PATH).dataset("d").subject_column() == ("a", "b.c")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('subject = "customers.id"', 'subjekt = "customers.id"', 2, "unknown key `subjekt`"),
        ('subject = "customers.id"', 'subject = "customers.no"', 2, "no column of the dataset"),
        ('subject = "customers.id"', "subject = 1", 2, "must be a text"),
        ('primary_key = ["id"]', 'primary_key = ["nr"]', 5, "`primary_key` names `nr`"),
        ('primary_key = ["id"]', "primary_key = [1]", 5, "list of texts"),
        ('primary_key = ["id"]', 'owner = "me"', 5, "unknown key `owner`"),
        ('"restricted"', '"secret"', 9, "`protection` is `secret`"),
        ('kind = "email"', 'kind = "mail"', 9, "`kind` is `mail`"),
        ('identifiability = "direct", kind = "email"', 'kind = "email"', 9, "go together"),
        ('note  = { type = "text" }', "note = {}", 10, "lacks `type`"),
        ('note  = { type = "text" }', "note = 3", 10, "must be a table"),
        ('note  = { type = "text" }', 'note = { typ = "text" }', 10, "unknown key `typ`"),
        ('"customer_id -> customers.id"\n\n', '"client -> customers.id"\n\n', 13, "`client`"),
        ('"customer_id -> customers.id"\n\n', '"customer_id customers.id"\n\n', 13, "subject path"),
        ('"customer_id -> customers.id"\n\n', '"customer_id -> customers.email"\n\n', 13, "does not end"),
        ('references = "customers.id"', 'references = "clients.id"', 17, "`references`"),
        ('references = "customers.id"', 'references = "customers"', 17, "`table.column`"),
        (
            'references = "customers.id"',
            'references = "customers.id", identity_space = "mine"',
            17,
            "identity space differs",
        ),
        ("[dataset.shop]\n", "[dataset.shop]\n[dataset.shop]\n", 2, "not valid TOML"),
        ("[dataset.shop]\n", 'owner = "me"\n[dataset.shop]\n', 1, "unknown key `owner`"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_line(old, new, line, words):
    assert old in SHOP
    with pytest.raises(ConfigurationError) as caught:
        parse_catalogue(SHOP.replace(old, new, 1), PATH)
    assert words in caught.value.message
    assert caught.value.message.startswith("catalog.toml:")
    assert caught.value.line == line


def test_a_table_in_two_datasets_is_refused():
    text = "".join(
        f'[dataset.{name}]\ndatabase = "db"\n[dataset.{name}.table.t.column]\na = {{ type = "text" }}\n'
        for name in ("one", "two")
    )
    with pytest.raises(ConfigurationError, match="in two datasets"):
        parse_catalogue(text, PATH)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(tmp_path / "catalog.toml")
    assert "ringfort init" in caught.value.hint


def test_unknown_names_are_answered_with_known_ones():
    catalogue = parse_catalogue(SHOP, PATH)
    with pytest.raises(UsageError) as caught:
        catalogue.dataset("shoop")
    assert "`shop`" in caught.value.hint
    with pytest.raises(UsageError):
        catalogue.dataset("shop").table("x")
    with pytest.raises(UsageError):
        catalogue.dataset("shop").table("orders").column("x")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"datasets":[],"format":"other/1"}', b"\xff"])
def test_bytes_that_are_no_catalogue_are_refused(data):
    with pytest.raises(ConfigurationError):
        Catalogue.from_json(data)


def test_bytes_that_are_not_canonical_are_refused():
    data = parse_catalogue(SHOP, PATH).to_json()
    assert Catalogue.from_json(data).to_json() == data
    with pytest.raises(ConfigurationError, match="canonical"):
        Catalogue.from_json(data.replace(b'{"datasets"', b'{ "datasets"'))
    with pytest.raises(ConfigurationError):
        Catalogue.from_json(data.replace(b'"kind":"email"', b'"kind":"mail"'))


@pytest.mark.parametrize("column", [".", "user.id", "a.", ".b", "..", "a..b"])
def test_a_subject_whose_name_holds_dots_is_found_again(column):
    people = sampled("p.q", {column: ("bigint", [1, 2])}, primary_key=(column,))
    orders = sampled("orders", {"x": ("bigint", [1, 2])})
    linked = replace(orders, columns=(replace(orders.columns[0], references=("public", "p.q", column)),))
    catalogue = propose([people, linked], dataset="d", database="d", subject=column)
    dataset = catalogue.datasets[0]
    assert problems(catalogue) == []
    assert dataset.hops(dataset.table("orders")) == (Hop("x", "p.q", column),)
    assert parse_catalogue(dump_catalogue(catalogue), Path("catalog.toml")) == catalogue
