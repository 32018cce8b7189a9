"""`policy check` and `apply` against the live database: what is not there is refused, with file and line."""

import json
import subprocess
import sys

import psycopg
import pytest

from ringfort.config import load_config

COMMAND = [sys.executable, "-m", "ringfort.cli.main"]


def ringfort(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.fixture
def crm(fresh_database, tmp_path):
    """Two schemas with a table `people`, a domain, an enum, an array; made by `init`."""
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        for statement in (
            "CREATE SCHEMA crm",
            "CREATE TYPE public.mood AS ENUM ('a', 'b')",
            "CREATE DOMAIN public.mail AS varchar(200)",
            "CREATE TABLE public.people (id bigint PRIMARY KEY, email mail, name varchar(80), born date)",
            "CREATE TABLE crm.people (id bigint PRIMARY KEY, mood public.mood, tags text[], at timestamptz)",
        ):
            connection.execute(statement)
    folder = tmp_path / "crm"
    done = ringfort("init", folder, "--from", fresh_database, "--name", "crm", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["views"] == {"public.people": "people", "crm.people": "crm_people"}
    return folder, fresh_database


def changed(folder, old, new):
    path = folder / "catalog.toml"
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))
    return text.partition(old)[0].count("\n") + 1


def test_what_init_wrote_fits_and_says_how_tables_are_seen(crm):
    folder, _ = crm
    done = ringfort("policy", "check", folder)
    assert done.returncode == 0, done.stderr
    assert "not looked at" not in done.stderr
    assert ringfort("policy", "apply", folder).returncode == 0
    told = ringfort("policy", "explain", folder, "--role", "support", "--country", "IE")
    assert "(view crm_people)" in told.stdout


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("email ", "emial ", "has no column `emial`"),
        ('type = "date"', 'type = "bigint"', "is of type `date`, not `bigint`"),
        ('type = "timestamp with time zone"', 'type = "timestamp without time zone"', "with time zone"),
        ('type = "text[]"', 'type = "text"', "is of type `text[]`, not `text`"),
        ('type = "mood"', 'type = "moood"', "not `moood`"),
        ('type = "mood"', 'type = "text; drop"', "not `text; drop`"),
        ('schema = "crm"', 'schema = "sales"', "no table `sales.people`"),
    ],
)
def test_what_the_database_does_not_have_is_refused_with_its_line(crm, old, new, what):
    folder, _ = crm
    line = changed(folder, old, new)
    for command in ("check", "apply"):
        done = ringfort("policy", command, folder)
        assert done.returncode == 2, done.stdout
        assert what in done.stderr
        assert "catalog.toml" in done.stderr
        if "schema" not in new:
            assert f"catalog.toml:{line}: " in done.stderr
    if "drop" not in new:
        assert ringfort("policy", "check", folder, "--offline").returncode == 0
    document = json.loads(ringfort("policy", "check", folder, "--json").stdout)
    assert document["ok"] is False
    assert what in document["problems"][0]["message"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('type = "bigint"', 'type = "int8"'),
        ('type = "character varying(80)"', 'type = "varchar"'),
        ('type = "mail"', 'type = "character varying"'),
        ('type = "mood"', 'type = "public.mood"'),
        ('type = "timestamp with time zone"', 'type = "timestamptz"'),
    ],
)
def test_a_type_by_another_of_its_names_is_the_same(crm, old, new):
    folder, _ = crm
    changed(folder, old, new)
    done = ringfort("policy", "check", folder)
    assert done.returncode == 0, done.stderr


def test_every_fault_is_said_at_once_and_nothing_comes_into_force(crm):
    folder, _ = crm
    changed(folder, "email ", "emial ")
    changed(folder, 'type = "date"', 'type = "bigint"')
    done = ringfort("policy", "apply", folder)
    assert done.stderr.count("error: ") == 2
    assert "nothing is in force" in done.stdout or not (folder / "state" / "ledger").exists()


def test_adding_a_namesake_is_refused_until_it_has_a_name_and_renames_nothing(crm):
    folder, dsn = crm
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA hr")
        connection.execute("CREATE TABLE hr.people (id bigint)")
    path = folder / "catalog.toml"
    before = path.read_text()
    added = (
        '\n[dataset.hr]\ndatabase = "{}"\n[dataset.hr.table.people]\nschema = "hr"\n{}'
        '[dataset.hr.table.people.column]\nid = {{ type = "bigint", kind = "key" }}\n'
    )
    name = load_config(folder).sites[0].databases[0]
    path.write_text(before + added.format(name, ""))
    done = ringfort("policy", "check", folder)
    assert done.returncode == 2
    assert 'under [dataset.hr.table.people] write view = "hr_people"' in done.stderr
    path.write_text(before + added.format(name, 'view = "hr_people"\n'))
    assert ringfort("policy", "check", folder).returncode == 0
    told = ringfort("policy", "explain", folder, "--role", "support", "--country", "IE", "--json")
    views = {(each["dataset"], each["view"]) for each in json.loads(told.stdout)["columns"]}
    assert views == {("crm", "people"), ("crm_crm", "crm_people"), ("hr", "hr_people")}


@pytest.mark.parametrize("name", ["pg_class", "pg_search", "pg_"])
def test_a_view_that_the_servers_catalogue_would_hide_is_refused(crm, name):
    folder, _ = crm
    changed(folder, 'view = "crm_people"', f'view = "{name}"')
    done = ringfort("policy", "check", folder)
    assert done.returncode == 2
    assert "hidden behind the server's own catalogue" in done.stderr


def test_a_database_that_cannot_be_reached_is_said_and_does_not_refuse(crm):
    folder, _ = crm
    secret = next((folder / "secrets").glob("site-*.dsn"))
    text = secret.read_text()
    port = text.partition("port=")[2].split()[0]
    secret.write_text(text.replace(f"port={port}", "port=1"))
    for command in ("check", "apply"):
        done = ringfort("policy", command, folder)
        assert done.returncode == 0, done.stderr
        assert "was not looked at" in done.stderr
        assert "was not looked at" not in ringfort("policy", command, folder, "--offline").stderr


def test_init_writes_no_name_that_cannot_be_read(fresh_database, tmp_path):
    schema = "a_schema_with_a_name_that_is_as_long_as_postgresql_lets_it_be_xx"[:63]
    table = "t" * 63
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE public.{table} (id bigint)")
        connection.execute(f"CREATE TABLE {schema}.{table} (id bigint)")
    folder = tmp_path / "long"
    done = ringfort("init", folder, "--from", fresh_database, "--json")
    assert done.returncode == 0, done.stderr
    views = json.loads(done.stdout)["views"]
    assert views[f"public.{table}"] == table
    assert len(set(views.values())) == 2
    assert all(len(each) <= 63 for each in views.values())
    done = ringfort("policy", "check", folder)
    assert done.returncode == 0, done.stderr
