from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.disclosure.served import as_served
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import Form

CATALOGUE = Catalogue(
    (
        Dataset(
            "shop",
            "shop",
            tables=(
                Table(
                    "public",
                    "customers",
                    (
                        Column("id", "bigint", "interoperable", "direct", "key"),
                        Column("newsletter", "boolean", "protected", "none", "flag"),
                    ),
                ),
            ),
        ),
    )
)


def decided(form):
    return DisclosureMap(
        {("shop", "customers", name): ColumnDisclosure(form, ("p",), "p") for name in ("id", "newsletter")}
    )


def test_a_form_that_a_column_does_not_have_is_told_as_what_is_served():
    served = as_served(decided(Form.PSEUDONYM), CATALOGUE)
    assert served.form("shop", "customers", "id") is Form.PSEUDONYM
    assert served.form("shop", "customers", "newsletter") is Form.HIDDEN
    assert "permitted as pseudonym" in served.columns["shop", "customers", "newsletter"].reason


def test_what_is_served_is_never_more_than_what_is_permitted():
    for form in Form:
        permitted = decided(form)
        served = as_served(permitted, CATALOGUE)
        for key, each in served.columns.items():
            assert each.form.rank >= permitted.columns[key].form.rank
