"""The scan: names and values together, doubts said, nothing invented for what it does not know."""

import csv
from pathlib import Path

import pytest

from ringfort.catalog.check import problems
from ringfort.catalog.column_words import key_stem, kinds_of_name, person_rank
from ringfort.catalog.detect import detect
from ringfort.catalog.load import dump_catalogue, parse_catalogue
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.catalog.words import fold, singular, tokens
from ringfort.errors import UsageError

IBANS = [
    "DE89370400440532013000",
    "IE29 AIBK 9311 5212 3456 78",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
]
CARDS = ["4111 1111 1111 1111", "5555555555554444", "378282246310005", "6011111111111117"]
PHONES = ["+353 86 123 4567", "(01) 555-0199", "+49 (0)30 901820", "06-12345678", "0033 1 42 68 53 00"]
IPS = ["192.0.2.1", "198.51.100.77", "2001:db8::1", "203.0.113.9/32"]
NAMES = [
    "Áine O'Brien",
    "Jürgen Müller",
    "Łukasz Nowak",
    "Μαρία Παπαδοπούλου",
    "van der Berg, Anna",
    "John Smith",
]
ADDRESSES = [
    "12 Main Street, Cork",
    "Hauptstraße 5, 10115 Berlin",
    "3 rue de la Paix",
    "Via Roma 1",
    "ul. Długa 44",
]
COUNTRIES = [
    "Éire",
    "EIRE",
    "Deutschland",
    "RSA",
    "Channel Islands",
    "U.S.A.",
    "España",
    "Österreich",
    "Unspecified",
]
AGENTS = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.1", "Dalvik/2.1.0 (Linux)"]
DATES = [f"{year}-0{year % 9 + 1}-1{year % 10}" for year in range(1931, 2006)]


def finding(name, values, data_type="text", rows=None):
    table = sampled("t", {name: (data_type, values)})
    return detect(table.columns[0], rows if rows is not None else table.rows)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a.b@example.ie", "ÜMLAUT@müller.de", "x+y@sub.example.co.uk", "not an address"] * 5, "email"),
        (PHONES, "phone"),
        (IPS, "ip_address"),
        (IBANS, "iban"),
        (CARDS, "card"),
        (NAMES, "name"),
        (ADDRESSES, "address"),
        (COUNTRIES, "country"),
        (["IE", "DE", "FR", "US", "CN", "ZA"], "country"),
        (["IRL", "DEU", "FRA", "USA"], "country"),
        (AGENTS, "user_agent"),
        (["https://example.ie/a?b", "www.example.org/x"], "url"),
        (["Dublin", "KÖLN", "Wrocław", "München"], "city"),
        (["D02 X285", "SW1A 1AA", "1012 AB", "00-950", "1250-096"], "postcode"),
        (["M", "F", "m", "X"], "gender"),
        (["weiblich", "männlich", "divers"], "gender"),
        (["2024-05-06 07:08:09", "2024-05-06T07:08:09Z"], "timestamp"),
        (["2024-05-06", "1999-12-31"], "date"),
        (["53.349805,-6.26031", "48.137154,11.576124"], "location"),
    ],
)
def test_values_are_recognised_whatever_the_column_is_called(values, kind):
    values = [*values, None, "", "  "]
    assert finding("c7", values).kind == kind
    assert finding("misc", values).protection is not None


@pytest.mark.parametrize(
    ("name", "data_type", "values", "kind"),
    [
        ("Geburtsdatum", "date", DATES, "birth_date"),
        ("dob", "text", ["01/02/1980", "3.4.1975"], "birth_date"),
        ("YearOfBirth", "integer", [1980, 1975, 1933], "birth_date"),
        ("birth_year", "double precision", [1980, 1975, None], "birth_date"),
        ("telefon", "bigint", [353861234567, 49301234567], "phone"),
        ("plz", "integer", [10115, 80331], "postcode"),
        ("zip_code", "text", ["10115", "80331-1234"], "postcode"),
        ("vorname", "text", ["Xqzt", "Wlmpf"], "name"),
        ("customerName", "text", ["Ahn", "Bo"], "name"),
        ("ort", "text", ["Kleinkleckersdorf", "Hintertupfingen"], "city"),
        ("Straße", "text", ["Am Anger", "Bei der Linde"], "address"),
        ("Alter", "smallint", [33, 44], "age"),
        ("lat", "double precision", [53.349805, 48.1371], "location"),
        ("UnitPrice", "numeric(10,2)", ["1.20", "-3.00"], "amount"),
        ("montant", "double precision", [1.5, 2.0], "amount"),
        ("Quantity", "integer", [-5, 6, 12], "number"),
        ("client_ip", "inet", ["192.0.2.1"], "ip_address"),
        ("is_active", "boolean", ["true", "false"], "flag"),
        ("remarks", "text", ["called back", "nice"], "free_text"),
        ("currency", "text", ["EUR", "GBP", "EUR", "EUR", "GBP"] * 4, "code"),
        ("status", "text", ["open", "closed"] * 30, "category"),
        ("created_at", "timestamp with time zone", ["2024-05-06 07:08:09+00"], "timestamp"),
    ],
)
def test_names_help_where_values_alone_do_not(name, data_type, values, kind):
    assert finding(name, values, data_type).kind == kind


@pytest.mark.parametrize(
    ("module", "values"),
    [
        ("PPS", ["1234567T", "1234567TW"]),
        ("DE", ["36574261809"]),
        ("NL", ["111222333", "123456782"]),
        ("PL", ["44051401359", "02070803628"]),
        ("ES", ["54362315K", "00000000T"]),
        ("FR", ["295109912611193", "253072B07300470"]),
        ("IT", ["RCCMNL83S18D969H"]),
        ("SE", ["880320-0016", "8803200016"]),
        ("FI", ["131052-308T"]),
        ("BE", ["85.07.30-033 28"]),
        ("EE", ["36805280109"]),
    ],
)
def test_national_numbers_are_recognised_by_their_check_digits(module, values):
    from ringfort.catalog import detect_numbers

    recognised = {
        country
        for country in detect_numbers.national_countries()
        if all(map(detect_numbers.national_number(country), values))
    }
    assert recognised & {module, "IE" if module == "PPS" else module}


def test_a_column_of_national_numbers_is_told():
    from stdnum.nl import bsn

    numbers = [
        f"{number:09d}" for number in range(100_000_000, 100_010_000) if bsn.is_valid(f"{number:09d}")
    ][:60]
    by_text, by_number = finding("x", numbers), finding("x", [int(each) for each in numbers], "bigint")
    assert by_text.kind == by_number.kind == "national_id"
    assert "NL" in by_text.unsure


def test_plain_numbers_are_no_cards_phones_or_national_numbers():
    assert finding("n", list(range(100_000_000, 100_000_900)), "bigint").protection is None
    assert finding("n", [str(each) for each in range(1_000, 1_900)]).protection is None
    assert finding("n", [4_000_000_000_000_000 + each for each in range(500)], "bigint").kind == "unknown"


def test_what_nobody_recognises_stays_hidden():
    for data_type, values in (
        ("text", ["qwx1", "zz-9 plural", "alpha", "k"] * 2),
        ("double precision", [0.1, 7.5]),
        ("bytea", [None]),
        ("jsonb", ['{"email": "a@b.ie"}']),
        ("text[]", ["{a@b.ie}"]),
        ("text", []),
        ("tsvector", ["'a':1"]),
    ):
        found = finding("zork", values, data_type)
        assert (found.protection, found.identifiability) == (None, None)
        assert found.unsure


def test_secrets_stay_hidden_and_special_categories_are_restricted():
    for name in ("password_hash", "api_token", "Passwort"):
        assert finding(name, ["x"]).protection is None
    for name in ("religion", "diagnosis_code", "ethnicity"):
        found = finding(name, ["a", "b"] * 50)
        assert (found.protection, found.identifiability) == ("restricted", "quasi")
        assert "GDPR articles 9, 10" in found.unsure


def test_values_weigh_more_than_names_and_the_difference_is_told():
    found = finding("city", ["a@example.ie", "b@example.ie"])
    assert (found.kind, found.protection) == ("email", "restricted")
    assert found.unsure == "its values look like e-mail addresses, its name says cities"
    assert finding("email", ["a@example.ie"]).unsure == ""


def test_doubts_are_told_in_shares_never_in_values():
    found = finding("email", ["a@example.ie", "secret-one", "secret-two"])
    assert found.kind == "email"
    assert found.unsure == "by its name; 33 % of the sampled values look like e-mail addresses"
    assert finding("email", []).unsure == "by its name only: no value was seen"
    assert finding("email", ["none at all", "x"]).protection is None


def test_text_that_repeats_is_told_from_text_that_does_not():
    goods = [f"BAG {number}" for number in range(40)] * 30
    found = finding("Description", goods)
    assert (found.kind, found.protection, found.identifiability) == ("category", "protected", "none")
    assert "about 40 different values" in found.unsure
    story = [f"I met number {number} at the station and she told me of it" for number in range(300)]
    found = finding("Description", story)
    assert (found.kind, found.protection) == ("free_text", "restricted")
    assert "e-mail addresses" in finding("note", [*story, "write to me at a@b.ie please, today"]).unsure


def test_birth_dates_are_recognised_by_how_they_spread():
    found = finding("d", DATES, "date")
    assert found.kind == "birth_date"
    assert "spread over" in found.unsure
    assert finding("d", [f"2024-0{month}-01" for month in range(1, 10)] * 9, "date").kind == "date"
    assert finding("born", [], "date").unsure
    assert "by its name only" in finding("born", ["0001-01-01"] * 30, "date").unsure


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CustomerID", "customer id"),
        ("customer_id", "customer id"),
        ("IPAddress", "ip address"),
        ("Straße", "strasse"),
    ],
)
def test_names_are_split_at_every_boundary(name, words):
    assert " ".join(tokens(name)) == words


def test_words():
    assert fold("  ÉIRE, (Éire)!") == "eire eire"
    assert fold("Côte d’Ivoire") == "cote divoire"
    assert [singular(each) for each in ("customers", "people", "companies", "address", "boxes", "bus")] == [
        "customer", "person", "company", "address", "box", "bus",
    ]  # fmt: skip
    assert key_stem("customerid") == ("customer",)
    assert key_stem("InvoiceNo") == ("invoice",)
    assert key_stem("paid") is None
    assert key_stem("") is None
    assert person_rank(("customers",)) == 0
    assert person_rank(("invoice",)) is None
    assert "email" in kinds_of_name("userEmail")
    assert kinds_of_name("") == ()


def shop(*, declared):
    keys = {"primary_key": ("id",)} if declared else {}
    return [
        sampled("customers", {"id": ("bigint", [1, 2]), "email": ("text", ["a@b.ie", "c@d.ie"])}, **keys),
        sampled("orders", {"id": ("bigint", [1, 2]), "customer_id": ("bigint", [1, 1])}, **keys),
        sampled(
            "order_items", {"id": ("bigint", [1]), "order_id": ("integer", [1]), "n": ("text", ["x"])}, **keys
        ),
        sampled("parts", {"part_no": ("text", [f"P{n}" for n in range(50)])}),
    ]


@pytest.mark.parametrize("declared", [True, False])
def test_keys_lead_to_the_data_subject(declared):
    catalogue = propose(shop(declared=declared), dataset="shop", database="shop")
    assert problems(catalogue) == []
    (dataset,) = catalogue.datasets
    assert dataset.subject == "customers.id"
    assert dataset.table("orders").subject_path == "customer_id -> customers.id"
    assert dataset.table("order_items").subject_path == "order_id -> orders.id, customer_id -> customers.id"
    customer = dataset.table("orders").column("customer_id")
    assert (customer.kind, customer.identifiability) == ("key", "direct")
    assert (
        customer.identity_space
        == "shop.customers.id"
        == dataset.table("customers").column("id").identity_space
    )
    assert "no foreign key" in customer.unsure
    assert dataset.table("orders").column("id").identifiability == "quasi"
    assert dataset.table("parts").column("part_no").kind == "key"
    assert parse_catalogue(dump_catalogue(catalogue), Path("x")) == catalogue


def test_a_flat_file_has_its_subject_in_it():
    table = sampled("sales", {"CustomerID": ("double precision", ["17850", None]), "x": ("text", ["q"])})
    (dataset,) = propose([table], dataset="sales", database="sales").datasets
    assert dataset.subject == "sales.CustomerID"
    assert dataset.table("sales").subject_path == ""
    column = dataset.table("sales").column("CustomerID")
    assert (column.kind, column.protection, column.identifiability) == ("key", "interoperable", "direct")
    assert column.identity_space == "sales.sales.CustomerID"
    assert "empty in 50 % of the rows" in column.unsure


def test_fractions_are_no_keys():
    table = sampled("t", {"customer_no": ("double precision", ["1.5", "2.25"])})
    assert propose([table], dataset="d", database="d").datasets[0].subject == ""


def test_a_person_says_subject_and_country():
    table = sampled("t", {"Who": ("text", ["a", "b"]), "Where": ("text", ["x", "y"])})
    (dataset,) = propose([table], dataset="d", database="d", subject="who", country="t.Where").datasets
    assert dataset.subject == "t.Who"
    who, where = dataset.table("t").columns
    assert (who.kind, who.identifiability, who.unsure) == ("key", "direct", "")
    assert (where.kind, where.identifiability, where.unsure) == ("country", "quasi", "")
    with pytest.raises(UsageError, match="names no column") as caught:
        propose([table], dataset="d", database="d", subject="nobody")
    assert "`Who`" in caught.value.hint
    both = [table, sampled("u", {"Who": ("text", ["a"])})]
    with pytest.raises(UsageError, match="several columns"):
        propose(both, dataset="d", database="d", subject="Who")


def test_a_subject_that_is_a_foreign_key_stands_for_the_key():
    (dataset,) = propose(
        shop(declared=True), dataset="d", database="d", subject="orders.customer_id"
    ).datasets
    assert dataset.subject == "customers.id"


def test_keys_that_refer_in_a_circle_share_one_space():
    from dataclasses import replace

    tables = []
    for name, other in (("a", "b"), ("b", "a")):
        table = sampled(name, {"id": ("bigint", [1])}, primary_key=("id",))
        tables.append(
            replace(table, columns=(replace(table.columns[0], references=("public", other, "id")),))
        )
    catalogue = propose(tables, dataset="d", database="d")
    assert problems(catalogue) == []
    assert {table.columns[0].identity_space for table in catalogue.datasets[0].tables} == {"d.a.id"}


def test_a_key_that_is_an_email_address_stays_one():
    from dataclasses import replace

    people = sampled("people", {"email": ("text", ["a@b.ie"])}, primary_key=("email",))
    posts = sampled("posts", {"who": ("text", ["a@b.ie"])})
    posts = replace(posts, columns=(replace(posts.columns[0], references=("public", "people", "email")),))
    catalogue = propose([people, posts], dataset="d", database="d")
    assert problems(catalogue) == []
    columns = [table.columns[0] for table in catalogue.datasets[0].tables]
    assert [(each.kind, each.protection) for each in columns] == [("email", "restricted")] * 2


def test_no_tables_and_no_columns_are_no_trouble():
    assert propose([], dataset="d", database="d").datasets[0].tables == ()
    assert propose([sampled("t", {})], dataset="d", database="d").datasets[0].tables[0].columns == ()


def test_the_real_data_set(retail_parquet):
    import pyarrow.parquet as pq

    rows = pq.read_table(retail_parquet).slice(0, 30_000)
    types = {
        "Description": "text", "Quantity": "integer", "InvoiceDate": "timestamp without time zone",
        "UnitPrice": "double precision", "CustomerID": "double precision", "Country": "text",
    }  # fmt: skip
    values = {name: rows[name].to_pylist() for name in types}
    values["CustomerID"] = [None if each is None else str(int(each)) for each in values["CustomerID"]]
    table = sampled("online_retail", {name: (types[name], values[name]) for name in types})
    (dataset,) = propose([table], dataset="online_retail", database="online_retail").datasets
    assert dataset.subject == "online_retail.CustomerID"
    assert [(each.name, each.kind, each.protection) for each in dataset.tables[0].columns] == [
        ("Description", "category", "protected"),
        ("Quantity", "number", "protected"),
        ("InvoiceDate", "timestamp", "protected"),
        ("UnitPrice", "amount", "protected"),
        ("CustomerID", "key", "interoperable"),
        ("Country", "country", "interoperable"),
    ]
    assert dataset.tables[0].column("Country").unsure == ""


MESSY = """\
Kd-Nr;Name;e mail;Tel.;geb.;Land;PLZ / Ort;last ip;Notiz;x1
K-0001;Müller, Jürgen;j@example.de;+49 30 901820;1980-02-29;Deutschland;10115 Berlin;192.0.2.1;nicht vor 8;zq
K-0002;O'Brien Áine;aine@example.ie;(01) 555-0199;1975-01-01;Éire;D02 X285 Dublin;2001:db8::1;;17
;Nowak Łukasz;NULL;n/a;0000-00-00;Polen;00-950 Warszawa;;Mail an l@example.pl oder +48 22 694 7000;--
K-0004;???;aine(at)example.ie;06-12345678;1999-12-31;unbekannt;??;999.1.1.1;\u200b;\x07
"""


def test_a_messy_table_in_german():
    head, *rows = csv.reader(MESSY.splitlines(), delimiter=";")
    values = {name: ("text", [row[at] or None for row in rows]) for at, name in enumerate(head)}
    (dataset,) = propose([sampled("Kunden 2024", values)], dataset="crm", database="crm").datasets
    found = {each.name: (each.kind, each.protection) for each in dataset.tables[0].columns}
    assert found["Name"] == ("name", "restricted")
    assert found["e mail"] == ("email", "restricted")
    assert found["Tel."] == ("phone", "restricted")
    assert found["Land"] == ("country", "interoperable")
    assert found["last ip"] == ("ip_address", "restricted")
    assert found["Notiz"] == ("free_text", "restricted")
    assert found["x1"] == ("unknown", None)
    assert all(
        protection in {"restricted", "protected", None}
        for kind, protection in found.values()
        if kind not in {"key", "country"}
    )
