"""A small shop in a real database: tables with the awkward cases, its catalogue, and decisions by hand."""

import psycopg

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.gateway.provisioner_site import SiteDatabase
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import Form
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret, key_id
from ringfort.privacy.pseudonym import Domain

SECRET = EpochSecret(bytes(range(32)), NEWEST)
DOMAIN = Domain("ACME Ltd", "analytics")
SPACE = "shop.customers.id"

TABLES = """
CREATE TABLE customers (
    id integer PRIMARY KEY, name text NOT NULL, email text, phone text, born date, country text,
    ip inet, secret text
);
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id integer REFERENCES customers, total numeric(10,2), placed timestamptz,
    code character(8), note text
);
CREATE INDEX ON orders (customer_id);
CREATE TABLE sheet (customer_id double precision, quantity integer);
INSERT INTO customers SELECT n, 'Name' || n || ' Family' || n, 'user' || n || '@example.com',
    '+353 86 000 ' || lpad(n::text, 4, '0'), date '1960-01-01' + n * 37,
    CASE n % 3 WHEN 0 THEN 'IE' WHEN 1 THEN 'US' END,
    '192.0.2.1', 'secret-' || n FROM generate_series(1, 300) AS n;
INSERT INTO orders SELECT n, CASE WHEN n % 10 = 0 THEN NULL ELSE 1 + n % 300 END, n * 1.5, now(), 'C' || n,
    'ask user' || n || '@example.com' FROM generate_series(1, 1000) AS n;
INSERT INTO sheet SELECT CASE WHEN n % 5 = 0 THEN NULL ELSE 1 + n % 300 END, n
    FROM generate_series(1, 500) AS n;
"""


def _column(name, data_type, kind, space=None, references=None):
    return Column(name, data_type, "protected", "direct", kind, space, references)


CATALOGUE = Catalogue(
    (
        Dataset(
            "shop",
            "shop",
            "customers.id",
            (
                Table(
                    "public",
                    "customers",
                    (
                        _column("id", "integer", "key", SPACE),
                        _column("name", "text", "name"),
                        _column("email", "text", "email"),
                        _column("phone", "text", "phone"),
                        _column("born", "date", "birth_date"),
                        _column("country", "text", "country"),
                        _column("ip", "inet", "ip_address"),
                        Column("secret", "text"),
                    ),
                ),
                Table(
                    "public",
                    "orders",
                    (
                        _column("id", "bigint", "key", "shop.orders.id"),
                        _column("customer_id", "integer", "key", SPACE, ("customers", "id")),
                        _column("total", "numeric(10,2)", "amount"),
                        _column("placed", "timestamp with time zone", "timestamp"),
                        _column("code", "character(8)", "code"),
                        _column("note", "text", "free_text"),
                    ),
                ),
                Table(
                    "public",
                    "sheet",
                    (
                        _column("customer_id", "double precision", "key", SPACE),
                        _column("quantity", "integer", "number"),
                    ),
                ),
            ),
        ),
    )
)

ANALYST = {
    ("customers", "id"): "pseudonym",
    ("customers", "name"): "masked",
    ("customers", "email"): "pseudonym",
    ("customers", "phone"): "hidden",
    ("customers", "born"): "generalised",
    ("customers", "country"): "raw",
    ("customers", "ip"): "generalised",
    ("orders", "id"): "raw",
    ("orders", "customer_id"): "pseudonym",
    ("orders", "total"): "generalised",
    ("orders", "placed"): "generalised",
    ("orders", "code"): "pseudonym",
    ("orders", "note"): "masked",
    ("sheet", "customer_id"): "pseudonym",
    ("sheet", "quantity"): "raw",
}


def decision(forms=None, dataset="shop"):
    """A disclosure map with these forms."""
    return DisclosureMap(
        {
            (dataset, table, column): ColumnDisclosure(Form(form), ("p",), "because")
            for (table, column), form in (forms or ANALYST).items()
        }
    )


def site_database(dsn, *, ours=True, tables=TABLES):
    """A bootstrapped, audited database with the shop in it."""
    database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(tables)
    site = SiteDatabase(site="dublin-1", country="IE", database=database, dsn=dsn, ours=ours)
    site.bootstrap()
    return site


def key_name():
    """The key id of `DOMAIN`."""
    return key_id(SECRET, DOMAIN)
