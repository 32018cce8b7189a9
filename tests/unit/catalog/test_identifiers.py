"""Unclassified text beside direct identifiers counts as direct, and is named to the operator."""

from dataclasses import replace

import pytest

from ringfort.catalog.identifiers import counted_as_direct, remarks, unclassified_beside_direct
from ringfort.catalog.model import Catalogue, Column, Dataset, Table

EMAIL = Column("email", "text", "restricted", "direct", "email")
KEY = Column("id", "bigint", "interoperable", "direct", "key", "d.people.id")
STATUS = Column("status", "text", "protected", "quasi", "category")


def table(*columns):
    return Table("public", "people", columns)


@pytest.mark.parametrize("beside", [EMAIL, KEY])
@pytest.mark.parametrize("name", ["fname", "c7", "Imię", "prezime"])
@pytest.mark.parametrize("data_type", ["text", "character varying(40)", "varchar", "character(20)", "citext"])
def test_unclassified_text_beside_a_direct_identifier_counts_as_a_name(beside, name, data_type):
    (column,) = [
        each for each in counted_as_direct(table(beside, Column(name, data_type))) if each.name == name
    ]
    assert (column.kind, column.identifiability, column.data_type) == ("name", "direct", data_type)


@pytest.mark.parametrize(
    "column",
    [
        Column("n", "bigint"),
        Column("data", "jsonb"),
        Column("tags", "text[]"),
        Column("fk", "text", references=("people", "id")),
        STATUS,
    ],
)
def test_other_columns_do_not(column):
    assert unclassified_beside_direct(table(EMAIL, column)) == ()
    assert counted_as_direct(table(EMAIL, column)) == (EMAIL,)


def test_alone_it_does_not_and_direct_columns_stay_what_they_are():
    assert counted_as_direct(table(Column("x", "text"), STATUS)) == ()
    assert counted_as_direct(table(KEY, STATUS, EMAIL)) == (KEY, EMAIL)


def test_the_operator_is_told_which():
    beside = table(EMAIL, Column("fname", "text"), Column("n", "integer"))
    catalogue = Catalogue(
        (Dataset("crm", "crm", "", (beside, replace(beside, name="b", columns=(STATUS,)))),)
    )
    (told,) = remarks(catalogue)
    assert "`crm.people`: `fname`;" in told
    assert remarks(Catalogue((Dataset("crm", "crm", "", (table(EMAIL),)),))) == ()
