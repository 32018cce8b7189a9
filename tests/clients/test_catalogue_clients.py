"""psql's commands that describe, with `+` and `S`, and what BI tools ask: answered, nothing hidden in it."""

import re
import subprocess

import pytest
from tests.attacks.disclosure.test_catalogue_copies import names_in
from tests.clients.test_psql import FOUND, quiet
from tests.live_deployment import ANALYST, SUPPORT

COMMANDS = """
    \\d \\da \\dA \\dAc \\dAf \\dAo \\dAp \\db \\dc \\dC \\dconfig \\dd \\dD \\ddp \\dE \\des \\det \\deu
    \\dew \\df \\dF \\dFd \\dFp \\dFt \\dg \\di \\dl \\dL \\dm \\dn \\do \\dO \\dp \\dP \\drds
    \\dRp \\dRs \\ds \\dt \\dT \\du \\dv \\dx \\dX \\dy \\l \\z \\conninfo
""".split()  # noqa: SIM905 - a list of words
PLAIN = {"\\dd", "\\drds", "\\dp", "\\z", "\\ddp", "\\conninfo", "\\dX", "\\dRp", "\\dRs"}
SYSTEM = {
    "\\d",
    "\\dt",
    "\\dv",
    "\\di",
    "\\ds",
    "\\dT",
    "\\df",
    "\\do",
    "\\da",
    "\\dc",
    "\\dC",
    "\\dn",
    "\\dO",
}


# psql of one version asks a server of another for columns that it does not have: the same without a gateway
OTHER_VERSION = re.compile(r"column \w\.(daticulocale|datlocale|colliculocale|colllocale) does not exist")


def ask(program, live, who, home, *commands):
    arguments = [part for each in commands for part in ("-c", each)]
    return subprocess.run(
        [program, "-X", "-At", *arguments, live.dsn(who)],
        capture_output=True,
        text=True,
        env=quiet(home),
        cwd=home,
        timeout=100,
    )


@pytest.mark.parametrize("program", FOUND, ids=lambda path: path.split("/")[-3])
def test_every_command_that_describes_is_answered_and_names_nothing_hidden(live, tmp_path, program):
    commands = [
        *COMMANDS,
        *(f"{each}+" for each in COMMANDS if each not in PLAIN),
        *(f"{each}S" for each in COMMANDS if each in SYSTEM),
        *(f"{each}S+" for each in COMMANDS if each in SYSTEM),
        r"\d people", r"\d+ people", r"\d vault", r"\d+ vault", r"\sv vault", r"\d pg_class", r"\d+ pg_class",
    ]  # fmt: skip
    done = ask(program, live, ANALYST, tmp_path, *commands)
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert not [line for line in errors if not OTHER_VERSION.search(line)], done.stderr
    assert not names_in(done.stdout.encode())
    assert "vault" in done.stdout


@pytest.mark.parametrize("program", FOUND, ids=lambda path: path.split("/")[-3])
def test_what_would_show_code_is_refused_with_words(live, tmp_path, program):
    done = ask(program, live, ANALYST, tmp_path, r"\sf lower")
    assert "pg_get_functiondef" in done.stderr
    assert "shows the definition" in done.stderr


def test_each_sees_the_columns_of_its_own_views(live, tmp_path):
    columns = {}
    for who in (ANALYST, SUPPORT):
        shown = ask(FOUND[0], live, who, tmp_path, r"\d vault").stdout
        columns[who] = set(re.findall(r"^(\w+)\|", shown, re.MULTILINE))
    assert columns[ANALYST] == {"id", "owner_id", "label"}
    assert columns[SUPPORT] > columns[ANALYST]


SYNC = """
    SELECT n.nspname AS schema, c.relname AS name, c.relkind, d.description, stat.n_live_tup AS estimated
    FROM pg_catalog.pg_class c
    INNER JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid
    LEFT JOIN pg_catalog.pg_description d ON c.oid = d.objoid AND d.objsubid = 0
      AND d.classoid = 'pg_class'::regclass
    LEFT JOIN pg_stat_user_tables stat ON n.nspname = stat.schemaname AND c.relname = stat.relname
    WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND c.relkind IN ('r', 'p', 'v', 'f', 'm') ORDER BY schema, name
"""
BROWSE = """
    SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description,
      dep.objid
    FROM pg_catalog.pg_attribute a
    INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
    LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
    LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
    LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i'
      AND dep.refobjsubid = a.attnum AND dep.classid = dep.refclassid
    WHERE NOT a.attisdropped AND c.relkind NOT IN ('i', 'I', 'c') AND c.oid = 'vault'::regclass
    ORDER BY a.attnum
"""
OBJECTS = """
    SELECT c.oid, c.*, d.description, c.xmin, age(c.xmin) FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_description d ON d.objoid = c.oid WHERE c.relnamespace = %s::regnamespace
"""


def test_what_bi_tools_ask_is_answered(live):
    with live.connect(ANALYST) as session:
        found = session.execute(SYNC).fetchall()
        assert [row[1] for row in found] == ["messages", "payments", "people", "vault", "videos", "views"]
        assert {row[4] for row in found} == {None}
        assert [row[2] for row in session.execute(BROWSE)] == ["id", "owner_id", "label"]
        schema = session.execute("SELECT current_schema()").fetchone()[0]
        assert len(session.execute(OBJECTS, [schema]).fetchall()) == 6
