"""What the shipped policies let each role see: every intended outcome, as a table.

A column of the table is a column of the catalogue, by protection, identifiability and kind; the letters are
R raw, M masked, G generalised, P pseudonym, - hidden.
"""

import pytest

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.config import EEA
from ringfort.policy.bundle import default_bundle
from ringfort.policy.decide import AccessRequest, Principal, ViewerSource, decide
from ringfort.policy.tests_file import load_tests, run_tests
from ringfort.policy.vocabulary import ROLES

COLUMNS = {
    "person key": ("interoperable", "direct", "key"),
    "order key": ("protected", "quasi", "key"),
    "product key": ("interoperable", "none", "key"),
    "e-mail": ("restricted", "direct", "email"),
    "handle": ("protected", "direct", "name"),
    "born": ("protected", "quasi", "birth_date"),
    "country": ("interoperable", "quasi", "country"),
    "amount": ("protected", "none", "amount"),
    "category": ("interoperable", "none", "category"),
    "message": ("restricted", "none", "content"),
    "public name": ("public", "direct", "name"),
    "public count": ("public", "none", "number"),
}

# role   registered, seen from, purpose     key ord prod email handle born country amount categ. msg pub count
TABLE = """
support    IE  .   customer-support           R   R   R    R     R     R    R       R      R        M   R   R
support    DE  FR  customer-support           R   R   R    R     R     R    R       R      R        M   R   R
support    IE  .   .                          P   P   P    M     M     M    M       M      M        G   R   R
support    IE  .   product-analytics          P   P   P    M     M     M    M       M      M        G   R   R
support    PH  .   customer-support           P   P   P    -     M     M    M       M      M        -   R   R
support    IE  PH  customer-support           P   P   P    -     M     M    M       M      M        -   R   R
support    PH  IE  customer-support           P   P   P    -     M     M    M       M      M        -   R   R
support    IE  ?   customer-support           P   P   P    -     M     M    M       M      M        -   R   R
support    CN  .   customer-support           P   P   P    -     -     -    -       -      M        -   -   R
support    IE  CN  customer-support           P   P   P    -     -     -    -       -      M        -   -   R
analyst    US  .   product-analytics          P   P   R    -     P     G    G       R      R        -   R   R
analyst    US  .   .                          P   P   R    -     P     G    G       R      R        -   R   R
analyst    IE  .   product-analytics          P   P   R    -     P     G    G       R      R        -   R   R
analyst    IE  .   customer-support           P   P   R    -     P     G    G       R      R        -   R   R
analyst    RU  .   product-analytics          P   P   R    -     -     -    -       -      R        -   -   R
engineer   US  .   .                          P   P   R    -     -     G    G       R      R        -   R   R
engineer   IE  .   .                          P   P   R    -     -     G    G       R      R        -   R   R
engineer   IE  .   customer-support           P   P   R    -     -     G    G       R      R        -   R   R
engineer   CN  .   .                          P   P   R    -     -     -    -       -      R        -   -   R
engineer   US  RU  .                          P   P   R    -     -     -    -       -      R        -   -   R
operator   IE  .   .                          P   P   R    M     M     M    M       R      R        G   R   R
operator   IE  .   customer-support           P   P   R    M     M     M    M       R      R        G   R   R
operator   US  .   .                          -   -   -    -     -     -    -       -      -        -   R   R
operator   IE  US  .                          -   -   -    -     -     -    -       -      -        -   R   R
approver   IE  .   .                          P   P   P    M     M     M    M       M      M        G   R   R
approver   US  .   .                          -   -   -    -     -     -    -       -      -        -   R   R
overseer   IE  .   .                          -   -   -    -     -     -    -       -      -        -   R   R
overseer   US  .   customer-support           -   -   -    -     -     -    -       -      -        -   R   R
visitor    IE  .   customer-support           -   -   -    -     -     -    -       -      -        -   R   R
visitor    CN  .   .                          -   -   -    -     -     -    -       -      -        -   -   R
"""
LETTERS = {"R": "raw", "M": "masked", "G": "generalised", "P": "pseudonym", "-": "hidden"}
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.fixture(scope="module")
def sees():
    bundle = default_bundle().compile()
    columns = tuple(Column(name, "text", *classes) for name, classes in COLUMNS.items())
    catalogue = Catalogue((Dataset("d", "d", "", (Table("public", "t", columns),)),))

    def run(role, country, seen_from, purpose):
        viewer = [ViewerSource("registration", country)]
        if seen_from != ".":
            viewer.append(ViewerSource("network zone", "" if seen_from == "?" else seen_from))
        request = AccessRequest(
            principal=Principal("p", country, "employer", role),
            purpose="" if purpose == "." else purpose,
            ticket="",
            viewer=tuple(viewer),
            site="dublin-1",
            site_country="IE",
            database="d",
            granted=frozenset(),
            time="2026-01-01T00:00:00Z",
        )
        return {key[2]: each for key, each in decide(bundle, catalogue, EEA, request).columns.items()}

    return run


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:4]) for row in ROWS])
def test_outcome(sees, row):
    expected = {name: LETTERS[letter] for name, letter in zip(COLUMNS, row[4:], strict=True)}
    assert {name: str(each.form) for name, each in sees(*row[:4]).items()} == expected


def test_the_table_covers_every_shipped_role():
    assert {row[0] for row in ROWS} == {*ROLES, "visitor"}


@pytest.mark.parametrize("role", [*ROLES, "visitor"])
def test_restricted_data_never_leaves_the_region_in_a_readable_form(sees, role):
    for country in ("US", "CN", "GB", "ZZ"):
        for purpose in ("customer-support", "product-analytics", "."):
            for viewer in (".", "IE"):
                got = sees(role, country, viewer, purpose)
                assert got["e-mail"].form == "hidden"
                assert got["message"].form == "hidden"


def test_hidden_names_the_policy_that_forbids(sees):
    got = sees("analyst", "US", ".", ".")["e-mail"]
    assert got.policies == ("restricted-never-leaves-raw",)
    assert got.reason == "no policy permits any form (restricted-never-leaves-raw forbids raw, masked)"


def test_the_shipped_tests_pass_and_name_every_role():
    compiled = default_bundle().compile()
    tests = load_tests(compiled)
    assert {each.principal.role for each in tests} >= set(ROLES)
    assert [each.test.name for each in run_tests(compiled, Catalogue(), EEA, tests) if not each.passed] == []
