"""A Parse message names types by number: only those of a closed list, and types of columns that are shown.

Tried on every type of the deployment's database, with the functions that would tell of a type.
"""

import psycopg
import pytest
from tests.attacks.gateway.wire_client import WireClient
from tests.live_deployment import ANALYST

from ringfort.disclosure.parameter_types import LISTED
from ringfort.pgwire.backend import DataRow, ErrorResponse, ParameterDescription
from ringfort.pgwire.frontend import Bind, Describe, Execute, Parse, Sync, serialise_frontend

LAIR = """
CREATE SCHEMA lair;
CREATE TYPE lair.mood AS ENUM ('kfftlow', 'kffthigh');
CREATE TYPE lair.pair AS (kfftone int, kffttwo text);
CREATE DOMAIN lair.guess AS int CHECK (VALUE = 4711);
CREATE TYPE lair.span AS RANGE (SUBTYPE = float8);
CREATE TABLE lair.kfft (secret text);
"""
TELLING = [
    "SELECT pg_typeof($1)",
    "SELECT row_to_json($1)", "SELECT enum_range($1)", "SELECT enum_first($1)", "SELECT $1",
    "SELECT to_json(ARRAY[$1])", "SELECT format('%s', $1)", "SELECT ($1).*", "SELECT $1 IS NULL", "SELECT 1",
    "SELECT pg_typeof(array_agg($1))", "SELECT jsonb_build_object('a', $1)", "SELECT lower($1)",
]  # fmt: skip


@pytest.fixture(scope="module")
def lair(live):
    """A schema of types that no profile shows."""
    with psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        admin.execute(LAIR)
        yield admin
        admin.execute("DROP SCHEMA lair CASCADE")


def parse(client, text, *kinds, value=None):
    items = [Parse(b"", text.encode(), kinds), Describe(b"S", b"")]
    items += [Bind(b"", b"", (), (value,) * len(kinds), ()), Execute(b"", 0), Sync()]
    client.send(b"".join(map(serialise_frontend, items)))
    return client.until_ready()


def refused(items):
    told = [item for item in items if isinstance(item, DataRow | ParameterDescription)]
    return not told and [item.fields["C"] for item in items if isinstance(item, ErrorResponse)] == [b"0A000"]


def test_no_type_is_named_by_number_but_listed_ones(live, lair):
    numbers = [row[0] for row in lair.execute("SELECT oid::int8 FROM pg_type").fetchall()]
    assert len(numbers) > 500
    with WireClient(live.dsn(ANALYST)) as client:
        for number in numbers:
            items = parse(client, "SELECT pg_typeof($1)", number)
            assert refused(items) == (number not in LISTED), number
        for number in (16_384, 99_999, 2**31, 2**32 - 1):
            assert refused(parse(client, "SELECT $1", number))
            assert refused(parse(client, "SELECT $1, $2", 23, number))


@pytest.mark.parametrize("text", TELLING)
def test_nothing_is_told_of_a_hidden_type(live, lair, text):
    names = ["mood", "pair", "guess", "span", "kfft", "_mood", "_kfft"]
    with WireClient(live.dsn(ANALYST)) as client:
        for name in names:
            (number,) = lair.execute("SELECT oid::int8 FROM pg_type WHERE typname = %s", (name,)).fetchone()
            for value in (None, b"4711", b"kfftlow"):
                assert refused(parse(client, text, number, value=value)), name
        assert b"kfft" not in client.received
        # the unnamed statement is forgotten, as PostgreSQL does it, and the session goes on
        assert client.values("SELECT 1") == [(b"1",)]


def test_what_clients_declare_is_taken(live):
    with WireClient(live.dsn(ANALYST)) as client:
        for number, value, text in (
            (0, b"5", "SELECT $1::int4"), (23, b"5", "SELECT $1"), (1043, b"a", "SELECT $1"),
            (1009, b"{a}", "SELECT $1"), (2950, b"00000000-0000-0000-0000-000000000000", "SELECT $1"),
            (3802, b"{}", "SELECT $1"), (1184, b"2020-01-01", "SELECT $1"), (705, b"x", "SELECT $1::text"),
            (4451, b"{[1,2)}", "SELECT $1"), (1231, b"{1.5}", "SELECT $1"), (17, b"x", "SELECT $1"),
        ):  # fmt: skip
            items = parse(client, text, number, value=value)
            assert [item for item in items if isinstance(item, DataRow)], number
