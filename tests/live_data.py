"""The data of a live deployment: people, and a vault of marked values that nobody may see."""

import json
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files

from ringfort.demo.population import generate

PEOPLE = 300
VAULT_ROWS = 8

# Letters that no number, no hexadecimal text and no base64 of small numbers is made of.
_LETTERS = "ghjkmnpqrstuvwxyz"


_DRAW = random.Random(20261101)


FRESH_PURPOSES = [f"p-{letter}{other}" for letter in "ghjkmn" for other in "ghjkmnpqrs"]


_UNUSED = iter(FRESH_PURPOSES)


def fresh_purpose():
    """A listed purpose that no other test of this process states."""
    return next(_UNUSED)


def fresh_word(letters=12):
    """A word that no other test states, without digits, which the record takes for somebody's number."""
    return uuid.uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))[:letters]


def _word(letters=24):
    return "".join(_DRAW.choices(_LETTERS, k=letters))


def _number(digits):
    return int("".join([_DRAW.choice("123456789"), *_DRAW.choices("0123456789", k=digits - 1)]))


def _moment():
    return datetime(1871, 3, 1, tzinfo=UTC) + timedelta(microseconds=_DRAW.randrange(10**15))


# column -> (type, protection, identifiability, kind, value). For the analyst and the engineer all are hidden.
HIDDEN = {
    "h_text": ("text", "restricted", "direct", "unknown", _word),
    "h_varchar": ("character varying(64)", "restricted", "direct", "name", _word),
    "h_email": ("text", "restricted", "direct", "email", lambda: f"{_word(12)}@{_word(12)}.example"),
    "h_free": ("text", "restricted", "none", "free_text", lambda: f"{_word(12)}@{_word(12)}.example"),
    "h_bigint": ("bigint", "restricted", "direct", "national_id", lambda: _number(18)),
    "h_numeric": ("numeric(30,4)", "restricted", "direct", "amount", lambda: f"{_number(20)}.{_number(4)}"),
    "h_float": ("double precision", "restricted", "direct", "amount", lambda: _number(15) / 1024),
    "h_date": ("date", "restricted", "direct", "birth_date", lambda: date(1, 1, 1) + timedelta(_number(5))),
    "h_moment": ("timestamp with time zone", "restricted", "direct", "timestamp", _moment),
    "h_uuid": ("uuid", "restricted", "direct", "unknown", lambda: uuid.UUID(int=_DRAW.getrandbits(128))),
    "h_inet": (
        "inet",
        "restricted",
        "direct",
        "ip_address",
        lambda: f"2001:db8:{_number(4)}:{_number(4)}::7",
    ),
    "h_json": ("jsonb", "restricted", "direct", "unknown", lambda: json.dumps({_word(10): _word()})),
    "h_bytes": ("bytea", "restricted", "direct", "unknown", lambda: _word().encode()),
    "h_array": ("text[]", "restricted", "direct", "unknown", lambda: [_word(), _word()]),
    "u_text": ("text", None, None, "unknown", _word),
    "u_bigint": ("bigint", None, None, "unknown", lambda: _number(18)),
}


MARKERS = {column: [facts[4]() for _ in range(VAULT_ROWS)] for column, facts in HIDDEN.items()}


ELSEWHERE = {
    "uncatalogued": _word(),  # a table that nobody described
    "copied": _word(),  # a materialised view
    "large_object": _word(),
    "sequence": _number(18),
    "partitioned": _word(),
}


LARGE_OBJECT = 4711


_VAULT_DDL = """\
CREATE TABLE vault (
 id bigint PRIMARY KEY, owner_id bigint NOT NULL REFERENCES people, label text NOT NULL,
 {columns},
 CONSTRAINT vault_text_once UNIQUE (h_text), CONSTRAINT vault_positive CHECK (h_bigint > 0));
CREATE INDEX vault_bigint ON vault (h_bigint);
CREATE STATISTICS vault_together ON h_text, h_bigint FROM vault;
CREATE TABLE uncatalogued (id bigint PRIMARY KEY, secret text NOT NULL);
CREATE TABLE parted (id bigint NOT NULL, secret text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE SEQUENCE counting;
SELECT setval('counting', {sequence});
"""


_REFERENCE = 'references = "people.id"'


def _classes(protection, identifiability):
    return f'protection = "{protection}", identifiability = "{identifiability}", ' if protection else ""


def catalogue():
    """The demo's catalogue, and the vault."""
    lines = [
        "[dataset.demo.table.vault]",
        'schema = "public"',
        'primary_key = ["id"]',
        'subject_path = "owner_id -> people.id"',
        "[dataset.demo.table.vault.column]",
        f'id = {{ {_classes("interoperable", "quasi")}kind = "key", type = "bigint" }}',
        f'owner_id = {{ {_classes("interoperable", "direct")}kind = "key", type = "bigint", {_REFERENCE} }}',
        f'label = {{ {_classes("public", "none")}kind = "category", type = "text" }}',
    ]
    for name, (data_type, protection, identifiability, kind, _) in HIDDEN.items():
        classes = (
            f'protection = "{protection}", identifiability = "{identifiability}", ' if protection else ""
        )
        lines.append(f'{name} = {{ {classes}kind = "{kind}", type = "{data_type}" }}')
    shipped = files("ringfort.demo").joinpath("catalog.toml").read_text(encoding="utf-8")
    return shipped + "\n" + "\n".join(lines) + "\n"


@cache
def population(people):
    """The population; the same for every deployment of a process."""
    return generate(people, 7)


def restricted_values(people=PEOPLE):
    """Values of `people` that only support in the region may see raw."""
    table = population(people)["people"]
    return [
        value
        for column in ("email", "phone", "iban", "address")
        for value in table.column(column).to_pylist()
        if value is not None and len(value) > 10
    ]
