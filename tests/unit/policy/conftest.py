"""A small shop to decide about, the shipped policies, and a way to write others."""

import pytest

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.config import EEA
from ringfort.policy.bundle import SCHEMA_FILE, PolicyBundle, default_bundle
from ringfort.policy.decide import AccessRequest, Principal, ViewerSource, decide
from ringfort.policy.source import SourceFile

CUSTOMER = "shop.customers.id"


def shop_catalogue():
    customers = Table(
        "public",
        "customers",
        (
            Column("id", "bigint", "interoperable", "direct", "key", CUSTOMER),
            Column("email", "text", "restricted", "direct", "email"),
            Column("born", "date", "protected", "quasi", "birth_date"),
            Column("country", "text", "interoperable", "quasi", "country"),
            Column("added", "text"),
        ),
    )
    orders = Table(
        "public",
        "orders",
        (
            Column("customer_id", "bigint", "interoperable", "direct", "key", CUSTOMER, ("customers", "id")),
            Column("amount", "numeric", "protected", "none", "amount"),
        ),
    )
    return Catalogue((Dataset("shop", "shop", "customers.id", (customers, orders)),))


def make_request(role="support", country="IE", *, seen_from=(), **changes):
    values = {
        "principal": Principal("somebody", country, "controller", role),
        "purpose": "",
        "ticket": "",
        "viewer": (
            ViewerSource("registration", country),
            *(ViewerSource("network zone", each) for each in seen_from),
        ),
        "site": "dublin-1",
        "site_country": "IE",
        "database": "shop",
        "granted": frozenset(),
        "time": "2026-01-02T03:04:05Z",
    }
    return AccessRequest(**(values | changes))


def make_bundle(*texts, tests=None):
    files = [default_bundle().file(SCHEMA_FILE)]
    files += [SourceFile(f"{number}.cedar", text) for number, text in enumerate(texts)]
    if tests is not None:
        files.append(SourceFile("tests.toml", tests))
    return PolicyBundle(tuple(files))


@pytest.fixture
def shop():
    return shop_catalogue()


@pytest.fixture(scope="session")
def defaults():
    return default_bundle().compile()


@pytest.fixture
def bundle_of():
    return make_bundle


@pytest.fixture
def request_of():
    return make_request


@pytest.fixture
def decide_shop(shop):
    """Decide over the shop with policies given as text (or compiled); gives `table.column` -> disclosure."""

    def run(policies, *, catalogue=shop, region=EEA, **request):
        compiled = make_bundle(policies).compile() if isinstance(policies, str) else policies
        decision = decide(compiled, catalogue, region, make_request(**request))
        return {".".join(key[1:]): each for key, each in decision.columns.items()}

    return run
