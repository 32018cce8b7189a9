"""Profiles as values, and the SQL that they become."""

from dataclasses import replace

import pytest
from tests.shop_database import ANALYST, CATALOGUE, DOMAIN, decision, key_name

from ringfort.catalog.model import Column, Dataset, Table
from ringfort.disclosure import audit
from ringfort.disclosure.profile import (
    BoundColumn,
    BoundTable,
    SchemaDriftError,
    compile_profile,
    maps_from_json,
    view_names,
)
from ringfort.disclosure.views import create_statements, map_statements, view_query
from ringfort.errors import UsageError
from ringfort.privacy.pseudonym import Domain

SCRAM = "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA"


def binding(**changes):
    """The shop as a database would have it: numbers in the order of the catalogue."""
    found = {}
    for place, table in enumerate(CATALOGUE.datasets[0].tables):
        columns = tuple(
            BoundColumn(each.name, number, each.data_type, each.name == "id")
            for number, each in enumerate(table.columns, start=1)
        )
        found[table.schema, table.name] = BoundTable(table.schema, table.name, 20_000 + place, columns)
    return found | changes


def compiled(forms=None, **options):
    values = {
        "database": "shop",
        "domain": DOMAIN,
        "key_id": key_name(),
        "bound": binding(),
        "found": binding(),
    } | options
    return compile_profile(decision(forms), CATALOGUE.datasets, **values)


def test_the_digest_covers_what_decides():
    one = compiled()
    assert compiled() == one
    assert one.role == one.schema == f"rf_{one.digest[:24]}"
    orders = binding()["public", "orders"]
    moved = binding() | {("public", "orders"): replace(orders, oid=31_000)}
    others = [
        compiled(domain=Domain("ACME Ltd", "analytics", 2)),
        compiled(domain=Domain("ACME Ltd", "other")),
        compiled(key_id="0" * 32),
        compiled(database="shop2"),
        compiled(bound=moved, found=moved),
        compiled({**ANALYST, ("orders", "total"): "raw"}),
        compiled({**ANALYST, ("orders", "total"): "hidden"}),
    ]
    assert len({each.digest for each in [one, *others]}) == len(others) + 1


def test_reasons_and_hidden_columns_do_not_matter():
    assert compiled({**ANALYST, ("customers", "secret"): "hidden"}).digest == compiled().digest


def test_columns_that_end_hidden_are_absent_and_empty_tables_too():
    profile = compiled({("customers", "name"): "generalised", ("orders", "id"): "raw"})
    assert profile.relations == ("orders",)
    assert [each.name for each in profile.views[0].columns] == ["id"]
    assert compiled({("customers", "id"): "noisy"}).views == ()


def test_columns_of_one_space_and_type_meet_in_one_mapping_table():
    profile = compiled()
    shared = [each for each in profile.maps if each.identity_space == "shop.customers.id"]
    assert sorted(each.storage_type for each in shared) == ["double precision", "integer"]
    integer = next(each for each in shared if each.storage_type == "integer")
    assert {(each.table, each.column) for each in integer.sources} == {
        ("customers", "id"),
        ("orders", "customer_id"),
    }
    # the same table serves another profile of the domain, and no other domain
    assert {each.id for each in compiled({("customers", "id"): "pseudonym"}).maps} == {integer.id}
    assert not {each.id for each in compiled(key_id="0" * 32).maps} & {each.id for each in profile.maps}


def test_the_mapping_tables_come_back_from_the_registry():
    profile = compiled()
    assert maps_from_json(profile.to_json()) == (DOMAIN, key_name(), profile.maps)


@pytest.mark.parametrize(
    "change",
    [
        {("public", "orders"): BoundTable("public", "orders", 31_000, binding()["public", "orders"].columns)},
        {("public", "orders"): BoundTable("public", "orders", 20_001, ())},
        {
            ("public", "orders"): BoundTable(
                "public",
                "orders",
                20_001,
                tuple(
                    replace(each, number=each.number + 1) for each in binding()["public", "orders"].columns
                ),
            )
        },
        {
            ("public", "orders"): BoundTable(
                "public",
                "orders",
                20_001,
                tuple(replace(each, data_type="text") for each in binding()["public", "orders"].columns),
            )
        },
    ],
)
def test_drift_is_refused(change):
    with pytest.raises(SchemaDriftError) as drift:
        compiled(found=binding() | change)
    assert drift.value.hint
    with pytest.raises(SchemaDriftError):
        compiled(bound={})
    # columns that nobody sees may come and go
    assert compiled({("customers", "id"): "raw"}, found=binding() | change).relations == ("customers",)


def test_view_names():
    column = (Column("a", "text"),)
    tables = (Table("public", "t", column), Table("crm", "t", column), Table("crm", "u", column))
    names = view_names([Dataset("d", "x", "", tables)])
    assert names == {("public", "t"): "public_t", ("crm", "t"): "crm_t", ("crm", "u"): "u"}
    with pytest.raises(UsageError):
        view_names([Dataset("d", "x", "", (*tables, Table("z", "crm_t", column)))])
    with pytest.raises(UsageError):
        view_names([Dataset("d", "x", "", tables), Dataset("e", "x", "", tables)])


def test_names_are_quoted_whatever_they_are():
    evil = 'a"; DROP TABLE t; --'
    table = Table(evil, evil, (Column(evil, "text", "public", "none", "name", evil),))
    datasets = (Dataset("d", "x", "", (table,)),)
    found = {(evil, evil): BoundTable(evil, evil, 1, (BoundColumn(evil, 1, "text", False, (evil, evil)),))}
    for form in ("raw", "masked", "pseudonym"):
        profile = compile_profile(
            decision({(evil, evil): form}, "d"),
            datasets,
            database=evil,
            domain=DOMAIN,
            key_id=key_name(),
            bound=found,
            found=found,
        )
        text = "\n".join(each.as_string() for each in create_statements(profile, SCRAM))
        assert 'a"; DROP' not in text
        assert 'a""; DROP TABLE t; --' in text


def test_the_query_of_a_view():
    profile = compiled()
    maps = {each.id: each for each in profile.maps}
    text = {each.name: view_query(each, maps).as_string() for each in profile.views}
    assert ' JOIN "ringfort"."map_' in text["customers"]
    assert 'LEFT JOIN "ringfort"."map_' in text["orders"]
    assert '("t"."customer_id" IS NULL OR "m1".pseudonym IS NOT NULL)' in text["orders"]
    assert '("t"."id" IS NULL OR' not in text["customers"]
    assert '"ringfort"."mask_name_v3"(("t"."name")::text) AS "name"' in text["customers"]
    assert "secret" not in text["customers"]
    assert "phone" not in text["customers"]


def test_roles_are_as_weak_as_they_can_be():
    statements = [each.as_string() for each in create_statements(compiled(), SCRAM)]
    role = statements[0]
    for word in (
        "LOGIN",
        "NOINHERIT",
        "NOSUPERUSER",
        "NOCREATEDB",
        "NOCREATEROLE",
        "NOREPLICATION",
        "NOBYPASSRLS",
    ):
        assert word in role
    assert any("default_transaction_read_only" in each for each in statements)
    assert all("security_barrier = true" in each for each in statements if "CREATE VIEW" in each)
    assert not any("GRANT" in each and "PUBLIC" in each.partition(" TO ")[2] for each in statements)


def test_mapping_tables_are_unlogged_and_unique():
    for plan in compiled().maps:
        text = "\n".join(each.as_string() for each in map_statements(plan))
        assert "CREATE UNLOGGED TABLE" in text
        assert ("USING hash" in text) == (plan.storage_type == "text")
        assert "CREATE UNIQUE INDEX" in text


def test_findings_become_reports_and_remedies():
    rows = [
        ("surplus", "PUBLIC", "public.t", "SELECT", "REVOKE SELECT ON TABLE public.t FROM PUBLIC"),
        ("noted", "PUBLIC", "plpgsql", "USAGE", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC"),
        ("surplus", "rf_x", "t", "OWNER", ""),
    ]
    found = audit.findings("relation", rows)
    assert [each.severity for each in audit.surplus(found)] == ["surplus", "surplus"]
    assert audit.hardening_statements([*found, *found]) == [rows[0][4]]
    assert audit.hardening_statements(found, noted=True) == [rows[0][4], rows[1][4]]
    assert audit.report("s", "d", found) == audit.report("s", "d", reversed(found))
    assert {each.sort for each in audit.QUERIES} >= {
        "role", "membership", "database", "schema", "relation", "column", "function", "large object",
        "foreign server", "language", "default privilege", "parameter",
    }  # fmt: skip
