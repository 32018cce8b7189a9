"""Nothing that a profile session may call finds an object of the database by a name or number of the client's.

Held against the functions, operators and types that a real server has: by their signatures, and by calling
each with names that are there, names that are not, and names in a schema that is not there. What comes back
must be the same, or the difference tells what the profile does not show.
"""

# ruff: noqa: E501 - statements read best whole

import contextlib
import itertools
import os
import re

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.attacks.test_allowlist_server import READS, client_queries
from tests.shop_database import CATALOGUE, DOMAIN, decision, key_name, site_database

from ringfort.disclosure import function_list as lists
from ringfort.disclosure.parameter_types import LISTED, NUMBERS
from ringfort.disclosure.profile import compile_profile
from ringfort.disclosure.statements import Surface, judge

LAIR = """
CREATE SCHEMA lair;
CREATE TABLE lair.thing (id serial PRIMARY KEY, name text);
CREATE FUNCTION lair.thing(lair.thing) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE lair.mood AS ENUM ('low', 'high');
CREATE TEXT SEARCH CONFIGURATION lair.thing (COPY = simple);
CREATE TEXT SEARCH DICTIONARY lair.thing (TEMPLATE = simple);
CREATE TEXT SEARCH PARSER lair.thing (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
    LEXTYPES = prsd_lextype);
CREATE COLLATION lair.thing (LOCALE = 'C');
CREATE OPERATOR lair.+ (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int);
CREATE ROLE lair_role_1;
"""
NAMES = [
    ("lair.thing", "lair.other", "cave.thing", "cave.other"),
    ("lair_role_1", "lair_role_2"),
    ("lair", "cave"),
    ("lair_role_1=r/lair_role_1", "lair_role_2=r/lair_role_2"),
    ("{lair_role_1=r/lair_role_1}", "{lair_role_2=r/lair_role_2}"),
    ("lair.mood", "cave.mood"),
    ("lair.+", "cave.+"),
]
NAMING = {
    "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc",
    "regprocedure", "regrole", "regtype", "aclitem",
}  # fmt: skip
TEXTS = {"text", "name", "unknown", '"any"', "anyelement", "anynonarray", "anycompatible", "cstring"} | NAMING
PATTERNS = {
    "substring",
    "to_char",
    "to_number",
}  # whose text is a pattern: its letters decide, whatever they name
NUMBERED = {"oid"} | NAMING  # what takes a number, or an integer by an implicit cast
SAMPLES = {
    "integer": "1", "bigint": "1", "smallint": "1::int2", "oid": "1259::oid", "boolean": "true", "text": "'a'",
    "name": "'a'::name", "jsonb": "'{}'::jsonb", "json": "'{}'::json", "tsquery": "'a'::tsquery",
    "tsvector": "'a'::tsvector", '"char"': "'r'", "text[]": "'{a}'::text[]", '"any"': "1", "anyelement": "1",
    "timestamp with time zone": "'2020-01-01'::timestamptz", "bytea": "'a'::bytea", "anyarray": "'{1}'::int[]",
    "timestamp without time zone": "'2020-01-01'::timestamp", "interval": "'1 day'::interval", "aclitem[]": "'{}'",
    "aclitem": "'=r/postgres'", "regconfig": "'simple'", "regclass": "'pg_class'::regclass", "xid": "'3'::xid",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(postgres_server):
    """A shop, a lair beside it, and a session of a profile that shows the shop only."""
    name = f"names_{os.getpid()}"
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
    dsn = postgres_server.admin_dsn(name)
    site = site_database(dsn)
    with contextlib.closing(site), psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(LAIR)
        bound = site.bound("c" * 64, CATALOGUE.datasets)
        forms = {("customers", "name"): "raw", ("customers", "id"): "raw"}
        profile = compile_profile(
            decision(forms), CATALOGUE.datasets, database=name, domain=DOMAIN, key_id=key_name(), bound=bound,
            found=site.found(CATALOGUE.datasets),
        )  # fmt: skip
        login = make_conninfo(dsn, user=profile.role, password=site.ensure_profile(profile))
        surface = Surface(frozenset(profile.relations), profile.schema, frozenset({"id", "name"}))
        with psycopg.connect(login, autocommit=True) as session:
            session.execute("SET statement_timeout = '10s'")
            yield admin, session, surface
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        server.execute("DROP ROLE lair_role_1")
        server.execute(f"DROP ROLE {profile.role}")


def outcome(session, surface, text):
    """What a client learns of a text: refused or not, the SQLSTATE, how many rows, what is NULL or boolean."""
    verdict = judge(text, surface)
    if not verdict.allowed:
        return "refused", verdict.sqlstate
    try:
        rows = session.execute((verdict.rewritten or text).encode(), prepare=False).fetchall()
    except psycopg.Error as error:
        return "failed", error.sqlstate
    told = [[v if v is None or isinstance(v, bool) else "value" for v in row] for row in rows]
    return "answered", told


def call(name, values):
    return f'SELECT pg_catalog."{name}"({", ".join(values)})'


def signatures(admin):
    """Name and argument types of everything that may be called, the server's own signatures."""
    listed = lists.FUNCTIONS | lists.STAND_INS | lists.CONFIGURATION_FUNCTIONS
    return admin.execute(
        "SELECT proname::text, ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY AS a"
        " (t, i) ORDER BY i), COALESCE(proargmodes::text[] @> '{v}', false)"
        " FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%s) AND prokind = 'f'",
        (sorted(listed),),
    ).fetchall()


def test_no_name_is_looked_up_for_a_session_that_is_not_shown_it(shop):
    admin, session, surface = shop
    numbers = [
        row[0]
        for row in admin.execute(
            "SELECT unnest(ARRAY['lair.thing'::regclass::oid, 'lair.mood'::regtype::oid,"
            " 'lair.thing'::regconfig::oid, 'lair.thing'::regdictionary::oid, 'lair'::regnamespace::oid,"
            " 'lair_role_1'::regrole::oid, (SELECT oid FROM pg_ts_parser WHERE prsname = 'thing')])::int8"
        )
    ]
    tried = 0
    told = set()
    for name, types, _ in signatures(admin):
        others = [SAMPLES.get(each, f"NULL::{each}") for each in types]
        for place, kind in enumerate(types):
            groups = []
            if kind in TEXTS or kind in {"aclitem[]", "text[]"}:
                groups += [[f"'{each}'" for each in names] for names in NAMES]
                groups += [[f"'{each}'", "'4000000000'"] for each in numbers]
            if kind in NUMBERED:
                groups += [[f"{each}::oid", "4000000000::oid"] for each in numbers]
                groups += [[str(each), "2000000000"] for each in numbers]
            for group in groups:
                values = [*others[:place], None, *others[place + 1 :]]
                seen = []
                for value in group:
                    values[place] = value
                    seen.append(outcome(session, surface, call(name, values)))
                    tried += 1
                if any(each != seen[0] for each in seen) and name not in PATTERNS:
                    told.add((name, tuple(types), place, group[0], str(seen)))
    assert not told, "\n".join(map(str, sorted(told)))
    assert tried > 3_000


OPERATORS = [
    "SELECT relacl @> {0} FROM pg_class",
    "SELECT relacl = ARRAY[{0}] FROM pg_class LIMIT 1",
    "SELECT COALESCE(relacl, {0}) FROM pg_class LIMIT 1",
    "SELECT CASE WHEN true THEN {0} ELSE acldefault('r', 10) END",
    "SELECT acldefault('r', 10) || {0}",
    "SELECT {0}::aclitem",
    "SELECT {0}::aclitem[]",
    "SELECT COALESCE(get_current_ts_config(), {0})",
    "SELECT 1 FROM pg_type WHERE typinput = {0}",
    "SELECT 1 FROM pg_type WHERE typinput IN ({0}, {0})",
    "SELECT 1 FROM pg_class WHERE oid = {0}",
    "SELECT COALESCE(pg_typeof(1), {0})",
    "SELECT {0}::regconfig",
    "SELECT to_tsvector({0}::regconfig, 'a')",
    "SELECT to_tsvector(({0}::regconfig), 'a')",
    "SELECT to_tsvector(COALESCE({0}::regconfig, 'simple'), 'a')",
    "SELECT to_tsvector(CASE WHEN true THEN {0}::regconfig END, 'a')",
    "SELECT ts_headline({0}::regconfig, 'a', 'a'::tsquery)",
    "SELECT ts_headline({0}, 'a', 'a'::tsquery)",
    "SELECT ts_headline({0}, 'a', 'a'::tsquery, 'MinWords=1')",
    "SELECT * FROM ts_token_type({0})",
    "SELECT x FROM to_tsvector({0}, 'a') AS x",
    "SELECT 'a' @@ plainto_tsquery({0}, 'a')",
    "SELECT (SELECT name FROM customers LIMIT 1) COLLATE {0}",
    "PREPARE p (regconfig) AS SELECT 1; DEALLOCATE p",
]


@pytest.mark.parametrize("text", OPERATORS)
def test_no_expression_looks_a_name_up(shop, text):
    admin, session, surface = shop
    number = admin.execute("SELECT 'lair.thing'::regconfig::oid::int8").fetchone()[0]
    for names in [*NAMES, (str(number), "4000000000")]:
        seen = [outcome(session, surface, text.format(f"'{each}'")) for each in names]
        assert all(each == seen[0] for each in seen), (text, names, seen)


def test_what_text_search_needs_is_still_there(shop):
    _, session, surface = shop
    for text in (
        "SELECT to_tsvector('english', 'the cats') @@ to_tsquery('pg_catalog.english', 'cat')",
        "SELECT to_tsvector('english'::regconfig, 'the cats')::text = '''cat'':2'",
        "SELECT to_tsvector('3748'::regconfig, 'the cats') IS NOT NULL",
        "SELECT to_tsvector('cats') IS NOT NULL",
        "SELECT ts_headline('english', 'the cat', 'cat'::tsquery) = 'the <b>cat</b>'",
        "SELECT ts_headline('simple'::regconfig, 'the cat', 'cat'::tsquery, 'MinWords=1,MaxWords=2') IS NOT NULL",
        "SELECT ts_headline('the cat', 'cat'::tsquery, 'StartSel=<,StopSel=>') = 'the <cat>'",
        "SELECT count(*) > 10 FROM ts_token_type('default')",
        "SELECT count(*) > 10 FROM ts_token_type(3722)",
        "SELECT age('2020-01-02'::timestamp, '2020-01-01') = '1 day' AND age(date '2020-01-01') IS NOT NULL",
        "SELECT count(age(xmin)) > 0 AND max(age(xmin)) = 2147483647 FROM pg_class",
        "SELECT bool_and(privilege_type = 'SELECT') FROM pg_class AS c, aclexplode(c.relacl) AS x",
        "SELECT count(*) > 0 FROM aclexplode(acldefault('r', (SELECT oid FROM pg_roles LIMIT 1)))",
        "SELECT NOT pg_is_other_temp_schema(pg_my_temp_schema())",
        "SELECT get_current_ts_config() IS NOT NULL",
        "SELECT pg_indexam_has_property(403, 'can_order')",
    ):
        assert outcome(session, surface, text) == ("answered", [[True]]), text


def test_by_their_signatures_no_listed_function_and_no_copy_has_a_type_that_names(shop):
    admin, _, _ = shop
    naming = [*NAMING, *(f"{each}[]" for each in NAMING)]
    found = admin.execute(
        "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        " AND proname = ANY (%s) AND EXISTS (SELECT FROM unnest(COALESCE(proallargtypes, proargtypes::oid[])"
        " || prorettype) AS t WHERE format_type(t, NULL) = ANY (%s))",
        (sorted(lists.FUNCTIONS | lists.LITERAL_FUNCTIONS), naming),
    ).fetchall()
    assert found == []
    configured = admin.execute(
        "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"
        " AND proname = ANY (%s) AND EXISTS (SELECT FROM unnest(proargtypes) WITH ORDINALITY AS a (t, i)"
        " WHERE format_type(t, NULL) = ANY (%s) AND (i > 1 OR t <> 'regconfig'::regtype))",
        (sorted(lists.CONFIGURATION_FUNCTIONS), naming),
    ).fetchall()
    assert configured == []
    copies = admin.execute(
        "SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
        " WHERE c.relnamespace::regnamespace::text LIKE 'ringfort\\_catalog%%'"
        " AND format_type(a.atttypid, NULL) = ANY (%s)",
        (naming,),
    ).fetchall()
    assert copies == []
    stand_ins = admin.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'ringfort_catalog'::regnamespace AND EXISTS (SELECT"
        " FROM unnest(COALESCE(proallargtypes, proargtypes::oid[]) || prorettype) AS t"
        " WHERE format_type(t, NULL) = ANY (%s))",
        (naming,),
    ).fetchall()
    assert stand_ins == []


def test_the_types_of_parameters_are_the_numbers_of_the_listed_types(shop):
    admin, _, _ = shop
    known = {
        name: (number, array)
        for name, number, array in admin.execute(
            "SELECT typname::text, oid::int8, typarray::int8 FROM pg_type"
            " WHERE typnamespace = 'pg_catalog'::regnamespace"
        )
    }
    assert NUMBERS.keys() == lists.TYPES - lists.REFERENCE_TYPES
    for name, numbers in NUMBERS.items():
        assert numbers == tuple(each for each in known[name] if each), name


GUESSED = [
    "SELECT to_tsvector('english', $1)", "SELECT name FROM customers WHERE customers = $1", "SELECT $1 || $2",
    "SELECT 1 FROM pg_type WHERE typinput = $1", "SELECT COALESCE(get_current_ts_config(), $1)",
    "SELECT relacl @> $1 FROM pg_class", "SELECT ts_headline($1, $2, $3)", "SELECT $1 + 1, $2 = ANY ($3)",
    "SELECT has_table_privilege($1, $2), $3::regclass, pg_typeof($4 || 'a')", "SELECT age($1), $2 @> $3::jsonb",
    "SELECT COALESCE(pg_typeof(1), $1)", "SELECT id = ANY ($1) FROM customers", "SELECT format('%s', $1 || 'a')",
]  # fmt: skip


def test_what_the_server_infers_is_listed_or_shown(shop):
    admin, session, surface = shop
    own = {
        row[0]
        for row in admin.execute(
            "SELECT t.oid::int8 FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace"
            " WHERE n.nspname = %s",
            (surface.schema,),
        )
    }
    own |= {2249, 2287}  # record and its array: no value of them can be sent to a server
    inferred = set()
    everything = itertools.chain(GUESSED, READS, client_queries())
    texts = [text for text in everything if re.search(r"\$\d", text)]
    for number, text in enumerate(texts):
        verdict = judge(text, surface)
        if not verdict.allowed or verdict.statements != 1:
            continue
        name = f"s{number}".encode()
        prepared = session.pgconn.prepare(name, (verdict.rewritten or text).encode())
        if prepared.status != psycopg.pq.ExecStatus.COMMAND_OK:
            continue
        facts = session.pgconn.describe_prepared(name)
        kinds = {facts.param_type(each) for each in range(facts.nparams)}
        assert kinds <= LISTED | own, (text, kinds - LISTED)
        inferred |= kinds
    assert len(inferred) > 5
