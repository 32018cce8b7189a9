import pytest

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.errors import UsageError
from ringfort.policy.decide import decide
from ringfort.policy.explain import as_text, explain


def test_it_reads_as_the_manual_shows_it(defaults, shop, request_of):
    decision = decide(defaults, shop, ["IE"], request_of("analyst", "US"))
    assert as_text(explain(decision, shop, "customers")) == (
        "customers.id       pseudonym    analysts-see-pseudonyms\n"
        "customers.email    hidden       no policy permits any form"
        " (restricted-never-leaves-raw forbids raw, masked)\n"
        "customers.born     generalised  analysts-see-quasi-identifiers-generalised\n"
        "customers.country  generalised  analysts-see-quasi-identifiers-generalised\n"
        "customers.added    hidden       not classified in the catalogue"
    )


def test_tables_can_be_chosen_and_an_unknown_one_is_refused(defaults, shop, request_of):
    decision = decide(defaults, shop, ["IE"], request_of())
    assert {each.table for each in explain(decision, shop)} == {"customers", "orders"}
    assert {each.table for each in explain(decision, shop, "shop.orders")} == {"orders"}
    with pytest.raises(UsageError, match="no table `ordrs`") as caught:
        explain(decision, shop, "ordrs")
    assert "`orders`" in caught.value.hint


def test_the_dataset_is_named_where_there_are_several(defaults, shop, request_of):
    more = Dataset("web", "shop", "", (Table("web", "hits", (Column("n", "int", "public", "none"),)),))
    catalogue = Catalogue((*shop.datasets, more))
    rows = explain(decide(defaults, catalogue, ["IE"], request_of()), catalogue)
    assert rows[0].label == "shop.customers.id"
    assert rows[-1].to_json() == {
        "dataset": "web",
        "table": "hits",
        "column": "n",
        "view": "hits",
        "form": "raw",
        "policies": ["public-is-for-every-principal"],
        "reason": "public-is-for-every-principal",
    }


def test_nothing_to_explain_is_empty(defaults, shop, request_of):
    assert as_text(explain(decide(defaults, shop, ["IE"], request_of(database="x")), shop)) == ""
