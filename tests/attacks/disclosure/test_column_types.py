"""Types of shown columns may be named by number, in whatever format; any other number is as good as none."""

import asyncio

import psycopg
import pytest
from psycopg.types import TypeInfo
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.hstore import register_hstore
from psycopg.types.range import Range, RangeInfo, register_range
from tests.attacks.disclosure.test_parameter_types import TELLING, parse
from tests.attacks.gateway.wire_client import WireClient
from tests.cli.test_operate_sessions import given, operate
from tests.live_deployment import ANALYST, Who, deployment

from ringfort.disclosure.parameter_types import LISTED
from ringfort.pgwire.backend import ErrorResponse

TABLES = """
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE SCHEMA lair;
CREATE TYPE mood AS ENUM ('sad', 'fine', 'glad');
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TYPE pair AS (n integer, feeling mood);
CREATE TYPE lookup AS (n integer, what regclass);
CREATE TYPE floats AS RANGE (SUBTYPE = float8);
CREATE DOMAIN moody AS mood CHECK (VALUE <> 'sad');
CREATE DOMAIN small AS integer CHECK (VALUE < 4711);
CREATE TYPE lair.kffthidden AS ENUM ('kfftlow', 'kffthigh');
CREATE TYPE lair.kfftpair AS (kfftone integer, kffttwo text);
CREATE DOMAIN lair.kfftguess AS integer CHECK (VALUE = 4711);
CREATE TABLE lair.kffttable (kfftcolumn text);
CREATE TABLE things (
    id integer PRIMARY KEY, feeling mood NOT NULL, colours colour[], two pair, reference lookup, span floats,
    guarded moody, little small, spoken citext, facts hstore, path ltree,
    secret lair.kffthidden, hidden_pair lair.kfftpair, guess lair.kfftguess);
INSERT INTO things VALUES
    (1, 'sad', '{red}', '(1,sad)', '(1,pg_class)', '[1,2)', 'fine', 1, 'One', 'a=>1', 'a.b', 'kfftlow'),
    (2, 'glad', '{red,green}', '(2,glad)', NULL, '[2,3)', 'glad', 2, 'Two', 'b=>2', 'a.c', 'kffthigh');
"""
SHOWN = {
    "feeling": "mood", "colours": "colour[]", "two": "pair", "reference": "lookup", "span": "floats",
    "guarded": "mood", "little": "integer", "spoken": "citext", "facts": "hstore", "path": "ltree",
}  # fmt: skip
HIDDEN = {"secret": "lair.kffthidden", "hidden_pair": "lair.kfftpair", "guess": "integer"}
PUBLIC = 'protection = "public", identifiability = "none"'
RESTRICTED = 'protection = "restricted", identifiability = "direct"'
DESCRIBED = (
    '[dataset.demo.table.things]\nschema = "public"\nprimary_key = ["id"]\n'
    "[dataset.demo.table.things.column]\n"
    'id = { protection = "public", identifiability = "none", kind = "number", type = "integer" }\n'
    + "".join(
        f'{name} = {{ {PUBLIC}, kind = "category", type = "{kind}" }}\n' for name, kind in SHOWN.items()
    )
    + "".join(
        f'{name} = {{ {RESTRICTED}, kind = "unknown", type = "{kind}" }}\n' for name, kind in HIDDEN.items()
    )
)
NAMEABLE = {
    *("mood", "_mood", "colour", "_colour", "pair", "_pair", "floats", "_floats"),
    *("floats_multirange", "citext", "_citext", "hstore", "_hstore", "ltree", "_ltree"),
}


@pytest.fixture(scope="module")
def things():
    with deployment(people=40, tables=TABLES, described=DESCRIBED) as made:
        yield made.start()


@pytest.fixture
def session(things):
    with things.connect(ANALYST) as connected:
        yield connected


@pytest.fixture(scope="module")
def numbers(things):
    with psycopg.connect(things.admin_dsn()) as admin:
        return dict(admin.execute("SELECT oid::int8, typname FROM pg_type").fetchall())


def state(items):
    (found,) = [item.fields for item in items if isinstance(item, ErrorResponse)] or [{}]
    return found


def test_exactly_the_types_of_shown_columns_can_be_named(things, numbers):
    with WireClient(things.dsn(ANALYST)) as client:
        taken = {
            name
            for number, name in numbers.items()
            if number not in LISTED and state(parse(client, "SELECT $1 IS NULL", number)).get("C") != b"0A000"
        }
    assert taken == NAMEABLE


@pytest.mark.parametrize("text", TELLING)
def test_a_hidden_type_is_as_good_as_none(things, numbers, text):
    hidden = [number for number, name in numbers.items() if "kfft" in name]
    hidden += [number for number, name in numbers.items() if name in {"moody", "small", "lookup", "things"}]
    assert len(hidden) >= 10
    with WireClient(things.dsn(ANALYST)) as client:
        none = state(parse(client, text, max(numbers) + 100_000))
        assert none["C"] == b"0A000"
        for number in hidden:
            for value in (None, b"4711", b"kfftlow"):
                assert state(parse(client, text, number, value=value)) == none
        assert b"kfft" not in client.received
        assert client.values("SELECT 1") == [(b"1",)]


def test_names_of_shown_types_give_their_numbers_and_others_none(session, numbers):
    for text, name in {
        "mood": "mood",
        "public.mood": "mood",
        "mood[]": "_mood",
        "text": "text",
        '"pair"': "pair",
    }.items():
        (found,) = session.execute("SELECT to_regtype(%s)", (text,)).fetchone()
        assert numbers[found] == name
    for text in (
        "kffthidden",
        "lair.kffthidden",
        "public.kffthidden",
        "nothing",
        "public.nothing",
        "lair.kffttable",
    ):
        assert session.execute("SELECT to_regtype(%s)", (text,)).fetchone() == (None,)


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_with_enumerations_arrays_composites_and_ranges(session, binary):
    mood, colour = EnumInfo.fetch(session, "public.mood"), EnumInfo.fetch(session, "colour")
    assert mood.labels == ["sad", "fine", "glad"]
    register_enum(mood, session)
    register_enum(colour, session)
    register_range(RangeInfo.fetch(session, "public.floats"), session)
    mark = "%b" if binary else "%t"

    def ids(where, value):
        with session.cursor(binary=binary) as cursor:
            cursor.execute(f"SELECT id FROM things WHERE {where.replace('?', mark)} ORDER BY id", (value,))
            return [row[0] for row in cursor]

    sad = mood.enum["sad"]
    assert ids("feeling = ?", sad) == [1]
    assert ids("feeling = ANY (?)", [mood.enum["glad"], sad]) == [1, 2]
    assert ids("colours @> ?", [colour.enum["green"]]) == [2]
    assert ids("span && ?", Range(1.0, 1.5)) == [1]


def test_psycopg_with_types_of_extensions_and_composites(session):
    register_hstore(TypeInfo.fetch(session, "hstore"), session)
    found = session.execute("SELECT coalesce(%s, facts) FROM things WHERE id = 1", ({"z": "1"},))
    assert found.fetchall() == [({"z": "1"},)]

    def asked(text, value, number):
        found = session.pgconn.exec_params(text, [value], [number])
        assert not found.error_message
        return found.get_value(0, 0)

    citext, ltree, pair = (
        TypeInfo.fetch(session, name) for name in ("public.citext", "ltree", "public.pair")
    )
    assert asked(b"SELECT id FROM things WHERE spoken::text = $1", b"Two", citext.oid) == b"2"
    assert (
        asked(b"SELECT array_cat($1, ARRAY[path]) FROM things WHERE id = 2", b"{a.b}", ltree.array_oid)
        == b"{a.b,a.c}"
    )
    assert asked(b"SELECT id FROM things WHERE two = $1", b"(2,glad)", pair.oid) == b"2"


def test_asyncpg_with_enumerations_and_arrays(things):
    asyncpg = pytest.importorskip("asyncpg")

    async def ask():
        facts = psycopg.conninfo.conninfo_to_dict(things.dsn(ANALYST))
        connection = await asyncpg.connect(
            host=facts["host"], port=int(facts["port"]), user=facts["user"], password=facts["password"],
            database=facts["dbname"], ssl="require",
            server_settings={"ringfort.purpose": ANALYST.purpose},
        )  # fmt: skip
        try:
            return [
                await connection.fetchval("SELECT id FROM things WHERE feeling = $1", "sad"),
                await connection.fetchval("SELECT id FROM things WHERE colours = $1", ["red", "green"]),
                await connection.fetchval("SELECT colours FROM things WHERE id = 2"),
            ]
        finally:
            await connection.close()

    assert asyncio.run(ask()) == [1, 2, ["red", "green"]]


def test_an_operate_session_may_name_the_types_of_its_tables(things, numbers):
    with psycopg.connect(things.admin_dsn(), autocommit=True) as admin:
        admin.execute("CREATE ROLE keeper NOLOGIN")
        admin.execute("GRANT USAGE, CREATE ON SCHEMA public, lair TO keeper")
        admin.execute("ALTER TABLE things OWNER TO keeper")
    approvers = [things.register(Who(f"a{number}", "IE", "approver")) for number in range(2)]
    number_of = {name: number for number, name in numbers.items()}
    with operate(things, given(things, approvers, table="demo.things")) as session:

        def state_of(text, value, number):
            found = session.pgconn.exec_params(text, [value], [number])
            return found.error_field(psycopg.pq.DiagnosticField.SQLSTATE)

        change = b"UPDATE things SET feeling = $1 WHERE id = 2"
        assert state_of(change, b"fine", number_of["mood"]) is None
        assert session.execute("SELECT feeling FROM things WHERE id = 2").fetchone() == ("fine",)
        assert state_of(b"SELECT secret = $1 FROM things", b"kfftlow", number_of["kffthidden"]) is None
        for name in ("kffttable", "kfftguess", "lookup", "moody", "things"):
            assert state_of(b"SELECT $1 IS NULL", None, number_of[name]) == b"0A000"
